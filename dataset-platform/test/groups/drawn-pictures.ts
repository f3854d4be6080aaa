import sharp, { type Sharp } from "sharp";
import { mixSeeds, type Random, seededRandom, uniform } from "../../../yolo/src/augment/random.ts";

/** RGB pixels of a drawn picture, as sharp takes them. */
export interface Drawn {
  readonly data: Buffer;
  readonly width: number;
  readonly height: number;
}

export const asSharp = ({ data, width, height }: Drawn): Sharp => sharp(data, { raw: { width, height, channels: 3 } });

export const drawnKinds = ["clouds", "scene", "shapes", "texture", "street"] as const;

/** A picture of noise, shapes, a landscape, a texture or a street, drawn from its number alone. */
export async function drawVaried(number: number, width = 320, height = 240): Promise<Drawn> {
  const random = seededRandom(mixSeeds(number, 4711));
  switch (drawnKinds[number % drawnKinds.length]!) {
    case "clouds":
      return painted(random, width, height, fractalNoise(random, width, height, 2 + Math.floor(random() * 8), uniform(random, 0.45, 0.9)));
    case "scene":
      return landscape(random, width, height);
    case "shapes":
      return withShapes(random, painted(random, width, height, gradient(random, width, height)), 2 + Math.floor(random() * 8));
    case "texture":
      return painted(random, width, height, texture(random, width, height));
    case "street":
      return withShapes(random, await landscape(random, width, height), 3 + Math.floor(random() * 6));
  }
}

/** Sum of octaves of value noise, each of twice the frequency and `roughness` of the amplitude; about 0 … 1. */
function fractalNoise(random: Random, width: number, height: number, cells: number, roughness: number): Float32Array {
  const field = new Float32Array(width * height);
  let [amplitude, total] = [1, 0];
  for (let n = cells; n < width / 2; n *= 2, amplitude *= roughness) {
    const side = n + 2;
    const grid = Float32Array.from({ length: side * side }, random);
    for (let y = 0; y < height; y++) {
      const gy = (y / height) * n;
      const [iy, fy] = [Math.floor(gy), smooth(gy - Math.floor(gy))];
      for (let x = 0; x < width; x++) {
        const gx = (x / width) * n;
        const [ix, fx] = [Math.floor(gx), smooth(gx - Math.floor(gx))];
        const at = iy * side + ix;
        const top = grid[at]! + (grid[at + 1]! - grid[at]!) * fx;
        const bottom = grid[at + side]! + (grid[at + side + 1]! - grid[at + side]!) * fx;
        field[y * width + x]! += amplitude * (top + (bottom - top) * fy);
      }
    }
    total += amplitude;
  }
  return field.map((value) => value / total);
}

const smooth = (t: number): number => t * t * (3 - 2 * t);

function gradient(random: Random, width: number, height: number): Float32Array {
  const [angle, bend, low, high] = [uniform(random, 0, 2 * Math.PI), uniform(random, -1, 1), random() * 0.4, 0.6 + random() * 0.4];
  return Float32Array.from({ length: width * height }, (_, at) => {
    const [x, y] = [(at % width) / width - 0.5, Math.floor(at / width) / height - 0.5];
    return low + (high - low) * (0.5 + x * Math.cos(angle) * 0.7 + y * Math.sin(angle) * 0.7 + bend * x * y);
  });
}

/** Stripes, checks or waves of any period, bent by noise so that no two places look the same. */
function texture(random: Random, width: number, height: number): Float32Array {
  const [periodX, periodY, angle] = [uniform(random, 2, 14), uniform(random, 2, 14), uniform(random, 0, Math.PI)];
  const bend = fractalNoise(random, width, height, 3, 0.5);
  const [strength, hard, kind] = [uniform(random, 0.2, 0.8), random() < 0.5, Math.floor(random() * 3)];
  return bend.map((n, at) => {
    const [x, y] = [(at % width) / width + n * strength, Math.floor(at / width) / height - n * strength];
    const [u, v] = [x * Math.cos(angle) + y * Math.sin(angle), y * Math.cos(angle) - x * Math.sin(angle)];
    const [a, b] = [Math.sin(2 * Math.PI * u * periodX), Math.sin(2 * Math.PI * v * periodY)];
    const wave = kind === 0 ? a : kind === 1 ? a * b : (a + b) / 2;
    return 0.5 + 0.35 * (hard ? Math.sign(wave) : wave) + 0.3 * (n - 0.5);
  });
}

/** Sky, a horizon, hills and ground with noise of their own. */
async function landscape(random: Random, width: number, height: number): Promise<Drawn> {
  const rough = fractalNoise(random, width, height, 4, 0.6);
  const hills = fractalNoise(random, width, 1, 3, 0.5);
  const [horizon, swing, sky, ground] = [uniform(random, 0.2, 0.7), uniform(random, 0.05, 0.4), colour(random), colour(random)];
  const data = Buffer.alloc(width * height * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const edge = horizon + swing * (hills[x]! - 0.5);
      const isSky = y / height < edge;
      const shade = isSky ? 0.9 + 0.3 * (y / height) + 0.15 * (rough[y * width + x]! - 0.5) : 0.5 + 0.9 * rough[y * width + x]!;
      for (let c = 0; c < 3; c++) data[(y * width + x) * 3 + c] = clamp((isSky ? sky : ground)[c]! * shade);
    }
  return withShapes(random, { data, width, height }, 2 + Math.floor(random() * 5));
}

function painted(random: Random, width: number, height: number, field: Float32Array): Drawn {
  const from = colour(random);
  let to = colour(random);
  // One brightness in two colours is a case of its own.
  while (Math.abs(brightness(to) - brightness(from)) < 30) to = colour(random);
  const data = Buffer.alloc(width * height * 3);
  for (let at = 0; at < field.length; at++) for (let c = 0; c < 3; c++) data[at * 3 + c] = clamp(from[c]! + (to[c]! - from[c]!) * field[at]!);
  return { data, width, height };
}

/** Adds ellipses, boxes and triangles. */
export async function withShapes(random: Random, under: Drawn, count: number): Promise<Drawn> {
  const { width, height } = under;
  const shapes = Array.from({ length: count }, () => {
    const [w, h] = [uniform(random, 0.08, 0.4) * width, uniform(random, 0.08, 0.4) * height];
    const [x, y] = [uniform(random, -0.1, 0.9) * width, uniform(random, -0.1, 0.9) * height];
    const fill = `fill="rgb(${colour(random).map(Math.round).join()})" transform="rotate(${uniform(random, 0, 90)} ${x + w / 2} ${y + h / 2})"`;
    const kind = Math.floor(random() * 3);
    if (kind === 0) return `<ellipse cx="${x + w / 2}" cy="${y + h / 2}" rx="${w / 2}" ry="${h / 2}" ${fill}/>`;
    if (kind === 1) return `<rect x="${x}" y="${y}" width="${w}" height="${h}" ${fill}/>`;
    return `<polygon points="${x + w / 2},${y} ${x + w},${y + h} ${x},${y + h}" ${fill}/>`;
  });
  const svg = Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${shapes.join("")}</svg>`);
  const data = await asSharp(under)
    .composite([{ input: svg }])
    .removeAlpha()
    .raw()
    .toBuffer();
  return { data, width, height };
}

const colour = (random: Random): [number, number, number] => [uniform(random, 20, 235), uniform(random, 20, 235), uniform(random, 20, 235)];
const brightness = ([r, g, b]: readonly [number, number, number]): number => 0.299 * r + 0.587 * g + 0.114 * b;
const clamp = (value: number): number => Math.max(0, Math.min(255, value));
