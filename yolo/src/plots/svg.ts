/** Colours of classes: distinct for the first ten, and by turns after them. */
const colours = ["#15803d", "#b45309", "#1d4ed8", "#be123c", "#7e22ce", "#0e7490", "#a16207", "#4d7c0f", "#9d174d", "#475569"];

export const colourOf = (cls: number): string => colours[cls % colours.length]!;

/** Text of any origin as XML. */
export const escapeXml = (text: string): string =>
  text.replaceAll(/[&<>"']/g, (c) => `&#${c.codePointAt(0)};`).replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "�");

/** A whole picture of `width` × `height` pixels on white. */
export function svg(width: number, height: number, content: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>${content}</svg>`;
}

export interface Line {
  readonly values: readonly number[];
  readonly colour: string;
  readonly label?: string;
  readonly bold?: boolean;
}

export interface ChartOptions {
  readonly title: string;
  /** Where the first and the last value stand on the horizontal axis. */
  readonly from: number;
  readonly to: number;
  readonly xLabel?: string;
  readonly yLabel?: string;
  /** The vertical axis; from the values where it is undefined. */
  readonly range?: readonly [number, number];
  readonly width: number;
  readonly height: number;
}

/** Lines over one horizontal axis. Values that are no numbers are left out. */
export function lineChart(lines: readonly Line[], { title, from, to, xLabel = "", yLabel = "", range, width, height }: ChartOptions): string {
  const [left, right, top, bottom] = [46, 12, 26, 34];
  const finite = lines.flatMap(({ values }) => values.filter(Number.isFinite));
  const [low, high] = range ?? [Math.min(0, ...finite), Math.max(...finite, 1e-6)];
  const x = (share: number) => left + share * (width - left - right);
  const y = (value: number) => height - bottom - ((value - low) / (high - low || 1)) * (height - top - bottom);
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  const number = (value: number) => String(Number(value.toPrecision(3)));
  const grid = ticks.map((share) => {
    const value = low + share * (high - low);
    return `<path d="M${left} ${y(value).toFixed(1)}H${width - right}" stroke="#e5e7eb"/><text x="${left - 5}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end" fill="#475569">${number(value)}</text><text x="${x(share).toFixed(1)}" y="${height - bottom + 14}" text-anchor="middle" fill="#475569">${number(from + share * (to - from))}</text>`;
  });
  const drawn = lines.map(({ values, colour, bold }) => {
    const points = values.flatMap((value, i) =>
      Number.isFinite(value) ? `${x(values.length < 2 ? 0 : i / (values.length - 1)).toFixed(1)},${y(value).toFixed(1)}` : [],
    );
    const only = points.length === 1 ? `<circle cx="${points[0]!.split(",")[0]}" cy="${points[0]!.split(",")[1]}" r="2.5" fill="${colour}"/>` : "";
    return `<polyline points="${points.join(" ")}" fill="none" stroke="${colour}" stroke-width="${bold ? 2.5 : 1.2}"/>${only}`;
  });
  const labelled = lines.filter(({ label }) => label).slice(0, 12);
  const legend = labelled.map(
    ({ label, colour }, i) =>
      `<rect x="${width - right - 120}" y="${top + 6 + i * 14}" width="10" height="4" fill="${colour}"/><text x="${width - right - 106}" y="${top + 11 + i * 14}">${escapeXml(label!.slice(0, 22))}</text>`,
  );
  return `<text x="${width / 2}" y="16" text-anchor="middle" font-size="13">${escapeXml(title)}</text>${grid.join("")}${drawn.join("")}${legend.join("")}<text x="${(left + width) / 2}" y="${height - 5}" text-anchor="middle">${escapeXml(xLabel)}</text><text transform="translate(11,${height / 2}) rotate(-90)" text-anchor="middle">${escapeXml(yLabel)}</text>`;
}

/** Pictures side by side and below each other. */
export function tiled(parts: readonly string[], columns: number, width: number, height: number): string {
  const placed = parts.map((part, i) => `<g transform="translate(${(i % columns) * width},${Math.floor(i / columns) * height})">${part}</g>`);
  return svg(columns * width, Math.ceil(parts.length / columns) * height, placed.join(""));
}
