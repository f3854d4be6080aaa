import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import sharp from "sharp";
import { mixSeeds, type Random, seededRandom, uniform } from "../yolo/src/augment/random.ts";
import type { PictureFile } from "../yolo/src/train/pictures.ts";

/** A drawn data set: the same name gives the same pictures, anywhere. */
interface Drawing {
  readonly labels: readonly string[];
  readonly train: number;
  readonly validation: number;
  /** Shapes in a picture. */
  shapes(random: Random): number;
  /** Their size, a share of the picture's side. */
  size(random: Random): number;
  /** Which class. */
  cls(random: Random): number;
}

const shapeNames = ["circle", "square", "triangle", "diamond", "cross"] as const;
const inks = ["red", "green", "blue", "yellow"] as const;

/** Shapes; small objects; a crowd; twenty classes of which some are rare. */
export const drawings = {
  shapes: {
    labels: shapeNames.slice(0, 3),
    train: 160,
    validation: 48,
    shapes: () => 4,
    size: (random) => uniform(random, 0.1, 0.3),
    cls: (random) => Math.floor(random() * 3),
  },
  small: {
    labels: shapeNames.slice(0, 3),
    train: 160,
    validation: 48,
    shapes: () => 8,
    size: (random) => uniform(random, 0.025, 0.06),
    cls: (random) => Math.floor(random() * 3),
  },
  crowded: {
    labels: shapeNames.slice(0, 3),
    train: 160,
    validation: 48,
    shapes: (random) => 30 + Math.floor(random() * 31),
    size: (random) => uniform(random, 0.05, 0.12),
    cls: (random) => Math.floor(random() * 3),
  },
  twenty: {
    labels: shapeNames.flatMap((shape) => inks.map((ink) => `${ink} ${shape}`)),
    train: 320,
    validation: 96,
    shapes: () => 5,
    size: (random) => uniform(random, 0.1, 0.25),
    // The square of a uniform number: the first class is nine times as frequent as the last.
    cls: (random) => Math.floor(random() ** 2 * 20),
  },
} as const satisfies Record<string, Drawing>;

export type DrawingName = keyof typeof drawings;

const colours: Record<(typeof inks)[number], number> = { red: 0, green: 120, blue: 225, yellow: 52 };

function outline(shape: (typeof shapeNames)[number], x: number, y: number, size: number, paint: string): string {
  const [cx, cy, x2, y2] = [x + size / 2, y + size / 2, x + size, y + size];
  const third = size / 3;
  switch (shape) {
    case "circle":
      return `<circle cx="${cx}" cy="${cy}" r="${size / 2}" ${paint}/>`;
    case "square":
      return `<rect x="${x}" y="${y}" width="${size}" height="${size}" ${paint}/>`;
    case "triangle":
      return `<polygon points="${cx},${y} ${x2},${y2} ${x},${y2}" ${paint}/>`;
    case "diamond":
      return `<polygon points="${cx},${y} ${x2},${cy} ${cx},${y2} ${x},${cy}" ${paint}/>`;
    case "cross":
      return `<path d="M${x + third} ${y}h${third}v${third}h${third}v${third}h${-third}v${third}h${-third}v${-third}h${-third}v${-third}h${third}z" ${paint}/>`;
  }
}

/** Draws one picture of a set: shapes of random colours on noise. They may overlap. */
async function draw(drawing: Drawing, seed: number, side: number): Promise<{ jpeg: Buffer; objects: PictureFile["objects"] }> {
  const random = seededRandom(seed);
  const noise = Buffer.alloc(side * side * 3);
  for (let i = 0; i < noise.length; i++) noise[i] = random() * 256;
  const objects: PictureFile["objects"][number][] = [];
  const shapes: string[] = [];
  for (let n = drawing.shapes(random); n > 0; n--) {
    const cls = drawing.cls(random);
    const label = drawing.labels[cls]!;
    const size = drawing.size(random) * side;
    const [x, y] = [uniform(random, 0, side - size), uniform(random, 0, side - size)];
    const [ink, named] = label.includes(" ")
      ? (label.split(" ") as [keyof typeof colours, (typeof shapeNames)[number]])
      : [undefined, label as (typeof shapeNames)[number]];
    const hue = ink ? colours[ink] + uniform(random, -8, 8) : random() * 360;
    const paint = `fill="hsl(${hue.toFixed(0)}, ${uniform(random, 60, 100).toFixed(0)}%, ${uniform(random, 35, 65).toFixed(0)}%)"`;
    shapes.push(outline(named, x, y, size, paint));
    objects.push({ cls, xywh: [(x + size / 2) / side, (y + size / 2) / side, size / side, size / side] });
  }
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${side}" height="${side}">${shapes.join("")}</svg>`;
  const jpeg = await sharp(noise, { raw: { width: side, height: side, channels: 3 } })
    .composite([{ input: Buffer.from(svg) }])
    .jpeg({ quality: 92 })
    .toBuffer();
  return { jpeg, objects };
}

/** Writes a drawn set into `folder` and gives what training needs of it. */
export async function drawSet(
  name: DrawingName,
  folder: string,
  side = 320,
): Promise<{ labels: readonly string[]; train: PictureFile[]; validation: PictureFile[] }> {
  const drawing: Drawing = drawings[name];
  await mkdir(folder, { recursive: true });
  const pictures: PictureFile[] = [];
  for (let i = 0; i < drawing.train + drawing.validation; i++) {
    const { jpeg, objects } = await draw(drawing, mixSeeds(i, name.length, side), side);
    const file = path.join(folder, `${name}-${i}.jpg`);
    await writeFile(file, jpeg);
    pictures.push({ file, objects });
  }
  return { labels: drawing.labels, train: pictures.slice(0, drawing.train), validation: pictures.slice(drawing.train) };
}
