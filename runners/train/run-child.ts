import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { ChildJob, ChildMessage } from "./child.ts";

/** Training went wrong in a way that a retry would repeat. */
export class TrainingHopeless extends Error {}

/** How long a run that was asked to stop may take to end its step and save its state. */
const stopMs = 45_000;

type Ending = Extract<ChildMessage, { kind: "ended" | "failed" }>;

/**
 * Runs a training job in a process of its own and hands on what it tells. Aborting lets it end its step and save its state;
 * only then, or when that takes too long, the process ends.
 */
export async function runTrainingChild(
  job: ChildJob,
  signal: AbortSignal,
  onMessage: (message: ChildMessage) => void,
): Promise<Extract<Ending, { kind: "ended" }>["why"]> {
  const entry = fileURLToPath(new URL("./child.ts", import.meta.url));
  const execArgv = entry.endsWith(".ts") ? ["--import", "tsx"] : ["--enable-source-maps"];
  // TensorFlow tells of its CPU features at every start; what fails is thrown all the same.
  const env = { TF_CPP_MIN_LOG_LEVEL: "3", ...process.env };
  const child = fork(entry, { execArgv, env, serialization: "advanced", stdio: ["ignore", "inherit", "inherit", "ipc"] });
  let impatient: NodeJS.Timeout | undefined;
  const onAbort = () => {
    if (child.connected) child.send("stop", () => undefined);
    impatient = setTimeout(() => child.kill("SIGKILL"), stopMs);
  };
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  try {
    let end: Ending | undefined;
    return await new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("message", (message: ChildMessage) => {
        if (message.kind === "ended" || message.kind === "failed") end = message;
        else onMessage(message);
      });
      child.on("exit", (code, killedBy) => {
        if (end?.kind === "ended") resolve(end.why);
        else if (end) reject(end.hopeless ? new TrainingHopeless(end.message) : new Error(end.message));
        else
          reject(
            new Error(
              `the training process ended early (${killedBy ?? `exit code ${code}`})${killedBy === "SIGKILL" && !signal.aborted ? ": was the machine out of memory? Lower batch, imgsz or the model's size" : ""}`,
            ),
          );
      });
      child.send(job);
    });
  } finally {
    clearTimeout(impatient);
    signal.removeEventListener("abort", onAbort);
    child.kill("SIGKILL");
  }
}
