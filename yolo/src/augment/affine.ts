import type { BoxXyxy } from "../boxes/boxes.ts";
import { type Random, uniform } from "./random.ts";

/** A mapping of a canvas onto a sample: out = [[a, b], [c, d]] · (canvas − centre) + shift, all in pixels. */
export interface Affine {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
  readonly centre: number;
  readonly shiftX: number;
  readonly shiftY: number;
}

/** How strongly samples are moved. */
export interface MoveOptions {
  /** Largest rotation, degrees. */
  readonly degrees: number;
  /** Largest shift, as a share of the picture. */
  readonly translate: number;
  /** Zoom is 1 ± this. */
  readonly scale: number;
  /** Largest shear, degrees. */
  readonly shear: number;
  /** Probability of a left-right flip. */
  readonly flip: number;
  /** Probability of an up-down flip. */
  readonly flipUd: number;
}

/** A random mapping of a canvas with its middle at (`centre`, `centre`) onto a square of `side`. */
export function randomAffine(random: Random, side: number, centre: number, options: MoveOptions): Affine {
  const radians = (degrees: number) => (uniform(random, -degrees, degrees) * Math.PI) / 180;
  const zoom = uniform(random, 1 - options.scale, 1 + options.scale);
  const shiftX = uniform(random, 0.5 - options.translate, 0.5 + options.translate) * side;
  const shiftY = uniform(random, 0.5 - options.translate, 0.5 + options.translate) * side;
  const [flipX, flipY] = [random() < options.flip ? -1 : 1, random() < options.flipUd ? -1 : 1];
  const angle = options.degrees > 0 ? radians(options.degrees) : 0;
  const [shearX, shearY] = options.shear > 0 ? [Math.tan(radians(options.shear)), Math.tan(radians(options.shear))] : [0, 0];
  const [cos, sin] = [Math.cos(angle) * zoom, Math.sin(angle) * zoom];
  // Shear after rotation and zoom: [[1, shearX], [shearY, 1]] · [[cos, −sin], [sin, cos]].
  return {
    a: flipX * (cos + shearX * sin),
    b: flipX * (shearX * cos - sin),
    c: flipY * (shearY * cos + sin),
    d: flipY * (cos - shearY * sin),
    centre,
    shiftX: flipX < 0 ? side - shiftX : shiftX,
    shiftY: flipY < 0 ? side - shiftY : shiftY,
  };
}

/** The hull of a box's image. */
export function mapBox({ a, b, c, d, centre, shiftX, shiftY }: Affine, [x1, y1, x2, y2]: BoxXyxy): BoxXyxy {
  const xs: number[] = [];
  const ys: number[] = [];
  for (const [x, y] of [
    [x1, y1],
    [x2, y1],
    [x1, y2],
    [x2, y2],
  ] as const) {
    xs.push(a * (x - centre) + b * (y - centre) + shiftX);
    ys.push(c * (x - centre) + d * (y - centre) + shiftY);
  }
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}
