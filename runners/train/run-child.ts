import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { ChildJob, ChildMessage } from "./child.ts";

/** Training went wrong in a way that a retry would repeat. */
export class TrainingDiverged extends Error {}

/** Runs a training job in a process of its own and hands on what it tells; aborting ends the process. */
export async function runTrainingChild(job: ChildJob, signal: AbortSignal, onMessage: (message: ChildMessage) => void): Promise<void> {
  const entry = fileURLToPath(new URL("./child.ts", import.meta.url));
  const execArgv = entry.endsWith(".ts") ? ["--import", "tsx"] : ["--enable-source-maps"];
  // TensorFlow tells of its CPU features at every start.
  const env = { TF_CPP_MIN_LOG_LEVEL: "2", ...process.env };
  const child = fork(entry, { execArgv, env, serialization: "advanced", stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const onAbort = () => child.kill("SIGKILL");
  signal.addEventListener("abort", onAbort);
  try {
    let end: Extract<ChildMessage, { kind: "done" | "failed" }> | undefined;
    await new Promise<void>((resolve, reject) => {
      child.on("error", reject);
      child.on("message", (message: ChildMessage) => {
        if (message.kind === "done" || message.kind === "failed") end = message;
        else onMessage(message);
      });
      child.on("exit", (code, killedBy) => {
        if (end?.kind === "done") resolve();
        else if (end?.kind === "failed") reject(end.diverged ? new TrainingDiverged(end.message) : new Error(end.message));
        else
          reject(
            new Error(
              `the training process ended early (${killedBy ?? `exit code ${code}`})${killedBy === "SIGKILL" && !signal.aborted ? ": was the machine out of memory?" : ""}`,
            ),
          );
      });
      child.send(job);
    });
  } finally {
    signal.removeEventListener("abort", onAbort);
    child.kill("SIGKILL");
  }
}
