import { createWriteStream } from "node:fs";
import { dag, task } from "airloom";

// Throws only where it runs: the compiler sees a good module.
const fd = Number(process.env["AIRLOOM_FD"] ?? 0);

const big = task("big", { retries: 1, retryDelay: "1s" }, async () => "x".repeat(10 * 1024 * 1024));
const half = task("half", {}, async () => {
  // What a Node that dies while it writes leaves on the socket.
  await new Promise((done) => createWriteStream("", { fd }).write('{"type":"succee', done));
  process.kill(process.pid, "SIGKILL");
  return 1;
});
const silent = task("silent", {}, async () => {
  process.exit(3);
  return 1;
});
const rejected = task("rejected", {}, async () => {
  void Promise.reject(new Error("nobody waits for this"));
  await new Promise((done) => setTimeout(done, 2000));
  return 1;
});

export default dag("probe", { schedule: null }, () => {
  big({});
  half({});
  silent({});
  rejected({});
});
