import { type Asked, askedOnAll } from "../boxes/asked.ts";
import type { BoxXyxy } from "../boxes/boxes.ts";
import { padGrey } from "../boxes/letterbox.ts";
import { type Affine, mapBox, type MoveOptions, randomAffine } from "./affine.ts";
import { type ColourOptions, recolour } from "./colour.ts";
import { drawTile, type Tile } from "./draw.ts";
import { mixSeeds, type Random, seededRandom, uniform } from "./random.ts";

/** A decoded picture, its longer side scaled to the training size. */
export interface Picture {
  /** [height, width, 3] uint8 RGB. */
  readonly pixels: Uint8Array;
  readonly width: number;
  readonly height: number;
  /** xyxy in this picture's pixels. */
  readonly objects: readonly LabelledObject[];
  readonly asked?: Asked;
}

/** What is known of a sample. */
export interface Sample {
  /** xyxy in the sample's pixels. */
  readonly objects: readonly LabelledObject[];
  /** What was asked on every picture that is in it. */
  readonly asked: Asked;
}

export interface LabelledObject {
  readonly box: BoxXyxy;
  readonly cls: number;
}

/** Strengths and probabilities of the augmentations. */
export interface AugmentOptions extends MoveOptions, ColourOptions {
  /** Probability that a sample is made of four pictures. */
  readonly mosaic: number;
  /** Probability that a mosaic is blended with another one. */
  readonly mixup: number;
}

/** Those of YOLOv5 and its heirs. */
export const defaultAugment: AugmentOptions = {
  mosaic: 1,
  mixup: 0,
  hue: 0.015,
  saturation: 0.7,
  value: 0.4,
  degrees: 0,
  translate: 0.1,
  scale: 0.5,
  shear: 0,
  flip: 0.5,
  flipUd: 0,
};

/** The pictures of a split; those that are not in memory are decoded. */
export interface PictureSource {
  readonly length: number;
  get(index: number): Promise<Picture>;
}

/**
 * Writes the augmented sample of picture `index` into `into` [side, side, 3] uint8 RGB and gives what is known of it. The
 * same seed gives the same sample. Mosaic is YOLOv4's (arXiv 2004.10934), mixup arXiv 1710.09412's.
 */
export async function augmentedSample(
  pictures: PictureSource,
  index: number,
  { side, seed, options }: { side: number; seed: readonly number[]; options: AugmentOptions },
  into: Uint8Array,
): Promise<Sample> {
  const random = seededRandom(mixSeeds(...seed, index));
  const mosaic = random() < options.mosaic;
  const parts = [await placed(pictures, index, mosaic, side, random, options, into)];
  if (mosaic && options.mixup > 0 && random() < options.mixup) {
    const other = new Uint8Array(into.length);
    const partner = Math.floor(random() * pictures.length);
    parts.push(await placed(pictures, partner, true, side, random, options, other));
    const share = betaOf32(random);
    for (let i = 0; i < into.length; i++) into[i] = Math.round(into[i]! * share + other[i]! * (1 - share));
  }
  recolour(into, random, options);
  return { objects: parts.flatMap(({ objects }) => objects), asked: askedOnAll(parts.map(({ asked }) => asked)) };
}

/** A mosaic or a single picture, moved. */
async function placed(
  pictures: PictureSource,
  index: number,
  mosaic: boolean,
  side: number,
  random: Random,
  options: AugmentOptions,
  into: Uint8Array,
): Promise<Sample> {
  const tiles = mosaic ? await mosaicTiles(pictures, index, side, random) : [centredTile(await pictures.get(index), side)];
  const affine = randomAffine(random, side, mosaic ? side : side / 2, options);
  into.fill(padGrey);
  for (const tile of tiles) drawTile(tile, into, side, affine);
  return { objects: tiles.flatMap((tile) => tileObjects(tile, side, affine)), asked: askedOnAll(tiles.map(({ picture }) => picture.asked)) };
}

function tileObjects({ picture, left, top, clip }: Tile, side: number, affine: Affine): LabelledObject[] {
  const grown = Math.abs(affine.a * affine.d - affine.b * affine.c);
  return picture.objects.flatMap(({ box, cls }) => {
    const onCanvas = clipTo([box[0] + left, box[1] + top, box[2] + left, box[3] + top], clip);
    const seen = clipTo(mapBox(affine, onCanvas), [0, 0, side, side]);
    return worthKeeping(seen, (box[2] - box[0]) * (box[3] - box[1]) * grown) ? [{ box: seen, cls }] : [];
  });
}

const clipTo = (box: BoxXyxy, clip: BoxXyxy): BoxXyxy => [
  Math.min(clip[2], Math.max(clip[0], box[0])),
  Math.min(clip[3], Math.max(clip[1], box[1])),
  Math.min(clip[2], Math.max(clip[0], box[2])),
  Math.min(clip[3], Math.max(clip[1], box[3])),
];

/** Whether enough of an object is left in the sample: over 2 px a side, a tenth of its area, no thinner than 1:100. */
function worthKeeping(seen: BoxXyxy, area: number): boolean {
  const [w, h] = [seen[2] - seen[0], seen[3] - seen[1]];
  return w > 2 && h > 2 && (w * h) / (area + 1e-9) > 0.1 && Math.max(w / h, h / w) < 100;
}

function centredTile(picture: Picture, side: number): Tile {
  const left = Math.floor((side - picture.width) / 2);
  const top = Math.floor((side - picture.height) / 2);
  return { picture, left, top, clip: [left, top, left + picture.width, top + picture.height] };
}

/** Four pictures that meet in a random point of a canvas of twice the side. */
async function mosaicTiles(pictures: PictureSource, index: number, side: number, random: Random): Promise<Tile[]> {
  const xc = Math.floor(uniform(random, side / 2, (side * 3) / 2));
  const yc = Math.floor(uniform(random, side / 2, (side * 3) / 2));
  const canvas = side * 2;
  const corners: readonly BoxXyxy[] = [
    [0, 0, xc, yc],
    [xc, 0, canvas, yc],
    [0, yc, xc, canvas],
    [xc, yc, canvas, canvas],
  ];
  const chosen = corners.map((_, i) => (i === 0 ? index : Math.floor(random() * pictures.length)));
  const decoded = await Promise.all(chosen.map((each) => pictures.get(each)));
  return corners.map((corner, i) => {
    const picture = decoded[i]!;
    const left = i % 2 === 0 ? xc - picture.width : xc;
    const top = i < 2 ? yc - picture.height : yc;
    return { picture, left, top, clip: clipTo([left, top, left + picture.width, top + picture.height], corner) };
  });
}

/** A draw from Beta(32, 32): the 32nd smallest of 63 uniform ones is exactly that. */
function betaOf32(random: Random): number {
  return Array.from({ length: 63 }, random).toSorted((a, b) => a - b)[31]!;
}
