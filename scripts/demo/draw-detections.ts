import sharp from "sharp";

interface Found {
  readonly name: string;
  readonly confidence: number;
  readonly box: { readonly x1: number; readonly y1: number; readonly x2: number; readonly y2: number };
}

const escape = (text: string) => text.replace(/[<>&"]/g, (character) => `&#${character.charCodeAt(0)};`);

/** The picture as PNG, twice as large, with a frame and a name around each detection. */
export async function drawDetections(image: Buffer, found: readonly Found[]): Promise<Buffer> {
  const { autoOrient } = await sharp(image).metadata();
  const [width, height] = [autoOrient.width * 2, autoOrient.height * 2];
  const marks = found.map(({ name, confidence, box }) => {
    const [x, y, w, h] = [box.x1 * 2, box.y1 * 2, (box.x2 - box.x1) * 2, (box.y2 - box.y1) * 2];
    const text = escape(`${name} ${(confidence * 100).toFixed(0)} %`);
    return `<rect x="${x}" y="${y}" width="${w}" height="${h}" fill="none" stroke="white" stroke-width="5"/><rect x="${x}" y="${y}" width="${w}" height="${h}" fill="none" stroke="#15803d" stroke-width="3"/><text x="${x + 4}" y="${Math.max(18, y - 6)}" font-family="sans-serif" font-size="18" fill="white" stroke="black" stroke-width="3" paint-order="stroke">${text}</text>`;
  });
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${marks.join("")}</svg>`;
  return sharp(image)
    .autoOrient()
    .resize(width, height)
    .composite([{ input: Buffer.from(svg) }])
    .png()
    .toBuffer();
}
