import type { BoxXyxy } from "../boxes/boxes.ts";
import { padGrey } from "../boxes/letterbox.ts";
import { mixSeeds, type Random, seededRandom, uniform } from "./random.ts";

/** A decoded training picture, its longer side scaled to the training size. */
export interface Picture {
  /** [height, width, 3] uint8 RGB. */
  readonly pixels: Uint8Array;
  readonly width: number;
  readonly height: number;
  /** xyxy in this picture's pixels. */
  readonly objects: readonly LabelledObject[];
}

export interface LabelledObject {
  readonly box: BoxXyxy;
  readonly cls: number;
}

/** Strengths of the augmentations; the defaults are those of YOLOv5 and its heirs. */
export interface AugmentOptions {
  readonly mosaic: boolean;
  readonly hue: number;
  readonly saturation: number;
  readonly value: number;
  /** Largest shift, as a share of the picture. */
  readonly translate: number;
  /** Zoom is 1 ± this. */
  readonly scale: number;
  /** Probability of a left-right flip. */
  readonly flip: number;
}

export const defaultAugment: AugmentOptions = { mosaic: true, hue: 0.015, saturation: 0.7, value: 0.4, translate: 0.1, scale: 0.5, flip: 0.5 };

/** A picture placed on a canvas with its top-left corner at (left, top), visible inside `clip`. */
interface Tile {
  readonly picture: Picture;
  readonly left: number;
  readonly top: number;
  readonly clip: BoxXyxy;
}

/** One augmented sample: `pixels` [side, side, 3] float32 RGB in 0 … 1 is written at `into`. */
export interface Sample {
  readonly objects: readonly LabelledObject[];
}

/**
 * Writes the augmented sample `index` of an epoch into `into` and returns its objects. Mosaic (YOLOv4, arXiv 2004.10934),
 * zoom and shift are one inverse mapping from output to source pixels, so each pixel is interpolated once.
 */
export function augmentedSample(
  pictures: readonly Picture[],
  index: number,
  { side, seed, options }: { side: number; seed: readonly number[]; options: AugmentOptions },
  into: Float32Array,
): Sample {
  const random = seededRandom(mixSeeds(...seed, index));
  const tiles = options.mosaic ? mosaicTiles(pictures, index, side, random) : [centredTile(pictures[index]!, side)];
  const centre = options.mosaic ? side : side / 2;
  const zoom = uniform(random, 1 - options.scale, 1 + options.scale);
  const shiftX = uniform(random, 0.5 - options.translate, 0.5 + options.translate) * side;
  const shiftY = uniform(random, 0.5 - options.translate, 0.5 + options.translate) * side;
  const flip = random() < options.flip;
  const colour = colourTables(random, options);

  draw(tiles, into, side, { zoom, shiftX, shiftY, centre, flip });
  recolour(into, colour);

  const objects: LabelledObject[] = [];
  for (const { picture, left, top, clip } of tiles)
    for (const { box, cls } of picture.objects) {
      const onCanvas = clipTo([box[0] + left, box[1] + top, box[2] + left, box[3] + top], clip);
      const x = (value: number) => (value - centre) * zoom + shiftX;
      const y = (value: number) => (value - centre) * zoom + shiftY;
      const whole: BoxXyxy = [x(onCanvas[0]), y(onCanvas[1]), x(onCanvas[2]), y(onCanvas[3])];
      const seen = clipTo(whole, [0, 0, side, side]);
      if (!worthKeeping(seen, [box[2] - box[0], box[3] - box[1]], zoom)) continue;
      objects.push({ box: flip ? [side - seen[2], seen[1], side - seen[0], seen[3]] : seen, cls });
    }
  return { objects };
}

const clipTo = (box: BoxXyxy, clip: BoxXyxy): BoxXyxy => [
  Math.min(clip[2], Math.max(clip[0], box[0])),
  Math.min(clip[3], Math.max(clip[1], box[1])),
  Math.min(clip[2], Math.max(clip[0], box[2])),
  Math.min(clip[3], Math.max(clip[1], box[3])),
];

/** Whether enough of an object is left in the sample: over 2 px a side, a tenth of its area, no thinner than 1:100. */
function worthKeeping(seen: BoxXyxy, [width, height]: readonly [number, number], zoom: number): boolean {
  const [w, h] = [seen[2] - seen[0], seen[3] - seen[1]];
  return w > 2 && h > 2 && (w * h) / (width * zoom * height * zoom + 1e-9) > 0.1 && Math.max(w / h, h / w) < 100;
}

function centredTile(picture: Picture, side: number): Tile {
  const left = Math.floor((side - picture.width) / 2);
  const top = Math.floor((side - picture.height) / 2);
  return { picture, left, top, clip: [left, top, left + picture.width, top + picture.height] };
}

/** Four pictures that meet in a random point of a canvas of twice the side. */
function mosaicTiles(pictures: readonly Picture[], index: number, side: number, random: Random): Tile[] {
  const xc = Math.floor(uniform(random, side / 2, (side * 3) / 2));
  const yc = Math.floor(uniform(random, side / 2, (side * 3) / 2));
  const canvas = side * 2;
  const corners: readonly BoxXyxy[] = [
    [0, 0, xc, yc],
    [xc, 0, canvas, yc],
    [0, yc, xc, canvas],
    [xc, yc, canvas, canvas],
  ];
  return corners.map((corner, i) => {
    const picture = pictures[i === 0 ? index : Math.floor(random() * pictures.length)]!;
    const left = i % 2 === 0 ? xc - picture.width : xc;
    const top = i < 2 ? yc - picture.height : yc;
    return { picture, left, top, clip: clipTo([left, top, left + picture.width, top + picture.height], corner) };
  });
}

interface Mapping {
  readonly zoom: number;
  readonly shiftX: number;
  readonly shiftY: number;
  readonly centre: number;
  readonly flip: boolean;
}

/** Bilinear sampling of the tiles through the inverse of the mapping; grey where there is no tile. */
function draw(tiles: readonly Tile[], into: Float32Array, side: number, { zoom, shiftX, shiftY, centre, flip }: Mapping): void {
  into.fill(padGrey / 255);
  for (const { picture, left, top, clip } of tiles) {
    const { pixels, width, height } = picture;
    for (let py = 0; py < side; py++) {
      const cy = (py + 0.5 - shiftY) / zoom + centre;
      if (cy < clip[1] || cy >= clip[3]) continue;
      const sy = Math.min(height - 1, Math.max(0, cy - top - 0.5));
      const y0 = Math.floor(sy);
      const y1 = Math.min(height - 1, y0 + 1);
      const fy = sy - y0;
      for (let px = 0; px < side; px++) {
        const cx = ((flip ? side - px - 0.5 : px + 0.5) - shiftX) / zoom + centre;
        if (cx < clip[0] || cx >= clip[2]) continue;
        const sx = Math.min(width - 1, Math.max(0, cx - left - 0.5));
        const x0 = Math.floor(sx);
        const x1 = Math.min(width - 1, x0 + 1);
        const fx = sx - x0;
        const [a, b, c, d] = [(y0 * width + x0) * 3, (y0 * width + x1) * 3, (y1 * width + x0) * 3, (y1 * width + x1) * 3];
        const to = (py * side + px) * 3;
        for (let k = 0; k < 3; k++) {
          const upper = pixels[a + k]! + (pixels[b + k]! - pixels[a + k]!) * fx;
          const lower = pixels[c + k]! + (pixels[d + k]! - pixels[c + k]!) * fx;
          into[to + k] = (upper + (lower - upper) * fy) / 255;
        }
      }
    }
  }
}

interface Colour {
  readonly hue: number;
  readonly saturation: number;
  readonly value: number;
}

function colourTables(random: Random, options: AugmentOptions): Colour {
  const gain = (strength: number) => 1 + uniform(random, -1, 1) * strength;
  return { hue: gain(options.hue), saturation: gain(options.saturation), value: gain(options.value) };
}

/** Multiplies hue, saturation and value (RGB in 0 … 1, in place). */
function recolour(rgb: Float32Array, { hue, saturation, value }: Colour): void {
  if (hue === 1 && saturation === 1 && value === 1) return;
  for (let i = 0; i < rgb.length; i += 3) {
    const [r, g, b] = [rgb[i]!, rgb[i + 1]!, rgb[i + 2]!];
    const high = Math.max(r, g, b);
    const spread = high - Math.min(r, g, b);
    const v = Math.min(1, high * value);
    if (spread === 0) {
      rgb[i] = rgb[i + 1] = rgb[i + 2] = v;
      continue;
    }
    // Hue in sixths of the circle.
    let h = high === r ? (g - b) / spread : high === g ? 2 + (b - r) / spread : 4 + (r - g) / spread;
    h = ((((h < 0 ? h + 6 : h) * hue) % 6) + 6) % 6;
    const s = Math.min(1, (spread / high) * saturation);
    const channel = (n: number) => {
      const k = (n + h) % 6;
      return v - v * s * Math.max(0, Math.min(k, 4 - k, 1));
    };
    rgb[i] = channel(5);
    rgb[i + 1] = channel(3);
    rgb[i + 2] = channel(1);
  }
}
