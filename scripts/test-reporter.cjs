// Mocha's own "spec" output on the terminal, and the numbers in a file.
const { writeFileSync } = require("node:fs");
const { reporters } = require("mocha");

module.exports = class extends reporters.Spec {
  /** @param {import("mocha").Runner} runner @param {{ reporterOption: { file: string } }} options */
  constructor(runner, options) {
    super(runner, /** @type {any} */ (options));
    runner.once("end", () => writeFileSync(options.reporterOption.file, JSON.stringify(this.stats)));
  }
};
