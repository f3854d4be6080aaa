// Disturbs a step at chosen calls, runs it again in peace, and holds what is there against a run that nobody disturbed.
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import pLimit from "p-limit";
import { bundlePrograms } from "./bundle.ts";
import { type Ended, type FaultKind, runUnderShim, tryCompileShim } from "./fault-run.ts";
import { differences, type Outcome, outcomeOf, problemsOfServing } from "./outcome.ts";
import { copyPlace, type Place, preparePlaces, removePlace, type StepName, untilUnused } from "./prepared-places.ts";

/** A moment at which a step was disturbed, and what was wrong after it ran again. */
export interface Failure {
  readonly step: StepName;
  readonly fault: FaultKind;
  readonly at: number;
  readonly what: readonly string[];
}

export interface StepReport {
  readonly step: StepName;
  readonly fault: FaultKind;
  /** Calls that an undisturbed run makes. */
  readonly calls: number;
  readonly times: number;
  /** Runs that had ended before their moment came. */
  readonly late: number;
  readonly failures: readonly Failure[];
  /** Temporary files that were left, by their kind, and how often. */
  readonly leftovers: ReadonlyMap<string, number>;
}

export interface DisturbOptions {
  readonly fault: FaultKind;
  readonly times: number;
  readonly seed: number;
  /** Runs at the same time. */
  readonly lanes: number;
  readonly onRun?: (done: number, failed: number) => void;
}

export interface Disturber {
  disturb(step: StepName, options: DisturbOptions): Promise<StepReport>;
  /** Once, at one call: what is wrong afterwards. */
  disturbAt(step: StepName, fault: FaultKind, at: number): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** What a program must say that meets a fault which it cannot get past; Git names the file that it could not write, and not always why. */
const signs: Readonly<Record<FaultKind, RegExp | undefined>> = {
  kill: undefined,
  full: /ENOSPC|No space left on device|GitError/,
  "read-only": /EROFS|Read-only file system|GitError/,
  clock: undefined,
};

const programOf = (step: StepName) => (step === "first-commit" ? "commit" : step);

/** Prepares all steps in a temporary folder; undefined where the shim cannot be made. */
export async function tryPrepareDisturber(): Promise<Disturber | undefined> {
  const folder = await mkdtemp(path.join(tmpdir(), "faults-"));
  const shim = await tryCompileShim(folder);
  if (!shim) {
    await rm(folder, { recursive: true, force: true });
    return undefined;
  }
  await bundlePrograms(folder);
  let runs = 0;
  interface Disturbed {
    readonly fault: FaultKind;
    readonly at: number;
  }
  const peace: Disturbed = { fault: "kill", at: 0 };
  const run = async (program: string, place: Place, { fault, at }: Disturbed, env: Record<string, string> = {}): Promise<Ended> =>
    runUnderShim({
      shim,
      fault,
      program: path.join(folder, `${program}.mjs`),
      at,
      counter: path.join(folder, `${++runs}.count`),
      env: { FAULTS_DATABASE_URL: place.url, FAULTS_FOLDER: place.folder, ...env },
    });
  const runWhole = async (program: string, place: Place, env?: Record<string, string>): Promise<Ended> => {
    const ended = await run(program, place, peace, env);
    if (ended.code !== 0) throw new Error(`${program} ended with ${ended.code ?? ended.signal}:\n${ended.said}`);
    await untilUnused(place);
    return ended;
  };
  const places = await preparePlaces(path.join(folder, "prepared"), async (program, place, env) => void (await runWhole(program, place, env)));
  await mkdir(path.join(folder, "runs"));
  const inCopy = async <T>(step: StepName, work: (place: Place) => Promise<T>): Promise<T> => {
    const place = await copyPlace(places.get(step)!, path.join(folder, "runs", String(++runs)));
    try {
      return await work(place);
    } finally {
      await removePlace(place);
    }
  };
  const good = new Map<StepName, { calls: number; outcome: Outcome }>();
  const undisturbed = async (step: StepName) => {
    const found =
      good.get(step) ??
      (await inCopy(step, async (place) => {
        const { calls } = await runWhole(programOf(step), place);
        const outcome = await outcomeOf(place.url, place.folder);
        if (outcome.problems.length > 0) throw new Error(`${step} breaks rules where nobody disturbs it:\n${outcome.problems.join("\n")}`);
        return { calls, outcome };
      }));
    good.set(step, found);
    return found;
  };
  const disturbOnce = async (step: StepName, { fault, at }: Disturbed) => {
    const { outcome } = await undisturbed(step);
    return inCopy(step, async (place) => {
      const first = await run(programOf(step), place, { fault, at });
      const isOnTime = first.calls >= at;
      if (!isOrdered(fault, first)) return { isOnTime, what: [`the first run ended with ${first.code ?? first.signal}: ${first.said}`], leftovers: [] };
      await untilUnused(place);
      const meanwhile = await problemsOfServing(place.folder);
      const second = await run(programOf(step), place, peace);
      if (second.code !== 0) return { isOnTime, what: [`the second run ended with ${second.code ?? second.signal}: ${second.said}`], leftovers: [] };
      await untilUnused(place);
      const after = await outcomeOf(place.url, place.folder);
      const leftovers = after.leftovers.filter((name) => !outcome.leftovers.includes(name));
      return { isOnTime, what: [...meanwhile, ...differences(outcome, after)], leftovers };
    });
  };
  return {
    async disturb(step, { fault, times, seed, lanes, onRun }) {
      const { calls } = await undisturbed(step);
      const failures: Failure[] = [];
      const leftovers = new Map<string, number>();
      let done = 0;
      let late = 0;
      const limit = pLimit(lanes);
      await Promise.all(
        momentsOf(calls, times, seed).map((at) =>
          limit(async () => {
            const { isOnTime, what, leftovers: left } = await disturbOnce(step, { fault, at });
            if (!isOnTime) late++;
            if (what.length > 0) failures.push({ step, fault, at, what });
            for (const name of left) leftovers.set(kindOf(name), (leftovers.get(kindOf(name)) ?? 0) + 1);
            onRun?.(++done, failures.length);
          }),
        ),
      );
      return { step, fault, calls, times: done, late, failures, leftovers };
    },
    disturbAt: async (step, fault, at) => (await disturbOnce(step, { fault, at })).what,
    async close() {
      for (const place of places.values()) await removePlace(place);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Whether a program that was disturbed ended as it may: killed, by itself with the reason, or as if nothing had been. */
function isOrdered(fault: FaultKind, { code, signal, said }: Ended): boolean {
  if (code === 0) return true;
  return fault === "kill" ? signal === "SIGKILL" : (signs[fault]?.test(said) ?? false);
}

/** Moments from the first call to the last, one in each of as many equal parts as are asked for. Where that is more than there are calls, each call has its turn as often. */
export function momentsOf(calls: number, times: number, seed: number): number[] {
  let state = seed >>> 0;
  const random = () => (state = (state * 1664525 + 1013904223) >>> 0) / 2 ** 32;
  return Array.from({ length: times }, (_, i) => 1 + Math.min(calls - 1, Math.floor(((i + random()) / times) * calls)));
}

/** A file's name without what is random in it. */
const kindOf = (name: string) =>
  name
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "UUID")
    .replace(/[0-9a-f]{38,64}/g, "HASH")
    .replace(/\/[0-9a-f]{2}(?=\/)/g, "/XX")
    .replace(/\d+(?=\.tmp)/, "N");
