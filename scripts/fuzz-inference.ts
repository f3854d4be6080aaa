// Sends the inference service whatever somebody might send, in full: for nights, not for CI, whose tests send a sample.
//
//   npm run fuzz:inference [-- --cases 200000 --examples 700 --seed 1]
//
// A service of its own with an untrained model of 64 px. It fails on a 5xx, on a refusal that does not say why, on a worker that
// dies, and on memory that grows. Cases that fail are kept in .airloom/fuzz/.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { execa } from "execa";
import { serviceAllocation } from "../inference/src/allocation.ts";
import { fuzz, schemathesisArguments } from "../inference/test/fuzz/run.ts";
import { manifestOf, someOnnx, writeModel } from "../inference/test/running-service.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const kept = path.join(root, ".airloom/fuzz");
/** Memory may be so much more at the end than half-way: until then the allocator finds how much it needs at most. */
const mostGrowth = 1.1;

async function start(folder: string): Promise<{ child: ChildProcess; url: string }> {
  const env = { ...process.env, ...serviceAllocation, MODEL_DIR: folder, INFERENCE_PORT: "0", INFERENCE_LOG_LEVEL: "info", INFERENCE_QUEUE: "1000" };
  const child = spawn(process.execPath, ["--import", "tsx", "inference/src/main.ts"], { cwd: root, env, stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise<string>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the service ended with ${code}`)));
    child.stdout.on("data", (data: Buffer) => {
      const at = /listens on (http:\/\/[\d.:]+)/.exec(data.toString())?.[1];
      if (at) resolve(at);
    });
  });
  while (!(await fetch(`${url}/readyz`)).ok) await new Promise((resolve) => setTimeout(resolve, 100));
  return { child, url };
}

/** Resident memory of a process and its children, MiB. */
async function memoryOf(pid: number): Promise<number> {
  const { stdout } = await execa("ps", ["-o", "rss=", "--pid", String(pid), "--ppid", String(pid)]);
  return stdout.split("\n").reduce((sum, line) => sum + Number(line), 0) / 1024;
}

async function run({ cases, examples, seed }: { cases: string; examples: string; seed: string }): Promise<boolean> {
  const folder = await mkdtemp(path.join(tmpdir(), "fuzz-"));
  const onnx = someOnnx(1);
  await writeModel(folder, onnx, manifestOf(onnx));
  const { child, url } = await start(folder);
  try {
    const total = Number(cases);
    const started = Date.now();
    let early = 0;
    const report = await fuzz(url, {
      cases: total,
      seed: Number(seed),
      async onProgress(done) {
        if (done === Math.floor(total / 2)) early = await memoryOf(child.pid!);
        if (done % Math.max(1, Math.floor(total / 20)) === 0)
          console.log(`${done} of ${total}  ${((done * 1000) / (Date.now() - started)).toFixed(0)} a second  ${(await memoryOf(child.pid!)).toFixed(0)} MiB`);
      },
    });
    const late = await memoryOf(child.pid!);
    for (const [key, count] of [...report.statuses].toSorted()) console.log(`  ${key.padEnd(16)} ${count}`);
    await mkdir(kept, { recursive: true });
    for (const [i, { what, given }] of report.problems.slice(0, 100).entries()) {
      console.log(`  problem: ${given.kind} ${given.path}: ${what}`);
      await writeFile(path.join(kept, `${i}.body`), given.body);
      await writeFile(path.join(kept, `${i}.json`), JSON.stringify({ what, path: given.path, headers: given.headers }, null, 2));
    }
    const deaths = /worker_deaths_total (\d+)/.exec(await (await fetch(`${url}/metrics`)).text())?.[1];
    console.log(
      `${report.cases} cases, ${report.problems.length} problems, ${deaths} workers died; ${early.toFixed(0)} MiB half-way, ${late.toFixed(0)} at the end`,
    );
    const config = path.join(root, "inference/test/schemathesis.toml");
    const schema = await execa(
      path.join(root, ".venv-test/bin/schemathesis"),
      ["--config-file", config, "run", `${url}/openapi.json`, ...schemathesisArguments(Number(examples))],
      {
        reject: false,
      },
    );
    console.log(/Test cases:\s+(.*)/.exec(schema.stdout)?.[0]?.replace(/\s+/g, " ") ?? schema.stdout.slice(-3000));
    if (schema.exitCode !== 0) await writeFile(path.join(kept, "schemathesis.log"), schema.stdout);
    return report.problems.length === 0 && deaths === "0" && late <= early * mostGrowth && schema.exitCode === 0;
  } finally {
    child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  }
}

const program = new Command("npm run fuzz:inference --")
  .option("--cases <n>", "damaged pictures and bodies", "200000")
  .option("--examples <n>", "schemathesis' examples for each operation and phase", "700")
  .option("--seed <n>", "the same seed sends the same cases", "1")
  .action(async (options: { cases: string; examples: string; seed: string }) => {
    const good = await run(options);
    console.log(good ? "passed" : `FAILED: see ${path.relative(root, kept)}`);
    process.exitCode = good ? 0 : 1;
  });
await program.parseAsync();
