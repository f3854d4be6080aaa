import { dag, each, task, zip } from "airloom";

const list = task("list", {}, async () => ["a.jpg", "b.jpg"]);
const sizes = task("sizes", {}, async () => [10, 20]);
const jobs = task("jobs", {}, async () => [{ file: "a.jpg", size: 1 }]);
const hash = task("hash", {}, async (input: { file: string; algorithm: "sha256" | "md5" }) => input.file.length);
const resize = task("resize", {}, async (input: { file: string; size: number }) => input.size);
const total = task("total", {}, async (input: { values: readonly number[] }) => input.values.length);

export default dag("mapping", { schedule: null }, () => {
  const files = list({});
  const hashes = hash.expand({ file: files }, { algorithm: "sha256" }, { instanceName: "file", maxActivePerRun: 2 });
  total({ values: hashes });
  hash.partial({ algorithm: "md5" }).expand({ file: ["x.jpg", "y.jpg"] }, { id: "hash_known" });
  resize.expand({ file: files, size: [16, 32] }, {}, { id: "every_pair" });
  resize.expand(each(jobs({})), {}, { id: "each_job" });
  resize.expand(zip({ file: files, size: sizes({}) }), {}, { id: "side_by_side" });
});
