import { type Random, uniform } from "./random.ts";

/** Largest relative changes of hue, saturation and value. */
export interface ColourOptions {
  readonly hue: number;
  readonly saturation: number;
  readonly value: number;
}

/** Multiplies hue, saturation and value of RGB bytes by random gains, in place. */
export function recolour(rgb: Uint8Array, random: Random, options: ColourOptions): void {
  const gain = (strength: number) => 1 + uniform(random, -1, 1) * strength;
  const [hueGain, saturationGain, valueGain] = [gain(options.hue), gain(options.saturation), gain(options.value)];
  if (hueGain === 1 && saturationGain === 1 && valueGain === 1) return;
  for (let i = 0; i < rgb.length; i += 3) {
    const [r, g, b] = [rgb[i]!, rgb[i + 1]!, rgb[i + 2]!];
    const high = r > g ? (r > b ? r : b) : g > b ? g : b;
    const low = r < g ? (r < b ? r : b) : g < b ? g : b;
    const spread = high - low;
    const v = Math.min(255, high * valueGain);
    if (spread === 0) {
      rgb[i] = rgb[i + 1] = rgb[i + 2] = v + 0.5;
      continue;
    }
    // Hue in sixths of the circle.
    let h = high === r ? (g - b) / spread : high === g ? 2 + (b - r) / spread : 4 + (r - g) / spread;
    h = (h < 0 ? h + 6 : h) * hueGain;
    if (h >= 6) h -= 6;
    const s = Math.min(1, (spread / high) * saturationGain);
    const sixth = Math.floor(h);
    const f = h - sixth;
    const p = v * (1 - s) + 0.5;
    const q = v * (1 - s * f) + 0.5;
    const t = v * (1 - s * (1 - f)) + 0.5;
    const w = v + 0.5;
    rgb[i] = sixth === 0 || sixth === 5 ? w : sixth === 1 ? q : sixth === 4 ? t : p;
    rgb[i + 1] = sixth === 1 || sixth === 2 ? w : sixth === 3 ? q : sixth === 0 ? t : p;
    rgb[i + 2] = sixth === 3 || sixth === 4 ? w : sixth === 5 ? q : sixth === 2 ? t : p;
  }
}
