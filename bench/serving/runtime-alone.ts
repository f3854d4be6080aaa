// Runs a model as often as it can for some seconds, with nothing around it; prints how often. Arguments: ONNX side seconds.
import { readFile } from "node:fs/promises";
import { InferenceSession, Tensor } from "onnxruntime-node";

const [file = "", side = "640", seconds = "10"] = process.argv.slice(2);
const session = await InferenceSession.create(await readFile(file), { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 });
const size = 3 * Number(side) ** 2;
const images = new Tensor("float32", new Float32Array(size).fill(0.5), [1, 3, Number(side), Number(side)]);
for (let i = 0; i < 3; i++) await session.run({ images });
const started = performance.now();
let runs = 0;
while (performance.now() - started < Number(seconds) * 1000) {
  await session.run({ images });
  runs++;
}
console.log(JSON.stringify({ perSecond: (runs * 1000) / (performance.now() - started) }));
