// Asks a service for predictions, in a process of its own, and prints one line of JSON.
//
//   node --import tsx bench/serving/load.ts URL FOLDER SECONDS closed CONNECTIONS    as many at once, each after the other
//   node --import tsx bench/serving/load.ts URL FOLDER SECONDS open RATE             so many a second, whatever comes back
import { readdir, readFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import path from "node:path";

/** What a run of load saw. Times are milliseconds. */
export interface LoadResult {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  /** Answers by status; "failed" for none. */
  readonly statuses: Readonly<Record<string, number>>;
  /** p99 of the answers that were 429. */
  readonly busyP99: number;
}

const boundary = "----bench";

/** Requests as they go over the wire, one a picture: making them costs nothing while time runs. */
async function bodies(folder: string): Promise<Buffer[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".jpg")).toSorted();
  return Promise.all(
    names.map(async (name) =>
      Buffer.concat([
        Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\nContent-Type: image/jpeg\r\n\r\n`),
        await readFile(path.join(folder, name)),
        Buffer.from(`\r\n--${boundary}--\r\n`),
      ]),
    ),
  );
}

const [url = "", folder = "", seconds = "10", mode = "closed", amount = "8"] = process.argv.slice(2);
const pictures = await bodies(folder);
const agent = new Agent({ keepAlive: true, maxSockets: mode === "closed" ? Number(amount) : 512 });
const ends = performance.now() + Number(seconds) * 1000;
const times: number[] = [];
const busy: number[] = [];
const statuses: Record<string, number> = {};
let next = 0;

function ask(): Promise<void> {
  const body = pictures[next++ % pictures.length]!;
  const started = performance.now();
  return new Promise((resolve) => {
    const settle = (status: string) => {
      const ms = performance.now() - started;
      statuses[status] = (statuses[status] ?? 0) + 1;
      if (status === "200") times.push(ms);
      if (status === "429") busy.push(ms);
      resolve();
    };
    const headers = { "Content-Type": `multipart/form-data; boundary=${boundary}`, "Content-Length": body.length };
    const sent = request(`${url}/predict`, { method: "POST", agent, headers }, (response) => {
      response.resume();
      response.once("end", () => settle(String(response.statusCode)));
    });
    sent.once("error", () => settle("failed"));
    sent.end(body);
  });
}

const started = performance.now();
if (mode === "closed") {
  const connection = async () => {
    while (performance.now() < ends) await ask();
  };
  await Promise.all(Array.from({ length: Number(amount) }, connection));
} else {
  const all: Promise<void>[] = [];
  for (let i = 0; ; i++) {
    const at = started + (i * 1000) / Number(amount);
    if (at > ends) break;
    const wait = at - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    all.push(ask());
  }
  await Promise.all(all);
}
const elapsed = (performance.now() - started) / 1000;
const quantile = (values: number[], share: number) => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? NaN;
const result: LoadResult = {
  perSecond: times.length / elapsed,
  p50: quantile(times, 0.5),
  p99: quantile(times, 0.99),
  statuses,
  busyP99: quantile(busy, 0.99),
};
console.log(JSON.stringify(result));
agent.destroy();
