import type { Metrics } from "@airloom/yolo/metrics/average-precision.ts";

/** When a candidate takes the champion's place. */
interface GateRules {
  /** How much worse the candidate's mAP50-95 may be. */
  readonly margin: number;
  /** How much worse its AP50-95 may be for a class with at least `fewestObjects` objects. */
  readonly classMargin: number;
  readonly fewestObjects: number;
}

const gateRules: GateRules = { margin: 0.01, classMargin: 0.05, fewestObjects: 20 };

/** Figures by the names of the classes, on one set of pictures. */
export interface Measured {
  readonly map50: number;
  readonly map: number;
  readonly classes: readonly { readonly label: string; readonly objects: number; readonly ap: number }[];
}

export interface Verdict {
  readonly promote: boolean;
  /** What speaks against it, or for it where nothing does. */
  readonly reasons: readonly string[];
}

/** A model's metrics under the names of its labels. */
export function measured({ map50, map, classes }: Metrics, labels: readonly string[]): Measured {
  return { map50, map, classes: classes.map(({ cls, objects, ap }) => ({ label: labels[cls]!, objects, ap })) };
}

/**
 * Holds a candidate against the champion on the same pictures. Where their labels differ, only classes that both know are
 * compared, and the means are taken over those; a candidate that no longer knows one of the champion's classes is refused.
 */
export function judge(
  candidate: Measured,
  champion: Measured | undefined,
  candidateLabels: readonly string[],
  championLabels: readonly string[],
  rules = gateRules,
): Verdict {
  if (!champion) return { promote: true, reasons: ["there is no champion yet"] };
  const against: string[] = [];
  const lost = championLabels.filter((label) => !candidateLabels.includes(label));
  if (lost.length > 0) against.push(`it does not know ${lost.join(", ")}, which the champion does`);
  const common = candidate.classes.filter(({ label }) => championLabels.includes(label));
  const theirs = new Map(champion.classes.map((each) => [each.label, each.ap]));
  const mean = (values: readonly number[]) => (values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length);
  const [ours, before] = [mean(common.map(({ ap }) => ap)), mean(common.map(({ label }) => theirs.get(label) ?? 0))];
  const compared = `mAP50-95 ${ours.toFixed(3)} against the champion's ${before.toFixed(3)}`;
  if (ours < before - rules.margin) against.push(`${compared}: worse by more than ${rules.margin}`);
  for (const { label, objects, ap } of common) {
    const old = theirs.get(label) ?? 0;
    if (objects >= rules.fewestObjects && ap < old - rules.classMargin)
      against.push(`${label}: AP50-95 ${ap.toFixed(3)} against ${old.toFixed(3)}, worse by more than ${rules.classMargin}`);
  }
  return against.length > 0 ? { promote: false, reasons: against } : { promote: true, reasons: [compared] };
}

/** How far the served model may be from the trainer on the same pictures: resizing goes by slightly different ways. */
const agreement = 0.05;

/** What else decides: whether the ONNX finds what the trainer found, and whether a person wants it published all the same. */
interface Circumstances {
  readonly onnxMap50: number;
  readonly trainerMap50: number;
  readonly force: boolean;
}

/** The verdict on a candidate that was held against the champion, with everything else that counts. */
export function decide(judged: Verdict, { onnxMap50, trainerMap50, force }: Circumstances): Verdict {
  const off = Math.abs(onnxMap50 - trainerMap50) > agreement;
  const against = [
    ...(off ? [`the ONNX model's mAP50 is ${onnxMap50.toFixed(3)} and the trainer's ${trainerMap50.toFixed(3)}: they do not agree`] : []),
    ...(judged.promote ? [] : judged.reasons),
  ];
  if (against.length === 0) return judged;
  return force ? { promote: true, reasons: [...against, "published all the same: force_publish"] } : { promote: false, reasons: against };
}
