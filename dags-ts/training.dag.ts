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
  /** Share of the images that neither training nor validation sees, and the model is measured on in the end; 0 for none. @default 0 @minimum 0 @maximum 0.5 */
  test_share: number;
  /** Labels to train with; all of the version where none is named. @default [] */
  classes: string[];
  /** Side of the training pictures in pixels, a multiple of 32. @default 640 @minimum 32 @maximum 2048 @multipleOf 32 @asType integer */
  imgsz: number;
  /** Pictures a step; 0 chooses by the memory that is free. @default 8 @minimum 0 @maximum 256 @asType integer */
  batch: number;
  /** Seed of everything random: the same one gives the same model. @default 0 @minimum 0 @asType integer */
  seed: number;
  /** The network's size. @default "yolov8n" */
  model: "yolov8n" | "yolov8s" | "yolov8m" | "yolov8l" | "yolov8x";
  /** Epochs without improvement after which training ends. @default 100 @minimum 1 @asType integer */
  patience: number;
  /** Optimiser; auto takes AdamW for short runs and SGD for long ones. @default "auto" */
  optimizer: "auto" | "SGD" | "AdamW";
  /** What training computes in; bf16 is about one and a half times as fast on CPUs with AMX. @default "fp32" */
  precision: "fp32" | "bf16";
  /** First learning rate; 0 for the optimiser's own. @default 0 @minimum 0 @maximum 1 */
  lr0: number;
  /** Epochs at the end without mosaic, at most a fifth of all. @default 10 @minimum 0 @asType integer */
  close_mosaic: number;
  /** Modules of the backbone, from its start, that stay as they are; 10 are all. @default 0 @minimum 0 @maximum 10 @asType integer */
  freeze: number;
  /** Hours after which training ends, at the end of an epoch; 0 for no limit. @default 0 @minimum 0 */
  time: number;
  /** A file of weights on the workers to begin with (safetensors, ONNX or .pt); empty trains from scratch. @default "" @maxLength 1000 */
  weights: string;
  /** Serves the model in 8 bits, about twice as fast, if it loses no more than a point of mAP50-95. @default false */
  int8: boolean;
  /** Publishes the model even if it is worse than the one that is published now. @default false */
  force_publish: boolean;
}

/** Trains YOLOv8 on a dataset version, registers the model in MLflow and hands it to the inference service. */
export default dag<TrainingConf>("training_pipeline", { schedule: null, retries: 2, maxActiveRuns: 1, tags: ["airloom", "model"] }, ({ conf }) => {
  const dataset = exportDataset({ version: conf.version, split: conf.split, test: conf.test_share, classes: conf.classes });
  const trained = trainModel({
    dataset,
    modelName: conf.model_name,
    model: conf.model,
    epochs: conf.epochs,
    imgsz: conf.imgsz,
    batch: conf.batch,
    seed: conf.seed,
    patience: conf.patience,
    optimizer: conf.optimizer,
    precision: conf.precision,
    lr0: conf.lr0,
    closeMosaic: conf.close_mosaic,
    freeze: conf.freeze,
    time: conf.time,
    weights: conf.weights,
  });
  const evaluation = evaluateModel({ dataset, trained, imgsz: conf.imgsz, force: conf.force_publish, int8: conf.int8 });
  const registered = registerModel({ modelName: conf.model_name, trained, evaluation, dataset });
  publishModel({ registered, trained, evaluation, dataset, imgsz: conf.imgsz });
});
