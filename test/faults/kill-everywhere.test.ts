// A sample of `npm run faults`: each step of the data's way is killed at some of its calls, spread over all of it, and run again.
import assert from "node:assert/strict";
import { type Killing, tryPrepareKilling } from "./kill-step.ts";
import { stepNames } from "./prepared-places.ts";

const kills = 6;

describe("a step that is killed and runs again", function () {
  this.timeout(180_000);
  let killing: Killing | undefined;

  before(async function () {
    killing = await tryPrepareKilling();
    if (killing) return;
    console.log("      skipped: no C compiler here (cc), or no Linux");
    this.skip();
  });
  after(async () => killing?.close());

  for (const step of stepNames)
    it(`leaves what an undisturbed run leaves: ${step}, ${kills} kills`, async () => {
      const { failures, late } = await killing!.killStep(step, { kills, seed: 1, lanes: 2 });
      assert.deepEqual(failures, [], `npm run faults -- --steps ${step} --at ${failures[0]?.at}`);
      assert.ok(late < kills / 2, `${late} of ${kills} runs had ended before their moment came`);
    });
});
