import { dag, datetime, notYet, sensor, task, trigger, waitFor } from "airloom";

const look = sensor("look", { waiting: "defer", pokeInterval: "1m", timeout: "1h" }, async () => notYet("not today"));
const go = task("go", {}, async () => 1);

export default dag("deferrable", { schedule: null }, () => {
  const moment = waitFor<string>(
    "until",
    trigger("airflow.providers.standard.triggers.temporal.DateTimeTrigger", { moment: datetime("2026-01-01T06:00:00Z") }),
  );
  go({}, { after: [look({}), moment] });
});
