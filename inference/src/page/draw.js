// Draws detections on a picture.
// @ts-check

/** Colours that are told apart, also by most people who see fewer (Okabe and Ito's palette). */
const palette = ["#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"];

/**
 * @param {HTMLCanvasElement} canvas
 * @param {ImageBitmap} bitmap
 * @param {{ name: string, class: number, confidence: number, box: { x1: number, y1: number, x2: number, y2: number } }[]} detections
 * @param {number} highlight the detection that is shown alone; −1 for all
 */
export function draw(canvas, bitmap, detections, highlight) {
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext("2d");
  if (!context) return;
  context.drawImage(bitmap, 0, 0);
  const line = Math.max(2, Math.round(Math.max(bitmap.width, bitmap.height) / 400));
  context.font = `${line * 8}px sans-serif`;
  detections.forEach(({ name, class: cls, confidence, box: { x1, y1, x2, y2 } }, i) => {
    if (highlight >= 0 && i !== highlight) return;
    const colour = palette[cls % palette.length] ?? "#E69F00";
    for (const [style, width] of /** @type {const} */ ([
      ["white", line * 2],
      [colour, line],
    ])) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    }
    const text = `${name} ${(confidence * 100).toFixed(0)} %`;
    const y = Math.max(line * 8, y1 - line * 2);
    context.strokeStyle = "black";
    context.lineWidth = line;
    context.strokeText(text, x1 + line, y);
    context.fillStyle = "white";
    context.fillText(text, x1 + line, y);
  });
}
