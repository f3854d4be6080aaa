import { TerminalError } from "airloom";
import { z } from "zod";
import type { AugmentOptions } from "@airloom/yolo/augment/sample.ts";
import { defaultOptions, mostFrozen, type TrainConfig, type TrainOptions } from "@airloom/yolo/train/options.ts";

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

const share = z.number().min(0).max(1);
const degrees = z.number().min(0).max(180);

/** A `TrainConfig`, with the limits of each number. */
const configSchema = schema
  .omit({ model: true, imgsz: true })
  .extend({
    size: z.enum(["n", "s", "m", "l", "x"]),
    side: schema.shape.imgsz,
    lrf: share,
    momentum: share,
    weightDecay: share,
    warmupEpochs: z.number().min(0),
    cacheMiB: z.number().min(0),
    augment: z
      .strictObject({
        mosaic: share,
        mixup: share,
        hue: share,
        saturation: share,
        value: share,
        degrees,
        translate: share,
        // Of a zoom of 1 ± 1 nothing might be left.
        scale: z.number().min(0).max(0.95),
        shear: degrees,
        flip: share,
        flipUd: share,
      } satisfies Record<keyof AugmentOptions, z.ZodType>)
      .partial(),
  } satisfies Partial<Record<keyof TrainOptions, z.ZodType>>)
  .partial()
  .strict();

/** The options that a module exports, once each is known to fit; `place` is named where one does not. */
export function configFrom(exported: unknown, place: string): TrainConfig {
  const result = configSchema.safeParse(exported);
  if (result.success) return result.data as TrainConfig;
  throw new TerminalError(
    result.error.issues.map((issue) => `${place}: ${issue.path.length > 0 ? `${issue.path.join(".")}: ` : ""}${issue.message}`).join("\n"),
  );
}

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
