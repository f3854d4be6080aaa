import { readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { numericSpecs, quickNumericSpecs } from "../../yolo/test/numeric-specs.ts";
import { type Job, type Outcome, root } from "./lanes.ts";

export const partNames = ["checks", "compile", "unit", "numeric", "conformance", "e2e"] as const;
export type PartName = (typeof partNames)[number];

const bin = (name: string) => path.join(root, "node_modules/.bin", name);

/** A command that passes or fails as a whole. */
const whole = (title: string, hintS: number, command: string, ...args: string[]): Job => ({
  title,
  command,
  args,
  hintS,
  isFirst: true,
  outcome: (code) => ({ passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, tests: [], failures: [] }),
});

/** Seconds that a file of tests takes alone on a quiet machine with two cores. Others take less than ten, and share a process. */
const hintsS: Readonly<Record<string, number>> = {
  "dataset-platform/test/labeler-contract.test.ts": 24,
  "inference/test/fuzz.test.ts": 22,
  "inference/test/model-host.test.ts": 18,
  "inference/test/model-pool.test.ts": 20,
  "inference/test/process.test.ts": 10,
  "runners/test/train-cli.test.ts": 41,
  "runners/test/train-task.test.ts": 30,
  "sdk/test/airloom-cli.test.ts": 21,
  "sdk/test/bad-input.test.ts": 45,
  "sdk/test/cli.test.ts": 17,
  "sdk/test/compiler.test.ts": 25,
  "sdk/test/docs.test.ts": 20,
  "sdk/test/examples.test.ts": 140,
  "sdk/test/runtime.test.ts": 46,
  "sdk/test/strings.test.ts": 17,
  "test/conformance/coordinator.test.ts": 120,
  "test/conformance/spawn.test.ts": 120,
  "test/e2e/loop.test.ts": 240,
  "test/faults/disturb-everywhere.test.ts": 120,
  "test/faults/together.test.ts": 70,
  "test/scripts/stack.test.ts": 15,
  "yolo/test/network.test.ts": 15,
  "yolo/test/run-folder.test.ts": 118,
  "yolo/test/torch.test.ts": 35,
  "yolo/test/traced.test.ts": 46,
  "dataset-platform/test/store/ingest.test.ts": 40,
  "dataset-platform/test/store/ingest-together.test.ts": 40,
  "dataset-platform/test/store/cut-pictures.test.ts": 30,
  "dataset-platform/test/verify/verify.test.ts": 15,
  "runners/test/labeling.test.ts": 20,
  "test/scripts/postgres.test.ts": 60,
  "test/scripts/take-over-mlflow.test.ts": 40,
  "test/containers/health.test.ts": 40,
  "yolo/test/bfloat16.test.ts": 40,
  "yolo/test/unasked-training.test.ts": 25,
  "dataset-platform/test/versions/rows.test.ts": 40,
  "dataset-platform/test/versions/interrupted.test.ts": 40,
  "dataset-platform/test/versions/find-version.test.ts": 40,
  "dataset-platform/test/versions/dvc-objects.test.ts": 40,
  "dataset-platform/test/versions/versions.test.ts": 40,
  "dataset-platform/test/versions/export.test.ts": 40,
  "dataset-platform/test/versions/remote.test.ts": 40,
  "dataset-platform/test/versions/branch.test.ts": 40,
  "dataset-platform/test/versions/s3.test.ts": 40,
};

/** Every file of tests below a folder. */
const specsIn = (folder: string): string[] =>
  readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => path.join(folder, name))
    .toSorted();

/** Makes the jobs of the parts that are asked for; `reports` is a folder for what mocha's processes leave. */
export function jobsOf(parts: readonly PartName[], reports: string): { readonly jobs: readonly Job[]; readonly notes: readonly string[] } {
  let reported = 0;
  const mocha = (title: string, specs: readonly string[], more: Pick<Job, "env" | "hasAirflow"> = {}): Job => {
    const file = path.join(reports, `${reported++}.json`);
    const reporter = path.join(root, "scripts/test-reporter.cjs");
    return {
      title,
      command: bin("mocha"),
      args: ["--forbid-only", "--reporter", reporter, "--reporter-option", `file=${file}`, ...specs],
      hintS: specs.reduce((sum, spec) => sum + (hintsS[spec] ?? 3), 0),
      ...more,
      outcome: (code) => outcomeOf(file, code),
    };
  };
  /** A process for each file that takes long, and one for all others of a folder. */
  const grouped = (title: string, specs: readonly string[], more: Pick<Job, "env"> = {}): Job[] => {
    const quick = new Map<string, string[]>();
    for (const spec of specs.filter((each) => !(each in hintsS))) {
      const folder = spec.split("/", 1)[0]!;
      quick.set(folder, [...(quick.get(folder) ?? []), spec]);
    }
    return [
      ...specs.filter((spec) => spec in hintsS).map((spec) => mocha(`${title}: ${spec}`, [spec], more)),
      ...[...quick].map(([folder, group]) => mocha(`${title}: ${folder}, the ${group.length} quick files`, group, more)),
    ];
  };

  const notes: string[] = [];
  const again = (isa: Isa, specs: readonly string[]): Job[] => {
    const why = whyNot(isa);
    if (why) notes.push(`The numeric tests do not run again with ${isa}: ${why}.`);
    return why ? [] : grouped(`numeric tests with ${isa} at most`, specs, { env: { ONEDNN_MAX_CPU_ISA: isa } });
  };

  const make: Record<PartName, () => readonly Job[]> = {
    checks: () => [
      whole("format (oxfmt)", 1, bin("oxfmt"), "--check", "."),
      whole("lint (oxlint)", 10, bin("oxlint"), "--type-aware", "--deny-warnings"),
      whole("types (tsc)", 5, bin("tsc")),
      whole("unused code (knip)", 5, bin("knip"), "--no-config-hints"),
    ],
    compile: () => [whole("generated-dags is what dags-ts compiles to", 5, process.execPath, "sdk/bin/compile-dags.mjs", "--check")],
    unit: () =>
      grouped(
        "unit tests",
        ["sdk", "yolo", "dataset-platform", "runners", "inference"]
          .flatMap((name) => specsIn(`${name}/test`))
          .concat(specsIn("test/containers"), specsIn("test/scripts"), specsIn("test/faults")),
      ),
    numeric: () => [...again("AVX2", numericSpecs), ...again("SSE41", quickNumericSpecs)],
    conformance: () => specsIn("test/conformance").map((spec) => mocha(`the simulator against a real Airflow: ${spec}`, [spec], { hasAirflow: true })),
    e2e: () => specsIn("test/e2e").map((spec) => mocha(`the whole loop: ${spec}`, [spec], { hasAirflow: true })),
  };
  return { jobs: parts.flatMap((part) => make[part]()), notes };
}

/** What the reporter has left of a mocha process. One that left nothing, or ended badly without a failed test, has failed all the same. */
function outcomeOf(file: string, exitCode: number): Outcome {
  try {
    const { stats, tests, failures } = JSON.parse(readFileSync(file, "utf8")) as Pick<Outcome, "tests" | "failures"> & {
      stats: { passes: number; failures: number };
    };
    return { passed: stats.passes, failed: Math.max(stats.failures, exitCode === 0 ? 0 : 1), tests, failures };
  } catch {
    return { passed: 0, failed: 1, tests: [], failures: [] };
  } finally {
    rmSync(file, { force: true });
  }
}

/** Instruction sets that oneDNN can be held to, and the flags of a processor that has more. */
const more = { AVX2: /\b(avx512|avx_vnni|avx10|amx)/, SSE41: /\bavx/ } as const;
type Isa = keyof typeof more;

/** Why a second run with fewer instructions would be the first once more; undefined where it would not. */
function whyNot(isa: Isa): string | undefined {
  if (process.arch !== "x64") return `this is a processor of another kind (${process.arch})`;
  try {
    const flags = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1];
    if (flags !== undefined && !more[isa].test(flags)) return "this processor has no more than that, so that they have run with it already";
  } catch {
    // Not Linux: nobody says, so they run.
  }
  return undefined;
}
