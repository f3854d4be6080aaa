import type { LabelledObject } from "../augment/sample.ts";
import type { Asked } from "../boxes/asked.ts";

/** Room for objects is made in these sizes, so that a recorded step meets few different shapes. */
const fewestObjects = 16;

/** Objects of several pictures, padded to one number for all: `boxes` [pictures, objects, 4], `classes` [pictures, objects], −1 for padding. */
export interface PaddedObjects {
  readonly boxes: Float32Array;
  readonly classes: Int32Array;
  readonly objects: number;
}

export function padObjects(samples: readonly (readonly LabelledObject[])[]): PaddedObjects {
  const most = Math.max(1, ...samples.map((objects) => objects.length));
  let objects = fewestObjects;
  while (objects < most) objects *= 2;
  const boxes = new Float32Array(samples.length * objects * 4);
  const classes = new Int32Array(samples.length * objects).fill(-1);
  samples.forEach((sample, i) =>
    sample.forEach(({ box, cls }, j) => {
      boxes.set(box, (i * objects + j) * 4);
      classes[i * objects + j] = cls;
    }),
  );
  return { boxes, classes, objects };
}

/** [pictures, classes]: 1 for a class that was asked on a picture, else 0. */
export function askedMask(pictures: readonly Asked[], classes: number): Float32Array {
  const mask = new Float32Array(pictures.length * classes);
  pictures.forEach((asked, i) => {
    if (!asked) mask.fill(1, i * classes, (i + 1) * classes);
    for (const cls of asked ?? []) mask[i * classes + cls] = 1;
  });
  return mask;
}
