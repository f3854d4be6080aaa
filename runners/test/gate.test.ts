import assert from "node:assert/strict";
import { decide, judge, type Measured } from "../evaluate/gate.ts";

const labels = ["car", "truck"];
const of = (car: number, truck: number, objects = 50): Measured => ({
  map50: 0.9,
  map: (car + truck) / 2,
  classes: [
    { label: "car", objects, ap: car },
    { label: "truck", objects, ap: truck },
  ],
});

describe("the gate", () => {
  const verdict = (candidate: Measured, champion?: Measured, own = labels, theirs = labels) => judge(candidate, champion, own, theirs);

  it("takes the first model, a better one, an equal one, and one that is worse by less than the margin", () => {
    assert.deepEqual(verdict(of(0.1, 0.1)), { promote: true, reasons: ["there is no champion yet"] });
    for (const candidate of [of(0.8, 0.8), of(0.7, 0.7), of(0.692, 0.692)]) assert.equal(verdict(candidate, of(0.7, 0.7)).promote, true);
  });

  it("refuses one that is worse in the mean by more than the margin, and says by how much", () => {
    assert.deepEqual(verdict(of(0.68, 0.68), of(0.7, 0.7)), {
      promote: false,
      reasons: ["mAP50-95 0.680 against the champion's 0.700: worse by more than 0.01"],
    });
  });

  it("refuses one that is better in the mean and worse for a class with enough objects; few objects say little", () => {
    assert.deepEqual(verdict(of(0.9, 0.6), of(0.7, 0.7)).reasons, ["truck: AP50-95 0.600 against 0.700, worse by more than 0.05"]);
    assert.equal(verdict(of(0.9, 0.6, 19), of(0.7, 0.7, 19)).promote, true);
  });

  it("compares the classes that both know, and refuses one that forgot a class", () => {
    const onlyCar = { map50: 0.9, map: 0.9, classes: [{ label: "car", objects: 50, ap: 0.9 }] };
    assert.match(verdict(onlyCar, of(0.7, 0.7), ["car"]).reasons.join(), /does not know truck/);
    // A new class is hard, which does not speak against the candidate.
    assert.equal(verdict(of(0.72, 0.1), onlyCar, labels, ["car"]).promote, false);
    assert.equal(verdict(of(0.9, 0.1), onlyCar, labels, ["car"]).promote, true);
  });

  it("refuses an ONNX that does not find what the trainer found, and lets a person publish all the same", () => {
    const good = { promote: true, reasons: ["better"] };
    const worse = { promote: false, reasons: ["worse"] };
    const agreeing = { onnxMap50: 0.9, trainerMap50: 0.92, force: false };
    const off = { ...agreeing, onnxMap50: 0.4 };
    assert.deepEqual(decide(good, agreeing), good);
    assert.deepEqual(decide(worse, agreeing), worse);
    const reason = "the ONNX model's mAP50 is 0.400 and the trainer's 0.920: they do not agree";
    assert.deepEqual(decide(good, off), { promote: false, reasons: [reason] });
    assert.deepEqual(decide(worse, off), { promote: false, reasons: [reason, "worse"] });
    assert.deepEqual(decide(worse, { ...off, force: true }), { promote: true, reasons: [reason, "worse", "published all the same: force_publish"] });
    assert.deepEqual(decide(good, { ...agreeing, force: true }), good);
  });
});
