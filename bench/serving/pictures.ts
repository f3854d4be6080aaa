import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import sharp from "sharp";
import { seededRandom, uniform } from "../../yolo/src/augment/random.ts";

/** JPEGs of 1280 × 960 pixels and some 200 KB, as cameras make them: soft areas, edges, a little noise. */
export async function makePictures(folder: string, count: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  const [width, height] = [1280, 960];
  for (let n = 0; n < count; n++) {
    const random = seededRandom(n);
    const [a, b, c] = [uniform(random, 30, 60), uniform(random, 60, 120), uniform(random, 5000, 12_000)];
    const pixels = Buffer.alloc(width * height * 3);
    for (let y = 0, i = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        for (let channel = 0; channel < 3; channel++)
          pixels[i++] = Math.min(255, Math.max(0, 120 + 60 * Math.sin(x / a + y / b + channel) + 25 * Math.sin((x * y) / c) + uniform(random, 0, 16)));
    const shapes = Array.from({ length: 8 }, () => {
      const [x, y, size] = [uniform(random, 0, 1100), uniform(random, 0, 800), uniform(random, 60, 200)];
      return `<rect x="${x}" y="${y}" width="${size}" height="${size}" fill="hsl(${uniform(random, 0, 360).toFixed(0)}, 80%, 50%)"/>`;
    });
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${shapes.join("")}</svg>`;
    const jpeg = await sharp(pixels, { raw: { width, height, channels: 3 } })
      .composite([{ input: Buffer.from(svg) }])
      .jpeg({ quality: 88 })
      .toBuffer();
    await writeFile(path.join(folder, `${String(n).padStart(3, "0")}.jpg`), jpeg);
  }
}
