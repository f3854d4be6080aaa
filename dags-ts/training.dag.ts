import { dag } from "airloom";
import { exportDataset } from "../runners/dataset/task.ts";
import { evaluateModel } from "../runners/evaluate/task.ts";
import { publishModel } from "../runners/publish/task.ts";
import { registerModel } from "../runners/register/task.ts";
import { trainModel } from "../runners/train/task.ts";

/** What the person who triggers the pipeline may choose. */
export interface TrainingConf {
  /** Dataset version: HEAD, or a tag, branch or commit of the storage's Git repository. @default "HEAD" @minLength 1 @maxLength 200 */
  version: string;
  /** Training epochs. @default 10 @minimum 1 @maximum 10000 @asType integer */
  epochs: number;
  /** Name for MLflow's model registry. @default "YOLOv8_Demo" @pattern ^[\w. -]{1,100}$ */
  model_name: string;
  /** Share of the images that training gets; the others validate. @default 0.8 @minimum 0.05 @maximum 0.95 */
  split: number;
  /** Side of the training pictures in pixels, a multiple of 32. @default 640 @minimum 32 @maximum 2048 @multipleOf 32 @asType integer */
  imgsz: number;
  /** Pictures a step. @default 8 @minimum 1 @maximum 256 @asType integer */
  batch: number;
  /** Seed of everything random: the same one gives the same model. @default 0 @minimum 0 @asType integer */
  seed: number;
}

/** Trains YOLOv8 on a dataset version, registers the model in MLflow and hands it to the inference service. */
export default dag<TrainingConf>("training_pipeline", { schedule: null, retries: 2, maxActiveRuns: 1, tags: ["airloom", "model"] }, ({ conf }) => {
  const dataset = exportDataset({ version: conf.version, split: conf.split });
  const trained = trainModel({ dataset, modelName: conf.model_name, epochs: conf.epochs, imgsz: conf.imgsz, batch: conf.batch, seed: conf.seed });
  const evaluation = evaluateModel({ dataset, trained, imgsz: conf.imgsz });
  const registered = registerModel({ modelName: conf.model_name, trained }, { after: evaluation });
  publishModel({ registered, trained, evaluation, dataset, imgsz: conf.imgsz });
});
