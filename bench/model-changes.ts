// Memory of the inference service while its model is changed again and again, with requests all the while:
//
//   node --import tsx bench/model-changes.ts [changes]
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { serviceAllocation } from "../inference/src/allocation.ts";
import { manifestOf, photo, postPictures, someOnnx, writeModel } from "../inference/test/running-service.ts";

const changes = Number(process.argv[2] ?? 200);
const early = 10;
const root = fileURLToPath(new URL("../", import.meta.url));
const folder = await mkdtemp(path.join(tmpdir(), "bench-changes-"));
const port = 18_951;
const url = `http://127.0.0.1:${port}`;

/** Resident memory of the service and its workers, MiB. */
async function memoryOf(pid: number): Promise<{ service: number; all: number }> {
  const { stdout } = await execa("ps", ["-o", "pid=,rss=", "--pid", String(pid), "--ppid", String(pid)]);
  const rows = stdout.split("\n").map((line) => line.trim().split(/\s+/).map(Number) as [number, number]);
  const sum = (list: typeof rows) => list.reduce((total, [, rss]) => total + rss, 0) / 1024;
  return { service: sum(rows.filter(([each]) => each === pid)), all: sum(rows) };
}

const models = [1, 2, 3].map((seed) => someOnnx(seed));
const publish = (n: number) => writeModel(folder, models[n % models.length]!, manifestOf(models[n % models.length]!, { version: String(n) }));
await publish(0);
const env = { ...process.env, ...serviceAllocation, MODEL_DIR: folder, INFERENCE_PORT: String(port), INFERENCE_LOG_LEVEL: "warn" };
const child = spawn(process.execPath, ["--import", "tsx", "inference/src/main.ts"], { cwd: root, env, stdio: ["ignore", "inherit", "inherit"] });
const version = async () => {
  const answer = await fetch(`${url}/readyz`).catch(() => undefined);
  return answer && ((await answer.json()) as { model?: { version: string } }).model?.version;
};
const reaches = async (n: number) => {
  while ((await version()) !== String(n)) await new Promise((resolve) => setTimeout(resolve, 100));
};
try {
  await reaches(0);
  const picture = await photo();
  let [asked, failed, going] = [0, 0, true];
  const client = async () => {
    while (going) {
      const { status } = await postPictures(url, [picture]);
      asked++;
      if (status !== 200) failed++;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const clients = [client(), client()];
  let first = { service: 0, all: 0 };
  for (let n = 1; n <= changes; n++) {
    await publish(n);
    await reaches(n);
    // The old workers end when they have answered.
    if (n !== early && n % 50 !== 0 && n !== changes) continue;
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const memory = await memoryOf(child.pid!);
    if (n === early) first = memory;
    console.log(
      `after ${n} changes: ${memory.service.toFixed(0)} MiB the service, ${memory.all.toFixed(0)} MiB with its workers (${((memory.all / first.all - 1) * 100).toFixed(1)} %)`,
    );
  }
  going = false;
  await Promise.all(clients);
  console.log(`${asked} requests meanwhile, ${failed} of them failed`);
} finally {
  child.kill("SIGKILL");
  await rm(folder, { recursive: true, force: true });
}
