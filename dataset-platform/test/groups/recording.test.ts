import assert from "node:assert/strict";
import fc from "fast-check";
import { joinedByTime, recordingKey } from "../../src/groups/recording.ts";

const source = { id: "cam", settings: { names: true } };
const key = (name: string, of = source) => recordingKey(of, name);

describe("recordings by name", () => {
  it("are names that differ in their counter alone", () => {
    for (const [a, b] of [
      ["IMG_0001.jpg", "IMG_0002.jpg"],
      ["clip_a-000123.png", "clip_a-7.png"],
      ["frame (12).jpg", "frame (3).jpg"],
      ["night/0001.jpg", "night/0002.jpg"],
      ["IMG_0001.jpg", "IMG_0001 (1).jpg"],
      ["IMG_0001.jpg", "IMG_0002.png"],
    ] as const) {
      assert.notEqual(key(a), undefined, a);
      assert.equal(key(a), key(b), `${a} and ${b}`);
    }
  });

  it("are others in another folder, source, or under another name", () => {
    const keys = [
      key("IMG_0001.jpg"),
      key("a/IMG_0001.jpg"),
      key("IMG_a0001.jpg"),
      key("clip_1-0001.jpg"),
      key("clip_2-0001.jpg"),
      key("frame (1).jpg"),
      key("IMG_0001.jpg", { ...source, id: "other" }),
    ];
    assert.equal(new Set(keys).size, keys.length);
  });

  it("are none without a counter, or where the source does not say so", () => {
    assert.equal(key("portrait.jpg"), undefined);
    assert.equal(key("12-portrait.jpg"), undefined);
    assert.equal(recordingKey({ id: "cam", settings: {} }, "IMG_0001.jpg"), undefined);
  });

  it("any two counters after any name give one key, and names that differ give two", () => {
    const stem = fc.stringMatching(/^[\p{L}_#", [\]-]{1,12}$/u);
    fc.assert(
      fc.property(stem, stem, fc.nat(), fc.nat(), (a, b, n, m) => {
        assert.equal(key(`${a}${n}.jpg`), key(`${a}${m}.jpg`));
        assert.equal(key(`${a}${n}.jpg`) === key(`${b}${m}.jpg`), a.normalize("NFC") === b.normalize("NFC"));
      }),
    );
  });
});

describe("recordings by time", () => {
  const at = "2024-05-01T12:00:10";

  it("are joined within the gap, on either side or both", () => {
    const neighbours = { earlier: "2024-05-01T12:00:08", later: "2024-05-01T12:00:15" };
    assert.deepEqual(joinedByTime(at, neighbours, 1), []);
    assert.deepEqual(joinedByTime(at, neighbours, 2), ["earlier"]);
    assert.deepEqual(joinedByTime(at, neighbours, 5), ["earlier", "later"]);
    assert.deepEqual(joinedByTime(at, {}, 5), []);
  });

  it("know offsets from UTC, and do not compare a time that has one with a time that has none", () => {
    assert.deepEqual(joinedByTime(`${at}+02:00`, { earlier: "2024-05-01T10:00:09.5Z" }, 1), ["earlier"]);
    assert.deepEqual(joinedByTime(`${at}+02:00`, { earlier: at, later: "2024-05-01T12:00:10Z" }, 60), []);
  });
});
