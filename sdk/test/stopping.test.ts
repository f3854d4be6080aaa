import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import type { Duplex } from "node:stream";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { compileDags } from "../src/compiler/compile.ts";
import { writeOutputs } from "../src/compiler/write.ts";
import { waitFor } from "../../test/patience.ts";
import { isAlive } from "../../test/processes.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

describe("a task's Node process", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "stopping-"));
    const { files } = await compileDags([path.join(root, "sdk/test/runtime/stopping.dag.ts")], { root, outDir: folder });
    await writeOutputs(folder, files);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** Starts the task as the operator does: a session of its own and an inherited socket. */
  async function startTask(): Promise<{
    node: ChildProcess;
    socket: Duplex;
    messages: { type: string; message: string }[];
    grandchild: number;
    exited: Promise<unknown>;
  }> {
    const node = spawn(process.execPath, [path.join(folder, "stopping.mjs")], {
      env: { ...process.env, AIRLOOM_FD: "3" },
      stdio: ["ignore", "inherit", "inherit", "pipe"],
      detached: true,
    });
    const socket = node.stdio[3] as Duplex;
    const exited = new Promise((resolve) => node.once("exit", resolve));
    const messages: { type: string; message: string }[] = [];
    const lines = createInterface({ input: socket });
    const grandchild = new Promise<number>((resolve) =>
      lines.on("line", (line) => {
        const message = JSON.parse(line) as { type: string; message: string };
        messages.push(message);
        const pid = /child (\d+)/.exec(message.message)?.[1];
        if (pid) resolve(Number(pid));
      }),
    );
    const run = { dagId: "stopping", taskId: "waits", runId: "r", tryNumber: 1, mapIndex: -1, logicalDate: null };
    socket.write(`${JSON.stringify({ type: "start", taskId: "waits", kind: "task", input: {}, run })}\n`);
    return { node, socket, messages, grandchild: await grandchild, exited };
  }

  it("hands SIGTERM to the handler as an aborted signal, and ends with what the handler threw", async () => {
    const { node, messages, exited, grandchild } = await startTask();
    node.kill("SIGTERM");
    await exited;
    process.kill(grandchild, "SIGKILL");
    const last = messages.at(-1)!;
    assert.equal(last.type, "failed");
    assert.match(last.message, /stopped in good order.*SIGTERM/);
  }).timeout(20_000);

  it("ends, with all that it started, when its operator is gone", async () => {
    const { socket, exited, grandchild } = await startTask();
    assert.ok(isAlive(grandchild));
    socket.destroy();
    await exited;
    await waitFor(() => !isAlive(grandchild), { what: "the end of what the task had started" });
  }).timeout(20_000);
});
