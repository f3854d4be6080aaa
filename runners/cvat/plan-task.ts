import type { CvatClient, CvatTask } from "@airloom/dataset-platform/cvat/client.ts";
import { prepareProject } from "@airloom/dataset-platform/cvat/prepare-project.ts";
import { imagesOfBatch, setLabelingTask } from "@airloom/dataset-platform/registry/batches.ts";
import { allClasses, className, differInCaseAlone, ensureClasses } from "@airloom/dataset-platform/registry/classes.ts";
import { recordEvents, type RunKey } from "@airloom/dataset-platform/registry/events.ts";
import { holdBatch } from "@airloom/dataset-platform/registry/hold-batch.ts";
import { holdNamedLock } from "@airloom/dataset-platform/registry/locks.ts";
import type { Registry } from "@airloom/dataset-platform/registry/registry.ts";
import type { BatchRow, ImageRow } from "@airloom/dataset-platform/registry/tables.ts";

export interface Wanted {
  readonly batchId: string;
  readonly project: string;
  readonly labels: readonly string[];
}

export interface Plan {
  readonly images: readonly ImageRow[];
  readonly projectId: number;
  /** Numbers of the classes that people are asked to mark. */
  readonly asked: readonly number[];
  /** The name of the task in CVAT. */
  readonly name: string;
  /** The batch's CVAT task, where there is one that fits. */
  readonly present: number | undefined;
  readonly notes: readonly string[];
  readonly warnings: readonly string[];
}

/**
 * Prepares the project in CVAT and writes down what a batch's people are asked, before there is a task for it. Two runs at once
 * with one project wait for each other, so that they make one.
 */
export async function planTask(registry: Registry, cvat: CvatClient, wanted: Wanted, run: RunKey): Promise<Plan> {
  const labels = [...new Set(wanted.labels.map(className))];
  return registry.transaction(async (trx) => {
    await holdNamedLock(trx, `cvat project ${cvat.url} ${wanted.project}`);
    const project = await prepareProject(cvat, wanted.project, labels);
    const batch = await holdBatch(trx, wanted.batchId, run);
    const images = await imagesOfBatch(trx, batch.id);
    const present = batch.cvat_task_id === null || batch.cvat_url !== cvat.url ? undefined : await cvat.tryTask(batch.cvat_task_id);
    // From here on nothing waits for CVAT: others wait for the numbers of classes.
    const asked = await ensureClasses(trx, project.classes, run);
    const askedFor = (name: string) => asked[project.classes.indexOf(name)]!;
    const notes: string[] = [];
    const unfit = whyUnfit(cvat.url, batch, present, { projectId: project.id, images: images.length, labels: labels.map(askedFor) });
    const common = { images, projectId: project.id, asked, warnings: warningsOf(await allClasses(trx), project.others, wanted.project, labels) };
    const left = await countLeft();
    const name = (n: number) => `batch ${batch.id}${n === 0 ? "" : ` (${n + 1})`}`;
    if (batch.cvat_task_id !== null && unfit === undefined) return { ...common, name: name(left), present: batch.cvat_task_id, notes };
    if (unfit !== undefined) {
      notes.push(`CVAT task ${batch.cvat_task_id} of this batch is used no more, because ${unfit}: another is made`);
      await recordEvents(trx, run, [
        { kind: "batch.task_left", subject: batch.id, detail: { cvatUrl: batch.cvat_url, cvatTask: batch.cvat_task_id, why: unfit } },
      ]);
    }
    const more = project.classes.filter((label) => !labels.includes(label));
    if (more.length > 0) notes.push(`the CVAT project "${wanted.project}" has more labels, which people are asked for as well: ${more.join(", ")}`);
    const task = { project: wanted.project, asked, cvatUrl: cvat.url, cvatTaskId: null };
    if (!isWritten(batch, task)) await setLabelingTask(trx, batch.id, task, run);
    return { ...common, name: name(unfit === undefined ? left : left + 1), present: undefined, notes };

    /** How many tasks this batch has had before: two of one name could not be told apart. */
    async function countLeft(): Promise<number> {
      const { n } = await trx
        .selectFrom("events")
        .select((eb) => eb.fn.countAll<number>().as("n"))
        .where("subject", "=", batch.id)
        .where("kind", "=", "batch.task_left")
        .executeTakeFirstOrThrow();
      return n;
    }
  });
}

/** Why a batch's CVAT task cannot be gone on with; undefined where it can. */
function whyUnfit(
  cvatUrl: string,
  batch: BatchRow,
  task: CvatTask | undefined,
  wanted: { readonly projectId: number; readonly images: number; readonly labels: readonly number[] },
): string | undefined {
  if (batch.cvat_task_id === null) return undefined;
  if (batch.cvat_url !== cvatUrl) return `it is in another CVAT, ${batch.cvat_url}`;
  if (!task) return "it is gone from CVAT";
  if (task.project_id !== wanted.projectId) return `it is in another project, "${batch.project}"`;
  if (task.size !== wanted.images) return `it has ${task.size ?? 0} pictures, and the batch ${wanted.images}`;
  if (wanted.labels.some((id) => !batch.asked?.includes(id))) return "other labels were asked there";
  return undefined;
}

const isWritten = (batch: BatchRow, task: { readonly project: string; readonly asked: readonly number[]; readonly cvatUrl: string }) =>
  batch.cvat_task_id === null &&
  batch.project === task.project &&
  batch.cvat_url === task.cvatUrl &&
  batch.asked?.length === task.asked.length &&
  batch.asked.every((id, i) => id === task.asked[i]);

function warningsOf(classes: readonly { readonly name: string }[], others: readonly number[], project: string, labels: readonly string[]): string[] {
  const alike = differInCaseAlone(classes).filter((pair) => pair.some((name) => labels.some((label) => label.toLowerCase() === name.toLowerCase())));
  return [
    ...alike.map(([a, b]) => `"${a}" and "${b}" are two classes, and their names differ in case alone: is it one by two names?`),
    ...(others.length > 0 ? [`CVAT has ${others.length + 1} projects named "${project}": the oldest is used, not ${others.join(", ")}`] : []),
  ];
}
