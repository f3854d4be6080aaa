import type { AirflowClient } from "../../sdk/src/airflow/client.ts";
import { CvatClient } from "../../dataset-platform/src/cvat/client.ts";
import type { StackSettings } from "../stack/settings.ts";
import type { DrawnPicture } from "./draw.ts";

/** How long the pipeline may take until its task is there, unless told otherwise. */
const usualPatienceMs = 300_000;

interface AnnotateOptions {
  readonly settings: StackSettings;
  readonly airflow: AirflowClient;
  readonly runId: string;
  /** What is on each picture, by its SHA-256. */
  readonly truth: ReadonlyMap<string, DrawnPicture>;
  /** How long the pipeline may take until its task is there. @default five minutes */
  readonly patienceMs?: number;
}

/** Plays the annotator of a labeling run over CVAT's REST API: puts the known boxes and finishes the job. */
export async function annotate({ settings, airflow, runId, truth, patienceMs }: AnnotateOptions): Promise<{ taskId: number; boxes: number }> {
  const taskId = await waitForTask(airflow, runId, patienceMs);
  const cvat = annotator(settings);
  const frames = await cvat.frames(taskId);
  const labels = new Map((await cvat.labelsOfTask(taskId)).map((label) => [label.name, label.id]));
  const boxes = frames.flatMap((frame, index) => {
    const picture = truth.get(frame.name.split(".")[0]!);
    if (!picture) throw new Error(`picture ${frame.name} is not one that was drawn here`);
    return picture.objects.map(({ label, box }) => ({ frame: index, labelId: labels.get(label)!, points: [...box] }));
  });
  await cvat.putBoxes(taskId, boxes);
  for (const job of await cvat.jobs(taskId)) await cvat.completeJob(job.id);
  return { taskId, boxes: boxes.length };
}

/** A client with the log-in that stands in .env. */
export function annotator({ cvatUrl, env, ports }: StackSettings): CvatClient {
  if (!cvatUrl)
    return new CvatClient({
      url: `http://127.0.0.1:${ports.labeler}`,
      auth: { user: env["LABELER_USER"] || "admin", password: env["LABELER_PASSWORD"] ?? "" },
    });
  const auth = env["CVAT_TOKEN"] ? { token: env["CVAT_TOKEN"] } : { user: env["CVAT_USER"] ?? "", password: env["CVAT_PASSWORD"] ?? "" };
  return new CvatClient({ url: cvatUrl, auth, organization: env["CVAT_ORGANIZATION"] });
}

/** The CVAT task that a labeling run has made. */
export async function waitForTask(airflow: AirflowClient, runId: string, patienceMs = usualPatienceMs): Promise<number> {
  const deadline = Date.now() + patienceMs;
  while (Date.now() < deadline) {
    const tasks = await airflow.taskInstances("labeling_pipeline", runId);
    const create = tasks.find((task) => task.task_id === "create_cvat_task");
    if (create?.state === "success") return ((await airflow.xcom("labeling_pipeline", runId, "create_cvat_task")) as { id: number }).id;
    const over = tasks.find((task) => task.state === "failed" || task.state === "skipped");
    if (over) throw new Error(`${over.task_id} ended as ${over.state}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error(`the labeling run ${runId} made no task within ${patienceMs / 1000} s`);
}
