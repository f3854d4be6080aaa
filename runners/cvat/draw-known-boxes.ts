import { sql } from "kysely";
import type { CvatClient, NewBox } from "@airloom/dataset-platform/cvat/client.ts";
import { boxesOf } from "@airloom/dataset-platform/registry/annotations.ts";
import { allClasses, className } from "@airloom/dataset-platform/registry/classes.ts";
import type { Db } from "@airloom/dataset-platform/registry/database.ts";
import type { BoxOrigin, ImageRow } from "@airloom/dataset-platform/registry/tables.ts";
import type { Predictions } from "@airloom/dataset-platform/store/predictions.ts";

interface KnownBox {
  readonly label: string;
  readonly how: BoxOrigin;
  /** Left, top, right, bottom as shares of the picture as a person sees it. */
  readonly sides: readonly [number, number, number, number];
}

export interface DrawnBoxes {
  /** Boxes of earlier annotations. */
  readonly earlier: number;
  /** Boxes that a model saw in pictures that nobody has labelled. */
  readonly proposed: number;
}

const sources = { drawn: "manual", proposed: "auto", mended: "semi-auto" } as const;

/**
 * Draws into a task what is known of its pictures: the boxes that they have, else those that a model saw, so that people correct
 * boxes rather than draw them. Only labels that the task has are drawn.
 */
export async function drawKnownBoxes(cvat: CvatClient, db: Db, taskId: number, images: readonly ImageRow[]): Promise<DrawnBoxes> {
  const known = await knownBoxes(db, images);
  const labels = new Map((await cvat.labelsOfTask(taskId)).map(({ id, name }) => [className(name), id]));
  const isLabelled = new Map(images.map(({ sha256, annotation_id }) => [sha256, annotation_id !== null]));
  const count = { earlier: 0, proposed: 0 };
  const boxes: NewBox[] = [];
  for (const [frame, { name, width, height }] of (await cvat.frames(taskId)).entries()) {
    const sha256 = name.split(".")[0]!;
    for (const { label, how, sides } of known.get(sha256) ?? []) {
      const labelId = labels.get(className(label));
      if (labelId === undefined) continue;
      boxes.push({ frame, labelId, points: sides.map((share, i) => share * (i % 2 === 0 ? width : height)), source: sources[how] });
      count[isLabelled.get(sha256) ? "earlier" : "proposed"]++;
    }
  }
  if (boxes.length > 0) await cvat.putBoxes(taskId, boxes);
  return count;
}

async function knownBoxes(db: Db, images: readonly ImageRow[]): Promise<Map<string, KnownBox[]>> {
  const names = new Map((await allClasses(db)).map(({ id, name }) => [id, name]));
  const annotated = images.filter(({ annotation_id }) => annotation_id !== null);
  const boxes = await boxesOf(
    db,
    annotated.map(({ annotation_id }) => annotation_id!),
  );
  const known = new Map<string, KnownBox[]>();
  for (const { sha256, annotation_id } of annotated)
    known.set(
      sha256,
      boxes.get(annotation_id!)!.map(({ classId, how, xywh: [cx, cy, w, h] }) => ({
        label: names.get(classId)!,
        how,
        sides: [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2],
      })),
    );
  const unseen = images.filter(({ annotation_id }) => annotation_id === null).map(({ sha256 }) => sha256);
  const predicted = await db
    .selectFrom("predictions")
    .selectAll()
    .where("sha256", "=", sql<string>`any(${unseen}::text[])`)
    .execute();
  for (const { sha256, body } of predicted)
    known.set(
      sha256,
      (body as Predictions).detections.map(({ name, box }) => ({ label: name, how: "proposed" as const, sides: box })),
    );
  return known;
}
