import { type ChildProcess, fork } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import pLimit from "p-limit";
import type { FinishRequest, FinishResult, TakeRequest, TakeResult } from "./picture-file.ts";
import type { StoreRequest, StoreResult } from "./store-picture.ts";

export type Job =
  | { readonly kind: "take"; readonly files: readonly TakeRequest[] }
  | { readonly kind: "store"; readonly file: StoreRequest }
  | { readonly kind: "finish"; readonly files: readonly FinishRequest[] };
export interface JobResults {
  readonly take: readonly TakeResult[];
  readonly store: StoreResult;
  readonly finish: readonly FinishResult[];
}
export type ToWorker = { readonly kind: "job"; readonly job: Job } | { readonly kind: "go" };
export type ToParent =
  | { readonly kind: "done"; readonly result: JobResults[Job["kind"]] }
  | { readonly kind: "threw"; readonly message: string }
  | { readonly kind: "large" };

/** The process that did the job ended before it had: by what it was given, or for want of memory. */
export class WorkerDied extends Error {
  override readonly name = "WorkerDied";
  /** Whether it ended itself, as a decoder does that a picture has led astray; else something killed it. */
  readonly ofItself: boolean;
  constructor(message: string, ofItself: boolean) {
    super(message);
    this.ofItself = ofItself;
  }
}

/** Processes that work on pictures. A picture that ends its decoder ends one of them, and not the run. */
export interface PictureWorkers {
  readonly count: number;
  run<J extends Job>(job: J): Promise<JobResults[J["kind"]]>;
  /** Ends them; what they had been given is cut off. */
  close(): void;
}

/** Starts no process yet: each comes with the first job that no other is free for. */
export function startPictureWorkers(count: number): PictureWorkers {
  const children = new Set<ChildProcess>();
  const free: ChildProcess[] = [];
  const turn = pLimit(count);
  // A picture of many pixels takes a share of the machine's memory: one at a time has it.
  const largeTurn = pLimit(1);
  let closed = false;

  const start = () => {
    const entry = fileURLToPath(new URL("./picture-worker.ts", import.meta.url));
    // From the sources it is TypeScript. Not import.meta.resolve: under mocha there is none.
    const loader = entry.endsWith(".ts") ? ["--import", pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href] : [];
    const child = fork(entry, { execArgv: loader, serialization: "advanced", stdio: ["ignore", "inherit", "inherit", "ipc"] });
    children.add(child);
    child.on("exit", () => {
      children.delete(child);
      if (free.includes(child)) free.splice(free.indexOf(child), 1);
    });
    return child;
  };

  const runOn = (child: ChildProcess, job: Job) =>
    new Promise<JobResults[Job["kind"]]>((resolve, reject) => {
      let ended = false;
      let release: (() => void) | undefined;
      const end = (settle: () => void) => {
        child.removeAllListeners("message").off("exit", onExit).off("error", onError);
        ended = true;
        release?.();
        settle();
      };
      const endAndGoOn = (settle: () => void) => {
        free.push(child);
        end(settle);
      };
      const onExit = (code: number | null, signal: string | null) =>
        end(() => reject(new WorkerDied(`the process that decodes it ended (${signal ?? `exit code ${code}`})`, signal !== "SIGKILL")));
      const onError = (error: Error) => end(() => reject(error));
      child.on("exit", onExit);
      child.on("error", onError);
      child.on("message", (message: ToParent) => {
        if (message.kind === "large")
          void largeTurn(async () => {
            if (ended) return;
            child.send({ kind: "go" } satisfies ToWorker, () => undefined);
            await new Promise<void>((resolve) => (release = resolve));
          });
        else if (message.kind === "threw") endAndGoOn(() => reject(new Error(message.message)));
        else endAndGoOn(() => resolve(message.result));
      });
      child.send({ kind: "job", job } satisfies ToWorker, (error) => error && onError(error));
    });

  return {
    count,
    run: (job) =>
      turn(async () => {
        if (closed) throw new WorkerDied("the processes for pictures were ended", false);
        return (await runOn(free.pop() ?? start(), job)) as never;
      }),
    close() {
      closed = true;
      for (const child of children) child.kill("SIGKILL");
    },
  };
}
