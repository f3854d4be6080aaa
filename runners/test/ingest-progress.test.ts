import assert from "node:assert/strict";
import { progressLines } from "../ingest/task.ts";

describe("the log of ingest", () => {
  it("says every ten seconds how many files are done and how long the rest will take", () => {
    const lines: string[] = [];
    let nowMs = 0;
    const progress = progressLines(
      (line) => lines.push(line),
      () => nowMs,
    );
    // 55 files a second, of 50,000.
    for (nowMs = 0; nowMs <= 22_000; nowMs += 100) progress(Math.round((nowMs / 1000) * 55), 50_000);
    assert.deepEqual(lines, ["550 of 50,000 files, 55/s, about 15 min left", "1,100 of 50,000 files, 55/s, about 15 min left"]);
  });

  it("says a rate of less than ten with a digit more, and short times in seconds", () => {
    const lines: string[] = [];
    let nowMs = 0;
    const progress = progressLines(
      (line) => lines.push(line),
      () => nowMs,
    );
    nowMs = 10_000;
    progress(25, 100);
    assert.deepEqual(lines, ["25 of 100 files, 2.5/s, about 30 s left"]);
  });
});
