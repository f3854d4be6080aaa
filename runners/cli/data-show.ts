import type { Command } from "commander";
import { boxesOf } from "@airloom/dataset-platform/registry/annotations.ts";
import { findBatch, imagesOfBatch } from "@airloom/dataset-platform/registry/batches.ts";
import { allClasses } from "@airloom/dataset-platform/registry/classes.ts";
import type { Db } from "@airloom/dataset-platform/registry/database.ts";
import { findPictures } from "./data-find.ts";
import { count, print } from "./data-print.ts";
import type { UseRegistry } from "./data-registry.ts";

const eventsOf = (db: Db, subject: string) => db.selectFrom("events").selectAll().where("subject", "=", subject).orderBy("id").execute();

function eventLines(events: Awaited<ReturnType<typeof eventsOf>>): string[] {
  const who = ({ actor, dag_id, run_id, task_id }: (typeof events)[number]) => (dag_id ? `${task_id} of run ${run_id} of ${dag_id}` : actor);
  return events.map((event) => `${event.at.toISOString()}  ${event.kind}  by ${who(event)}  ${JSON.stringify(event.detail)}`);
}

async function showPicture(db: Db, given: string) {
  const [picture] = await findPictures(db, [given]);
  const { sha256 } = picture!;
  const names = new Map((await allClasses(db)).map(({ id, name }) => [id, name]));
  const rows = await db.selectFrom("annotations").selectAll().where("sha256", "=", sha256).orderBy("revision").execute();
  const boxes = await boxesOf(
    db,
    rows.map(({ id }) => id),
  );
  const annotations = rows.map((row) => ({
    ...row,
    asked: row.asked.map((id) => names.get(id)),
    boxes: boxes.get(row.id)!.map(({ classId, how, xywh }) => ({ class: names.get(classId), how, xywh })),
  }));
  const events = await eventsOf(db, sha256);
  const { width, height, bytes, extension, original_name, source_id, state, state_why, batch_id, group_id } = picture!;
  const lines = [
    `${sha256}.${extension}  ${width} × ${height}, ${bytes} bytes, "${original_name}" of source ${source_id}`,
    `${state}${state_why ? `: ${state_why}` : ""}${batch_id ? ` by batch ${batch_id}` : ""}${group_id === sha256 ? "" : `, in the group of ${group_id}`}`,
    ...annotations.flatMap(({ id, revision, annotator, batch_id: batch, asked, boxes: drawn }) => [
      `revision ${revision}${id === picture!.annotation_id ? " (the newest)" : ""}${id === picture!.committed_annotation_id ? " (in the newest version)" : ""}: ${count(drawn.length, "box")}${annotator ? ` by ${annotator}` : ""}${batch ? `, batch ${batch}` : ""}, asked for ${asked.join(", ")}`,
      ...drawn.map(({ class: name, how, xywh }) => `    ${name}  ${xywh.map((value) => value.toFixed(4)).join(" ")}  ${how}`),
    ]),
    ...eventLines(events),
  ];
  return { json: { ...picture, annotations, events }, lines };
}

async function showBatch(db: Db, id: string) {
  const batch = await findBatch(db, id);
  const images = await imagesOfBatch(db, id);
  const events = await eventsOf(db, id);
  const names = new Map((await allClasses(db)).map((each) => [each.id, each.name]));
  const asked = batch.asked?.map((number) => names.get(number)) ?? [];
  const lines = [
    `batch ${id}  ${batch.state}${batch.ended_why ? `: ${batch.ended_why}` : ""}  ${count(images.length, "picture")} of source ${batch.source_id}`,
    `run ${batch.run_id} of ${batch.dag_id}, task ${batch.task_id}`,
    batch.cvat_task_id === null ? "no CVAT task" : `${batch.cvat_url}/tasks/${batch.cvat_task_id} in project "${batch.project}", asked for ${asked.join(", ")}`,
    ...images.map(({ sha256, state, original_name }) => `    ${sha256}  ${state}  ${original_name}`),
    ...eventLines(events),
  ];
  return { json: { ...batch, asked, images, events }, lines };
}

export function addShow(program: Command, use: UseRegistry): void {
  program
    .command("show")
    .description("all that is known of a batch or a picture, and what happened to it")
    .argument("<id>", "a batch's 10 digits, or a picture's SHA-256 or its beginning")
    .action((id: string) =>
      use(async ({ registry: { db } }) => {
        const isBatch = (await db.selectFrom("batches").select("id").where("id", "=", id).executeTakeFirst()) !== undefined;
        const { json, lines } = isBatch ? await showBatch(db, id) : await showPicture(db, id);
        print(program, json, lines);
      }),
    );
}
