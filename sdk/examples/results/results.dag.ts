import { dag, task, xcom } from "airloom";

interface Batch {
  id: string;
  images: { sha256: string; bytes: number }[];
}

const load = task("load", { multipleOutputs: true }, async (_input: object, { setXCom }): Promise<Batch> => {
  await setXCom("seconds", 12);
  return { id: "b1", images: [{ sha256: "ab", bytes: 10 }] };
});
const report = task("report", {}, async (input: { batch: string; first: string; sizes: readonly { bytes: number }[]; seconds: number }) => input.sizes.length);

export default dag("results", { schedule: null }, () => {
  const batch = load({});
  report({ batch: batch.id, first: batch.images.at(0).sha256, sizes: batch.images, seconds: xcom<number>(batch, "seconds") });
});
