// Mocha's own "spec" output on the terminal, and in a file the numbers and what failed.
const { writeFileSync } = require("node:fs");
const path = require("node:path");
const { reporters } = require("mocha");

module.exports = class extends reporters.Spec {
  /** @param {import("mocha").Runner} runner @param {{ reporterOption: { file: string } }} options */
  constructor(runner, options) {
    super(runner, /** @type {any} */ (options));
    /** @type {{ title: string, ms: number }[]} Tests, and hooks, which may start a whole Airflow. */
    const tests = [];
    /** @type {{ title: string, why: string }[]} */
    const failures = [];
    /** @param {import("mocha").Runnable} runnable */
    const titleOf = (runnable) => `${path.relative(".", runnable.file ?? "")}: ${runnable.fullTitle()}`;
    /** @param {import("mocha").Runnable} runnable */
    const note = (runnable) => tests.push({ title: titleOf(runnable), ms: runnable.duration ?? 0 });
    runner.on("test end", note).on("hook end", note);
    runner.on("fail", (runnable, error) => failures.push({ title: titleOf(runnable), why: error.stack ?? String(error) }));
    runner.once("end", () => writeFileSync(options.reporterOption.file, JSON.stringify({ stats: this.stats, tests, failures })));
  }
};
