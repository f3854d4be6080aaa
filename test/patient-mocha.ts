// Multiplies the time limits of all tests and hooks by `patience`. Loaded into every mocha process by .mocharc.json.
import { Runnable } from "mocha";
import { patientMs } from "./patience.ts";

// Those that set a limit of their own, and those with the default. A suite's limit reaches its tests through here.
const timeout = Runnable.prototype.timeout as (this: Runnable, ms?: number | string) => unknown;
Runnable.prototype.timeout = function (this: Runnable, ms?: number | string) {
  return ms === undefined ? timeout.call(this) : timeout.call(this, typeof ms === "number" ? patientMs(ms) : ms);
} as typeof Runnable.prototype.timeout;
