import assert from "node:assert/strict";
import { firstBytes, lastBytes, rejectedName } from "@airloom/dataset-platform/store/rejected-files.ts";
import { isSourceId } from "@airloom/dataset-platform/store/incoming-files.ts";
import fc from "fast-check";

/** Any name that a Linux file can have, as Node reads it. */
const fileName = fc
  .string({ unit: "grapheme", minLength: 1, maxLength: 255 })
  .filter((name) => !/[/\0]/.test(name) && name !== "." && name !== ".." && Buffer.byteLength(name) <= 255);

describe("names of rejected files", () => {
  it("fit beside their reason, are whole text, and end as the file did", () => {
    fc.assert(
      fc.property(fileName, fc.integer({ min: 1, max: 99_999 }), (name, n) => {
        const kept = rejectedName(name, n);
        assert.ok(Buffer.byteLength(`${kept}.why.txt`) <= 255);
        assert.ok(!kept.includes("/") && kept !== "." && kept !== "..");
        assert.equal(Buffer.from(kept).toString(), kept);
        if (Buffer.byteLength(name) <= 200) assert.equal(kept, n === 1 ? name : `${n}-${name}`);
      }),
    );
  });

  it("are different for different numbers", () => {
    fc.assert(fc.property(fileName, (name) => assert.equal(new Set([1, 2, 3, 10].map((n) => rejectedName(name, n))).size, 4)));
  });

  it("are cut between characters, never within one", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.nat(50), (text, most) => {
        const well = Buffer.from(text).toString();
        for (const [part, isPart] of [
          [firstBytes(well, most), well.startsWith(firstBytes(well, most))],
          [lastBytes(well, most), well.endsWith(lastBytes(well, most))],
        ] as const)
          assert.ok(isPart && Buffer.byteLength(part) <= Math.max(most, 0));
      }),
    );
  });
});

describe("a source's name", () => {
  it("is always one plain folder's", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("..", ".", "a/..", "rejected", ".taking", "a\n", "")), (name) => {
        if (isSourceId(name)) assert.match(name, /^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}$/);
        for (const part of ["/", "\0", "\n", "\\", " "]) assert.equal(isSourceId(`a${part}${name}`), false);
      }),
    );
  });
});
