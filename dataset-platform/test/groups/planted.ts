import sharp from "sharp";
import { type Random, uniform } from "../../../yolo/src/augment/random.ts";
import { asSharp, type Drawn, withShapes } from "./drawn-pictures.ts";

/** What a picture can be turned into that must still be found: JPEG, PNG or pixels, from the original. */
export type Planted = (original: Drawn, random: Random) => Promise<Buffer>;

const cropTo = async ({ data, width, height }: Drawn, share: number, atX: number, atY: number): Promise<Buffer> => {
  const [w, h] = [Math.round(width * share), Math.round(height * share)];
  const region = { left: Math.round((width - w) * atX), top: Math.round((height - h) * atY), width: w, height: h };
  return asSharp({ data, width, height }).extract(region).jpeg({ quality: 88 }).toBuffer();
};

const jpeg =
  (quality: number): Planted =>
  (original) =>
    asSharp(original).jpeg({ quality }).toBuffer();
const resized =
  (factor: number): Planted =>
  ({ data, width, height }) =>
    asSharp({ data, width, height })
      .resize(Math.round(width * factor), Math.round(height * factor), { fit: "fill" })
      .jpeg({ quality: 90 })
      .toBuffer();
const linear =
  (gain: number, offset: number): Planted =>
  (original) =>
    asSharp(original).linear(gain, offset).jpeg({ quality: 90 }).toBuffer();

/** One frame after another: the camera has moved and zoomed by up to 3 %, an object has moved, and the noise is new. */
const videoFrame: Planted = async (original, random) => {
  const { width, height } = original;
  const zoom = uniform(random, 0.97, 1);
  const [w, h] = [Math.round(width * zoom), Math.round(height * zoom)];
  const region = { left: Math.round((width - w) * random()), top: Math.round((height - h) * random()), width: w, height: h };
  const noise = Buffer.alloc(w * h * 3);
  const seen = await asSharp(original).extract(region).raw().toBuffer();
  for (let i = 0; i < noise.length; i++) noise[i] = Math.max(0, Math.min(255, seen[i]! + (random() + random() + random() - 1.5) * 12));
  return sharp(noise, { raw: { width: w, height: h, channels: 3 } })
    .resize(width, height, { fit: "fill" })
    .jpeg({ quality: 80 })
    .toBuffer();
};

export const plants: Readonly<Record<string, Planted>> = {
  "JPEG 30": jpeg(30),
  "JPEG 50": jpeg(50),
  "JPEG 95": jpeg(95),
  "resize 0.25": resized(0.25),
  "resize 0.6": resized(0.6),
  "resize 2": resized(2),
  "brightness × 1.25": linear(1.25, 0),
  "brightness × 0.75": linear(0.75, 0),
  "brightness + 64": linear(1, 64),
  "brightness − 64": linear(1, -64),
  "contrast × 1.25": linear(1.25, -32),
  "contrast × 0.75": linear(0.75, 32),
  "crop 90 %, centre": (original) => cropTo(original, 0.9, 0.5, 0.5),
  "crop 90 %, corner": (original, random) => cropTo(original, 0.9, Math.round(random()), Math.round(random())),
  "crop 90 %, anywhere": (original, random) => cropTo(original, 0.9, random(), random()),
  "crop 90–100 %, anywhere": (original, random) => cropTo(original, uniform(random, 0.9, 1), random(), random()),
  mirror: (original) => asSharp(original).flop().jpeg({ quality: 90 }).toBuffer(),
  "mirror, crop 90 %": async (original, random) =>
    sharp(await cropTo(original, 0.9, random(), random()))
      .flop()
      .jpeg({ quality: 88 })
      .toBuffer(),
  "next frame": videoFrame,
};

/** What a fixed camera sees when another object stands there: neither a near-duplicate for certain, nor for certain not. */
export const otherObject: Planted = async (original, random) =>
  asSharp(await withShapes(random, original, 1))
    .jpeg({ quality: 85 })
    .toBuffer();
