// A sample of `npm run faults`: each step of the data's way is disturbed at some of its calls, spread over all of it, and run again.
import assert from "node:assert/strict";
import { type Disturber, tryPrepareDisturber } from "./disturb-step.ts";
import { type FaultKind, faultKinds } from "./fault-run.ts";
import { stepNames } from "./prepared-places.ts";

const times: Readonly<Record<FaultKind, number>> = { kill: 3, full: 1, "read-only": 1, clock: 1 };

describe("a step that is disturbed and runs again", function () {
  this.timeout(180_000);
  let disturber: Disturber | undefined;

  before(async function () {
    disturber = await tryPrepareDisturber();
    if (disturber) return;
    console.log("      skipped: no C compiler here (cc), or no Linux");
    this.skip();
  });
  after(async () => disturber?.close());

  for (const step of stepNames)
    for (const fault of faultKinds)
      it(`leaves what an undisturbed run leaves: ${step}, ${fault}, ${times[fault]} times`, async () => {
        const { failures, late } = await disturber!.disturb(step, { fault, times: times[fault], seed: 1, lanes: 2 });
        assert.deepEqual(failures, [], `npm run faults -- --steps ${step} --faults ${fault} --at ${failures[0]?.at}`);
        assert.ok(late <= times[fault] / 2, `${late} of ${times[fault]} runs had ended before their moment came`);
      });
});
