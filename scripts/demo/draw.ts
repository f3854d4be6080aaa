import { createHash } from "node:crypto";
import sharp from "sharp";
import { mixSeeds, seededRandom, uniform } from "../../yolo/src/augment/random.ts";
import { type BoxXyxy, iouOf } from "../../yolo/src/boxes/boxes.ts";

/** The demo's classes. */
export const shapeLabels = ["circle", "square", "triangle"] as const;

export interface DrawnPicture {
  readonly jpeg: Buffer;
  /** Of the JPEG. */
  readonly sha256: string;
  readonly width: number;
  readonly height: number;
  readonly objects: readonly { readonly label: (typeof shapeLabels)[number]; readonly box: BoxXyxy }[];
}

/** A picture of one to four coloured shapes on noise; the same number gives the same picture. */
export async function drawPicture(number: number, { width = 320, height = 240 } = {}): Promise<DrawnPicture> {
  const random = seededRandom(mixSeeds(number, 77));
  const noise = Buffer.alloc(width * height * 3);
  const base = [uniform(random, 60, 190), uniform(random, 60, 190), uniform(random, 60, 190)];
  for (let i = 0; i < noise.length; i++) noise[i] = Math.max(0, Math.min(255, base[i % 3]! + uniform(random, -40, 40)));
  const objects: DrawnPicture["objects"][number][] = [];
  const shapes: string[] = [];
  const wanted = 1 + Math.floor(random() * 4);
  for (let attempt = 0; objects.length < wanted && attempt < 40; attempt++) {
    const size = uniform(random, 36, 90);
    const x = uniform(random, 2, width - size - 2);
    const y = uniform(random, 2, height - size - 2);
    const box: BoxXyxy = [x, y, x + size, y + size];
    if (objects.some((object) => iouOf(object.box, box) > 0.02)) continue;
    const label = shapeLabels[Math.floor(random() * shapeLabels.length)]!;
    const colour = `hsl(${Math.floor(random() * 360)}, ${Math.floor(uniform(random, 60, 100))}%, ${Math.floor(uniform(random, 30, 70))}%)`;
    objects.push({ label, box });
    shapes.push(outline(label, box, colour));
  }
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${shapes.join("")}</svg>`;
  const jpeg = await sharp(noise, { raw: { width, height, channels: 3 } })
    .composite([{ input: Buffer.from(svg) }])
    .jpeg({ quality: 92 })
    .toBuffer();
  return { jpeg, sha256: createHash("sha256").update(jpeg).digest("hex"), width, height, objects };
}

function outline(label: (typeof shapeLabels)[number], [x1, y1, x2, y2]: BoxXyxy, colour: string): string {
  const paint = `fill="${colour}" stroke="black" stroke-opacity="0.4"`;
  const [cx, r] = [(x1 + x2) / 2, (x2 - x1) / 2];
  if (label === "circle") return `<circle cx="${cx}" cy="${(y1 + y2) / 2}" r="${r}" ${paint}/>`;
  if (label === "square") return `<rect x="${x1}" y="${y1}" width="${x2 - x1}" height="${y2 - y1}" ${paint}/>`;
  return `<polygon points="${cx},${y1} ${x2},${y2} ${x1},${y2}" ${paint}/>`;
}
