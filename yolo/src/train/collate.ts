import type { LabelledObject } from "../augment/sample.ts";

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
