import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The repository root, where jobs run. */
export const root = fileURLToPath(new URL("../../", import.meta.url));

/** What came of a job's tests. */
export interface Outcome {
  readonly passed: number;
  readonly failed: number;
  /** The job's own tests, for the list of the slowest. */
  readonly tests: readonly { readonly title: string; readonly ms: number }[];
  /** The job's tests that failed, and what they threw. */
  readonly failures: readonly { readonly title: string; readonly why: string }[];
}

/** A program whose end says something; no two of them share anything, so that any two may run side by side. */
export interface Job {
  readonly title: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** About how long it takes on a quiet machine with two cores. It decides about the order alone. */
  readonly hintS: number;
  /** Goes before others: it is short, and one wants to know at once. */
  readonly isFirst?: boolean;
  /** One of these at a time: it mostly waits for an Airflow of its own, and is best beside a job that computes. */
  readonly hasAirflow?: boolean;
  outcome(exitCode: number): Outcome;
}

export interface Ended {
  readonly job: Job;
  readonly outcome: Outcome;
  readonly seconds: number;
}

const progressEveryMs = 30_000;

/** Runs jobs, a few at once, and prints what each said as a whole when it has ended. After a signal no further one begins. */
export async function runJobs(jobs: readonly Job[], lanes: number): Promise<{ readonly ended: readonly Ended[]; readonly interrupted: boolean }> {
  const left = jobs.toSorted((a, b) => Number(b.isFirst ?? false) - Number(a.isFirst ?? false) || b.hintS - a.hintS);
  const running = new Map<Job, { readonly child: ChildProcess; readonly since: number }>();
  const ended: Ended[] = [];
  let interrupted = false;

  const secondsSince = (since: number) => Math.round((Date.now() - since) / 1000);
  const progress = setInterval(() => {
    if (jobs.length === 1) return;
    const now = [...running].map(([{ title }, { since }]) => `${title} (${secondsSince(since)} s)`);
    console.log(`… running: ${now.join(", ")}; ${ended.length} of ${jobs.length} done`);
  }, progressEveryMs);

  const onSignal = (signal: NodeJS.Signals) => {
    if (interrupted) process.exit(130);
    interrupted = true;
    console.log(`… ${signal}: waiting for what runs; once more ends at once`);
    // Ctrl-C reaches them by itself. On SIGINT mocha ends what its tests have started.
    if (signal !== "SIGINT") for (const { child } of running.values()) child.kill("SIGINT");
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);

  const next = (): Job | undefined => {
    const busy = [...running.keys()].some(({ hasAirflow }) => hasAirflow);
    const chosen = left.find(({ hasAirflow }) => (hasAirflow ?? false) === !busy) ?? left[0];
    if (chosen) left.splice(left.indexOf(chosen), 1);
    return chosen;
  };
  const lane = async () => {
    for (let job = next(); job && !interrupted; job = next()) {
      const since = Date.now();
      const chunks: Buffer[] = [];
      // A job that is alone may speak at once.
      const say = jobs.length === 1 ? (chunk: Buffer) => process.stdout.write(chunk) : (chunk: Buffer) => chunks.push(chunk);
      if (jobs.length === 1) console.log(`\n== ${job.title}`);
      const { promise, child } = run(job, say);
      running.set(job, { child, since });
      const outcome = job.outcome(await promise);
      running.delete(job);
      const seconds = secondsSince(since);
      ended.push({ job, outcome, seconds });
      if (jobs.length > 1) console.log(`\n== ${job.title}\n${Buffer.concat(chunks).toString().trimEnd()}`);
      console.log(`== ${job.title}: ${outcome.failed === 0 ? "passed" : "FAILED"} (${seconds} s)`);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  clearInterval(progress);
  process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  return { ended, interrupted };
}

/** Starts a job; the promise is its exit code, or 1 where there is none. */
function run({ command, args, env }: Job, say: (chunk: Buffer) => void): { readonly promise: Promise<number>; readonly child: ChildProcess } {
  const child = spawn(command, [...args], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: "2", ...(process.stdout.isTTY ? { FORCE_COLOR: "1" } : {}), ...env },
  });
  child.stdout.on("data", say);
  child.stderr.on("data", say);
  const promise = new Promise<number>((resolve) => {
    child.on("error", (error) => {
      say(Buffer.from(`${command} could not be started: ${error.message}\n`));
      resolve(1);
    });
    child.on("close", (code, signal) => {
      if (signal) say(Buffer.from(`ended by ${signal}\n`));
      resolve(code ?? 1);
    });
  });
  return { promise, child };
}
