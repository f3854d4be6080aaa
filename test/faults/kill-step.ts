// Ends a step at chosen calls, runs it again, and holds what is there against an undisturbed run.
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import pLimit from "p-limit";
import { bundlePrograms } from "./bundle.ts";
import { type Ended, runUnderShim, tryCompileShim } from "./kill-run.ts";
import { differences, type Outcome, outcomeOf, problemsOfServing } from "./outcome.ts";
import { copyPlace, type Place, preparePlaces, removePlace, type StepName, untilUnused } from "./prepared-places.ts";

/** A moment at which a step was ended, and what was wrong after it ran again. */
export interface Failure {
  readonly step: StepName;
  readonly at: number;
  readonly what: readonly string[];
}

export interface StepReport {
  readonly step: StepName;
  /** Calls that an undisturbed run makes. */
  readonly calls: number;
  readonly kills: number;
  /** Runs that had ended before their moment came. */
  readonly late: number;
  readonly failures: readonly Failure[];
  /** Temporary files that were left, by their kind, and how often. */
  readonly leftovers: ReadonlyMap<string, number>;
}

export interface KillOptions {
  readonly kills: number;
  readonly seed: number;
  /** Kills at the same time. */
  readonly lanes: number;
  readonly onKill?: (done: number, failed: number) => void;
}

export interface Killing {
  killStep(step: StepName, options: KillOptions): Promise<StepReport>;
  /** One kill: what is wrong afterwards. */
  killAt(step: StepName, at: number): Promise<readonly string[]>;
  close(): Promise<void>;
}

const programOf = (step: StepName) => (step === "first-commit" ? "commit" : step);

/** Prepares all steps in a temporary folder; undefined where the shim cannot be made. */
export async function tryPrepareKilling(): Promise<Killing | undefined> {
  const folder = await mkdtemp(path.join(tmpdir(), "faults-"));
  const shim = await tryCompileShim(folder);
  if (!shim) {
    await rm(folder, { recursive: true, force: true });
    return undefined;
  }
  await bundlePrograms(folder);
  let runs = 0;
  const run = async (program: string, place: Place, at: number, env: Record<string, string> = {}): Promise<Ended> =>
    runUnderShim({
      shim,
      program: path.join(folder, `${program}.mjs`),
      at,
      counter: path.join(folder, `${++runs}.count`),
      env: { FAULTS_DATABASE_URL: place.url, FAULTS_FOLDER: place.folder, ...env },
    });
  const runWhole = async (program: string, place: Place, env?: Record<string, string>): Promise<Ended> => {
    const ended = await run(program, place, 0, env);
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
  const killOnce = async (step: StepName, at: number) => {
    const { outcome } = await undisturbed(step);
    return inCopy(step, async (place) => {
      const killed = await run(programOf(step), place, at);
      const isKilled = killed.signal === "SIGKILL" && killed.calls >= at;
      if (!isKilled && killed.code !== 0)
        return { isKilled, what: [`the first run ended with ${killed.code ?? killed.signal}: ${killed.said}`], leftovers: [] };
      await untilUnused(place);
      const meanwhile = await problemsOfServing(place.folder);
      const second = await run(programOf(step), place, 0);
      if (second.code !== 0) return { isKilled, what: [`the second run ended with ${second.code ?? second.signal}: ${second.said}`], leftovers: [] };
      await untilUnused(place);
      const after = await outcomeOf(place.url, place.folder);
      return { isKilled, what: [...meanwhile, ...differences(outcome, after)], leftovers: after.leftovers.filter((name) => !outcome.leftovers.includes(name)) };
    });
  };
  return {
    async killStep(step, { kills, seed, lanes, onKill }) {
      const { calls } = await undisturbed(step);
      const failures: Failure[] = [];
      const leftovers = new Map<string, number>();
      let done = 0;
      let late = 0;
      const limit = pLimit(lanes);
      await Promise.all(
        momentsOf(calls, kills, seed).map((at) =>
          limit(async () => {
            const { isKilled, what, leftovers: left } = await killOnce(step, at);
            if (!isKilled) late++;
            if (what.length > 0) failures.push({ step, at, what });
            for (const name of left) leftovers.set(kindOf(name), (leftovers.get(kindOf(name)) ?? 0) + 1);
            onKill?.(++done, failures.length);
          }),
        ),
      );
      return { step, calls, kills: done, late, failures, leftovers };
    },
    killAt: async (step, at) => (await killOnce(step, at)).what,
    async close() {
      for (const place of places.values()) await removePlace(place);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Moments from the first call to the last, one in each of as many equal parts as there are kills. Where that is more than there are calls, each call has its turn as often. */
export function momentsOf(calls: number, kills: number, seed: number): number[] {
  let state = seed >>> 0;
  const random = () => (state = (state * 1664525 + 1013904223) >>> 0) / 2 ** 32;
  return Array.from({ length: kills }, (_, i) => 1 + Math.min(calls - 1, Math.floor(((i + random()) / kills) * calls)));
}

/** A file's name without what is random in it. */
const kindOf = (name: string) =>
  name
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "UUID")
    .replace(/[0-9a-f]{38,64}/g, "HASH")
    .replace(/\/[0-9a-f]{2}(?=\/)/g, "/XX")
    .replace(/\d+(?=\.tmp)/, "N");
