import path from "node:path";
import { hasOffset, tryMsOf } from "./capture-time.ts";

/** How one recording is known in a source. */
export interface RecordingSettings {
  /** Pictures whose names differ in a counter alone are of one recording: `clip-000123.png`, `IMG_0001.jpg`, `frame (12).jpg`. @default false */
  readonly names?: boolean;
  /** Pictures taken so few seconds one after another are of one recording. @default undefined */
  readonly gapSeconds?: number;
}

/** A source of pictures, as far as its recordings are concerned. */
export interface RecordingSource {
  readonly id: string;
  readonly settings: RecordingSettings;
}

/**
 * What all pictures of one recording share, by their name: source, folder, and the name with `#` for its counter. Undefined
 * where the source does not number its pictures by recording, or the name has no counter.
 * @param originalName the path beneath the source, with `/`
 */
export function recordingKey(source: RecordingSource, originalName: string): string | undefined {
  if (!source.settings.names) return undefined;
  const { dir, name } = path.posix.parse(originalName.normalize("NFC"));
  // "IMG_0001 (1).jpg" is what browsers call a second copy of IMG_0001.jpg; "frame (1).jpg" is a frame.
  const uncopied = name.replace(/(?<=\d) \(\d+\)$/, "");
  const counted = /^(.*?)\d+([)\]]?)$/s.exec(uncopied);
  // As JSON, no folder or name can be made to look like another one.
  return counted ? JSON.stringify([source.id, dir, `${counted[1]}#${counted[2]}`]) : undefined;
}

/**
 * Which neighbours a new picture shares a recording with, by capture times: the latest picture of the source that was taken
 * before it, and the earliest one after. Both, where it closes the gap between two recordings, which are one then.
 */
export function joinedByTime(
  capturedAt: string,
  neighbours: { readonly earlier?: string; readonly later?: string },
  gapSeconds: number,
): ("earlier" | "later")[] {
  return (["earlier", "later"] as const).filter((side) => {
    const other = neighbours[side];
    return other !== undefined && secondsBetween(capturedAt, other) <= gapSeconds;
  });
}

/** Infinite where one has an offset from UTC and the other none: they do not compare. */
function secondsBetween(a: string, b: string): number {
  const [at, bt] = [tryMsOf(a), tryMsOf(b)];
  if (at === undefined || bt === undefined || hasOffset(a) !== hasOffset(b)) return Infinity;
  return Math.abs(at - bt) / 1000;
}
