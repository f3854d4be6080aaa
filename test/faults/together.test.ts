import assert from "node:assert/strict";
import { databaseFaults, workTogether } from "./together.ts";

describe("eight processes that take in, claim, pull and commit at once", function () {
  this.timeout(180_000);
  it("label each picture once, and commit each batch whole", async () => {
    const { pictures, batches, versions, wrong } = await workTogether({ processes: 8, seconds: 6 });
    assert.deepEqual(wrong, []);
    assert.ok(pictures >= 8 * 4 && batches > 8 && versions > 1, `${pictures} pictures, ${batches} batches, ${versions} versions`);
  });

  for (const fault of databaseFaults)
    it(`lose nothing and do nothing twice beside a database that fails: ${fault}`, async () => {
      const { pictures, faults, wrong } = await workTogether({ processes: 3, seconds: 8, fault });
      assert.deepEqual(wrong, []);
      assert.ok(pictures > 0 && faults > 0, `${pictures} pictures, ${faults} times`);
    });
});
