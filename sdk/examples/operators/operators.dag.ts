import { dag } from "airloom";
import { S3CreateObjectOperator } from "airloom/operators/amazon-s3.ts";
import { KubernetesPodOperator } from "airloom/operators/cncf-kubernetes.ts";
import { SQLExecuteQueryOperator } from "airloom/operators/common-sql.ts";
import { DockerOperator } from "airloom/operators/docker.ts";
import { HttpOperator } from "airloom/operators/http.ts";
import { SlackAPIPostOperator } from "airloom/operators/slack.ts";
import { EmailOperator } from "airloom/operators/smtp.ts";
import { BashOperator } from "airloom/operators/standard.ts";

export default dag<{ /** @default "day" */ name: string }>("operators", { schedule: null }, ({ conf }) => {
  const bash = BashOperator("bash", { bash_command: 'echo "$NAME"', env: { NAME: conf.name } }, { retries: 2 });
  const http = HttpOperator("http", { http_conn_id: "api", endpoint: "rates", method: "GET" }, { after: bash });
  const sql = SQLExecuteQueryOperator("sql", { conn_id: "warehouse", sql: "select 1", split_statements: true }, { after: http });
  const docker = DockerOperator("docker", { image: "alpine:3", command: ["true"] }, { after: sql });
  const pod = KubernetesPodOperator("pod", { image: "alpine:3", cmds: ["true"], name: "job", namespace: "default" }, { after: docker });
  const s3 = S3CreateObjectOperator("s3", { s3_bucket: "b", s3_key: "k", data: "hello" }, { after: pod });
  const email = EmailOperator("email", { to: "team@example.org", subject: "Done", html_content: "<p>Done</p>", from_email: "a@example.org" }, { after: s3 });
  SlackAPIPostOperator("slack", { channel: "#data", text: "Done", slack_conn_id: "slack" }, { after: email });
  BashOperator.expand("each", { bash_command: ["true", "echo 2"] }, {});
});
