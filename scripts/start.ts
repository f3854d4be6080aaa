// Brings up the whole system on this machine: `npm start`, or `npm start -- --only airflow,mlflow`.
import { Command } from "commander";
import { readSettings } from "./stack/settings.ts";
import { chooseParts, isHealthy, startStack, welcome } from "./stack/stack.ts";

async function main(only: string | undefined): Promise<void> {
  const settings = readSettings();
  let parts = chooseParts(only, settings);
  // A second `npm start -- --only …` shares the PostgreSQL of the first.
  const shares = only && !only.includes("postgres") && parts.includes("postgres") && (await isHealthy("postgres", settings));
  if (shares) parts = parts.filter((part) => part !== "postgres");
  console.log(`Starting ${parts.join(", ")}`);
  let interrupted = false;
  const early = () => {
    interrupted = true;
  };
  process.on("SIGINT", early).on("SIGTERM", early);
  const stack = await startStack(settings, parts, (line) => console.log(line));
  const stop = async (code: number) => {
    console.log("\nStopping …");
    await stack.stop();
    process.exit(code);
  };
  let stopping = false;
  const stopOnce = (code: number) => {
    if (!stopping) void stop(code);
    stopping = true;
  };
  process.off("SIGINT", early).off("SIGTERM", early);
  process.on("SIGINT", () => stopOnce(0)).on("SIGTERM", () => stopOnce(0));
  stack.supervisor.onDeath((message) => {
    console.error(`\n${message}`);
    stopOnce(1);
  });
  if (interrupted) stopOnce(0);
  else console.log(welcome(settings, parts));
}

await new Command("npm start --")
  .option("--only <parts>", "only these, separated by commas: postgres, labeler, mlflow, inference, airflow")
  .action(({ only }: { only?: string }) => main(only))
  .parseAsync()
  .catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  });
