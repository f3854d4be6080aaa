import { TerminalError } from "airloom";
import { z } from "zod";
import { defaultOptions, mostFrozen, type TrainOptions } from "@airloom/yolo/train/options.ts";

/** What a person writes, by the names that they know, and its limits. */
const schema = z.object({
  model: z.string().regex(/^yolov8[nsmlx]$/, "is not one of yolov8n, yolov8s, yolov8m, yolov8l, yolov8x"),
  epochs: z.number().int().min(1).max(10_000),
  imgsz: z.number().int().min(32).max(2048).multipleOf(32),
  batch: z.number().int().min(0).max(256),
  seed: z.number().int().min(0),
  patience: z.number().int().min(1),
  optimizer: z.enum(["auto", "SGD", "AdamW"]),
  lr0: z.number().min(0).max(1),
  closeMosaic: z.number().int().min(0),
  freeze: z.number().int().min(0).max(mostFrozen),
  time: z.number().min(0),
  weights: z.string(),
  accumulate: z.number().int().min(1).max(1024),
  engine: z.enum(["traced", "eager"]),
  precision: z.enum(["fp32", "bf16"]),
});

/** A run's options from what a person wrote; what is missing is the default. Throws an error that names each that does not fit. */
export function optionsFrom(written: Readonly<Record<string, unknown>>): TrainOptions {
  const result = schema.partial().safeParse(written);
  if (!result.success) throw new TerminalError(result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("\n"));
  const { model, imgsz, lr0, weights, ...same } = result.data;
  return {
    ...defaultOptions,
    ...Object.fromEntries(Object.entries(same).filter(([, value]) => value !== undefined)),
    ...(model && { size: model.at(-1) as TrainOptions["size"] }),
    ...(imgsz && { side: imgsz }),
    ...(lr0 && { lr0 }),
    ...(weights && { weights }),
  };
}
