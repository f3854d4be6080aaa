import { padGrey } from "./letterbox.ts";

/** A scaled picture and its place in a network's input. */
export interface Placed {
  /** RGB bytes, rows from the top: width × height × 3. */
  readonly pixels: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly top: number;
}

/** Pictures on grey, as bytes [n, height, width, 3]; one that fills its input is not even copied. */
export function framePixels(pictures: readonly Placed[], width: number, height: number): Uint8Array {
  const size = width * height * 3;
  const [first] = pictures;
  if (pictures.length === 1 && first!.width === width && first!.height === height) return first!.pixels;
  const bytes = new Uint8Array(pictures.length * size);
  pictures.forEach((picture, n) => {
    const own = bytes.subarray(n * size, (n + 1) * size);
    if (picture.width < width || picture.height < height) own.fill(padGrey);
    if (picture.width === width) return own.set(picture.pixels, picture.top * width * 3);
    const row = picture.width * 3;
    for (let y = 0; y < picture.height; y++) own.set(picture.pixels.subarray(y * row, (y + 1) * row), ((y + picture.top) * width + picture.left) * 3);
  });
  return bytes;
}
