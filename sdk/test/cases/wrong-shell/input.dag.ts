import { dag, template } from "airloom";
import { BashOperator } from "airloom/operators/standard.ts";

export default dag<{ /** @default "x" */ name: string }>("wrong_shell", { schedule: null, catchup: true }, ({ conf }) => {
  BashOperator("by_reference", { bash_command: template`echo ${conf.name}` });
  BashOperator("by_jinja", { bash_command: "echo {{ params.name }}" });
  BashOperator("safe", { bash_command: 'echo "$NAME" {{ ds }}', env: { NAME: conf.name } });
});
