import type { YoloObject } from "../labels/yolo-labels.ts";
import type { CvatAnnotations } from "./client.ts";

/** Left, top, right, bottom in pixels. */
type Hull = readonly [x1: number, y1: number, x2: number, y2: number];

type Shape = Pick<CvatAnnotations["shapes"][number], "type" | "points" | "rotation"> & Partial<Pick<CvatAnnotations["shapes"][number], "elements">>;

/** The upright box around a shape, in pixels; undefined for one that bounds no object: points, a line, a skeleton of less than two points. */
export function hullOf({ type, points, rotation, elements = [] }: Shape): Hull | undefined {
  switch (type) {
    case "rectangle":
      return turned(around(points), rotation, halfOfRectangle);
    case "ellipse": {
      // CVAT's form: the centre, then the rightmost x and the topmost y.
      const [cx = 0, cy = 0, right = 0, top = 0] = points;
      const [rx, ry] = [Math.abs(right - cx), Math.abs(top - cy)];
      return turned([cx - rx, cy - ry, cx + rx, cy + ry], rotation, halfOfEllipse);
    }
    case "polygon":
    case "cuboid":
      return around(points);
    case "mask": {
      // Run lengths, then the first and last column and row that the mask covers.
      const [left, top, right, bottom] = points.slice(-4);
      return points.length < 5 ? undefined : [left!, top!, right! + 1, bottom! + 1];
    }
    case "skeleton": {
      const joints = elements.filter(({ outside }) => !outside).flatMap((element) => element.points);
      return joints.length < 4 ? undefined : around(joints);
    }
    default:
      return undefined;
  }
}

function around(points: readonly number[]): Hull {
  const xs = points.filter((_, i) => i % 2 === 0);
  const ys = points.filter((_, i) => i % 2 === 1);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

type HalfSize = (a: number, b: number, cos: number, sin: number) => [halfWidth: number, halfHeight: number];

const halfOfRectangle: HalfSize = (a, b, cos, sin) => [Math.abs(a * cos) + Math.abs(b * sin), Math.abs(a * sin) + Math.abs(b * cos)];
const halfOfEllipse: HalfSize = (a, b, cos, sin) => [Math.hypot(a * cos, b * sin), Math.hypot(a * sin, b * cos)];

/** The hull of what fills an upright box once it is turned about its centre, by degrees. */
function turned(upright: Hull, degrees: number, half: HalfSize): Hull {
  if (degrees === 0) return upright;
  const [x1, y1, x2, y2] = upright;
  const angle = (degrees * Math.PI) / 180;
  const [cx, cy] = [(x1 + x2) / 2, (y1 + y2) / 2];
  const [w, h] = half((x2 - x1) / 2, (y2 - y1) / 2, Math.cos(angle), Math.sin(angle));
  return [cx - w, cy - h, cx + w, cy + h];
}

/** Centre and size as shares of the picture, clipped to it; undefined where less than a pixel is left. */
export function toShares([x1, y1, x2, y2]: Hull, { width, height }: { readonly width: number; readonly height: number }): YoloObject["xywh"] | undefined {
  const clip = (value: number, most: number) => Math.min(most, Math.max(0, value));
  const [left, top, right, bottom] = [clip(x1, width), clip(y1, height), clip(x2, width), clip(y2, height)];
  if (!(right - left >= 1 && bottom - top >= 1)) return undefined;
  return [(left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height];
}
