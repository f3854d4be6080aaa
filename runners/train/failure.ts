import { DataError } from "@airloom/yolo/train/check-data.ts";
import { DivergedError } from "@airloom/yolo/train/train.ts";

/** What is said of a run that failed, and whether a retry would only repeat it. */
export function failure(error: unknown): { message: string; hopeless: boolean } {
  if (error instanceof DivergedError || error instanceof DataError) return { message: error.message, hopeless: true };
  const message = error instanceof Error ? error.message : String(error);
  if (/OOM when allocating|bad_alloc|failed to allocate|Array buffer allocation failed/i.test(message))
    return { message: `there was not enough memory: lower batch, imgsz or the model's size (${message.slice(0, 300)})`, hopeless: true };
  return { message: error instanceof Error ? (error.stack ?? message) : message, hopeless: false };
}
