import assert from "node:assert/strict";
import { allClasses, BadClassName, className, differInCaseAlone, ensureClasses } from "@airloom/dataset-platform/registry/classes.ts";
import { openTestRegistry, type TestRegistry } from "./open-registry.ts";

const me = { person: "tester" };

describe("classes", () => {
  let test: TestRegistry;
  beforeEach(async () => (test = await openTestRegistry()));
  afterEach(() => test.close());

  it("have one number each for ever, however many are added at once by however many", async () => {
    const registries = [test.registry, await test.again(), await test.again(), await test.again()];
    const name = (i: number) => `class ${i % 13}`;
    const given = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const names = [name(i), name(i * 7 + 1)];
        return { names, ids: await registries[i % 4]!.transaction((trx) => ensureClasses(trx, names, me)) };
      }),
    );
    const classes = await allClasses(test.registry.db);
    assert.deepEqual(
      classes.map(({ id }) => id),
      Array.from({ length: 13 }, (_, i) => i),
    );
    for (const { names, ids } of given)
      assert.deepEqual(
        names,
        ids.map((id) => classes[id]!.name),
      );
  });

  it("are one where their names look the same", async () => {
    const ids = await test.registry.transaction((trx) =>
      ensureClasses(trx, ["café", "cafe\u0301", " café\u00a0", "fire truck", "fire\u00a0 truck", "car ", "\u3000car"], me),
    );
    assert.deepEqual(ids, [0, 0, 0, 1, 1, 2, 2]);
    await test.registry.transaction((trx) => ensureClasses(trx, ["Car"], me));
    assert.deepEqual(differInCaseAlone(await allClasses(test.registry.db)), [["car", "Car"]]);
  });

  it("refuses what is no name", () => {
    for (const name of ["", " ", "\u200b", "a\u0000b", "x".repeat(101)]) assert.throws(() => className(name), BadClassName);
    assert.equal(className("a\nb"), "a b");
  });

  it("cannot be renumbered, renamed or removed, by anyone", async () => {
    await test.registry.transaction((trx) => ensureClasses(trx, ["car"], me));
    const { db } = test.registry;
    await assert.rejects(db.updateTable("classes").set({ name: "bus" }).execute(), /update of classes is not allowed/);
    await assert.rejects(db.deleteFrom("classes").execute(), /delete of classes is not allowed/);
    await assert.rejects(db.deleteFrom("events").execute(), /delete of events is not allowed/);
  });
});
