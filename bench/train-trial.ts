import { mkdirSync, writeFileSync } from "node:fs";
import { drawPicture, shapeLabels } from "../scripts/demo/draw.ts";
import { toYolo } from "../yolo/src/boxes/boxes.ts";
import { train } from "../yolo/src/train/train.ts";
const [n, side, epochs, batch] = process.argv.slice(2).map(Number) as [number, number, number, number];
mkdirSync("/tmp/trial", { recursive: true });
const files = [];
for (let i = 0; i < n; i++) {
  const p = await drawPicture(i);
  writeFileSync(`/tmp/trial/${i}.jpg`, p.jpeg);
  files.push({ file: `/tmp/trial/${i}.jpg`, objects: p.objects.map((o) => ({ cls: shapeLabels.indexOf(o.label), xywh: toYolo(o.box, p.width, p.height) })) });
}
const cut = Math.floor(n * 0.8);
const t = Date.now();
await train(
  { train: files.slice(0, cut), validation: files.slice(cut), labels: [...shapeLabels], size: "n", side, epochs, batch, seed: 0 },
  { onEpoch: async (r) => console.log(((Date.now() - t) / 1000).toFixed(0), r.epoch, r.boxLoss.toFixed(3), r.clsLoss.toFixed(3), r.dflLoss.toFixed(3), "mAP50", r.metrics.map50.toFixed(3), r.metrics.map.toFixed(3), r.imagesPerSecond.toFixed(1), "img/s", (process.memoryUsage().rss / 1e6).toFixed(0)) },
);
