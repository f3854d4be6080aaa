import assert from "node:assert/strict";
import { execa } from "execa";
import fc from "fast-check";
import { dirObject } from "@airloom/dataset-platform/versions/dvc-objects.ts";

describe("DVC's .dir object", () => {
  it("is Python's json.dumps byte for byte, for any names (property)", async () => {
    const entry = fc.record({
      md5: fc.stringMatching(/^[0-9a-f]{32}$/),
      relpath: fc.string({ minLength: 1, unit: fc.constantFrom("a", "b", "/", ".", "~", '"', "\\", "\u007f", "é", "￿", "😀", "\n") }),
    });
    const cases = fc.sample(fc.uniqueArray(entry, { selector: ({ relpath }) => relpath, maxLength: 8 }), 200);
    // The oracle is Python itself.
    const script = "import json,sys\nfor c in json.load(sys.stdin): print(json.dumps(json.dumps(sorted(c, key=lambda e: e['relpath']), sort_keys=True)))";
    const { stdout } = await execa("python3", ["-c", script], { input: JSON.stringify(cases) });
    const expected = stdout.split("\n").map((line) => JSON.parse(line) as string);
    cases.forEach((entries, i) => assert.equal(dirObject(entries).text, expected[i]));
  });
});
