import { dag, mapGroup, task } from "airloom";

const list = task("list", {}, async () => [{ sha256: "ab", bytes: 3 }]);
const decode = task("decode", {}, async (input: { sha256: string }) => ({ width: input.sha256.length }));
const store = task("store", {}, async (input: { width: number; bytes: number }) => input.width * input.bytes);
const sum = task("sum", {}, async (input: { values: readonly number[] }) => input.values.length);

export default dag("mapped_group", { schedule: null }, () => {
  const perImage = mapGroup("per_image", list({}), (image) => {
    const decoded = decode({ sha256: image.sha256 });
    return store({ width: decoded.width, bytes: image.bytes });
  });
  sum({ values: perImage.result });
});
