import { Command } from "commander";
import { AirflowClient, type TaskInstance } from "../airflow/client.ts";
import { addGraph } from "./graph.ts";
import { addNew } from "./new.ts";
import { addOperators } from "./operators.ts";
import { addPlugins } from "./plugins.ts";
import { paint } from "./paint.ts";
import { parseObject } from "./parse-object.ts";
import { addRun } from "./run.ts";

interface TriggerOptions {
  readonly conf: string;
  readonly wait?: true;
  readonly url: string;
  readonly user: string;
}

/** Says each change of a task's state once. */
function reporter(): (tasks: readonly TaskInstance[]) => void {
  const said = new Map<string, string>();
  return (tasks) => {
    for (const task of tasks) {
      const state = task.state ?? "waiting";
      if (said.get(task.task_id) === state || (state === "waiting" && !said.has(task.task_id))) continue;
      said.set(task.task_id, state);
      const time = new Date().toLocaleTimeString("en-GB");
      console.log(`${time}  ${task.task_id.padEnd(24)} ${paint(state)}${task.try_number > 1 ? ` (try ${task.try_number})` : ""}`);
    }
  };
}

async function trigger(dagId: string, options: TriggerOptions): Promise<void> {
  // A password in the arguments would show in the list of processes.
  const password = process.env["AIRFLOW_PASSWORD"] ?? "admin";
  const airflow = new AirflowClient({ url: options.url, user: options.user, password });
  const run = await airflow.trigger(dagId, parseObject("--conf", options.conf));
  console.log(`${dagId}  ${run.dag_run_id}\n${options.url}/dags/${dagId}/runs/${encodeURIComponent(run.dag_run_id)}`);
  if (!options.wait) return;
  const end = await airflow.waitForRun(dagId, run.dag_run_id, { onChange: reporter() });
  console.log(`${dagId} ended: ${paint(end.state)}`);
  if (end.state !== "failed") return;
  process.exitCode = 1;
  const failed = (await airflow.taskInstances(dagId, run.dag_run_id)).filter((task) => task.state === "failed");
  for (const task of failed) {
    const lines = await airflow.taskLog(dagId, run.dag_run_id, task.task_id, task.try_number);
    console.error(`\nThe end of the log of ${task.task_id}:\n${lines.slice(-12).join("\n")}`);
  }
}

const program = new Command("airloom").description("Works with Airloom's pipelines from the terminal.");
program
  .command("trigger")
  .argument("<dag>", "the DAG's id")
  .option("--conf <json>", "the run's conf", "{}")
  .option("--wait", "follow the run; exit with 1 when it fails")
  .option("--url <url>", "Airflow", process.env["AIRFLOW_URL"] ?? "http://localhost:8081")
  .option("--user <name>", "who you are to Airflow; the password is AIRFLOW_PASSWORD", process.env["AIRFLOW_USER"] ?? "admin")
  .description("starts a run of a DAG")
  .action(trigger);
addRun(program);
addGraph(program);
addNew(program);
addOperators(program);
addPlugins(program);
await program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
