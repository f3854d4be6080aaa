import type { CvatAnnotations } from "./client.ts";

type Track = CvatAnnotations["tracks"][number];
type Key = Track["shapes"][number];

/** What a track shows on one frame; undefined where CVAT's way between two of its shapes is none that we know. */
export interface Tracked {
  readonly frame: number;
  readonly shape: Pick<CvatAnnotations["shapes"][number], "type" | "points" | "rotation" | "source"> | undefined;
}

/** Shapes whose points go straight from one key frame to the next. CVAT matches the corners of polygons in a way of its own. */
const straight = new Set(["rectangle", "ellipse", "cuboid"]);

/**
 * A track's shape on each frame where its object is: at its key frames, straight between them, and as it was last up to `last`;
 * nowhere after a key frame that is "outside". Rotation goes the shorter way round, as in CVAT.
 */
export function framesOfTrack(track: Track, last: number): Tracked[] {
  const keys: readonly Key[] = track.shapes.length > 0 ? track.shapes.toSorted((a, b) => a.frame - b.frame) : [unknownAt(track.frame)];
  return keys.flatMap((key, i) => {
    if (key.outside) return [];
    const next = keys[i + 1];
    const count = Math.max(0, (next?.frame ?? last + 1) - key.frame);
    return Array.from({ length: count }, (_, n): Tracked => ({ frame: key.frame + n, shape: between(track, key, next, n) }));
  });
}

const unknownAt = (frame: number): Key => ({ frame, type: "", points: [], rotation: 0, outside: false });

/** The shape `after` frames after a key frame. */
function between({ source }: Track, key: Key, next: Key | undefined, after: number): Tracked["shape"] {
  const { type, points, rotation } = key;
  if (type === "") return undefined;
  if (after === 0 || !next) return { type, points, rotation, source };
  if (!straight.has(type) || next.type !== type || next.points.length !== points.length) return undefined;
  const share = after / (next.frame - key.frame);
  const turn = ((((next.rotation - rotation + 180) % 360) + 360) % 360) - 180;
  return { type, points: points.map((at, i) => at + (next.points[i]! - at) * share), rotation: rotation + turn * share, source };
}
