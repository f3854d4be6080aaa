import type { CvatJob } from "@airloom/dataset-platform/cvat/client.ts";

/** Jobs that are shown one by one; of more, their number is. */
const mostShown = 10;

export interface OpenJobs {
  /** Jobs that people work on. */
  readonly all: number;
  readonly open: number;
  /** What each open job lacks: "job 4 (anna): in progress". */
  readonly lacking: string;
}

/**
 * Which jobs of a task are not done, and what they lack. CVAT's own button "Finish the job" sets the state alone, to completed,
 * and only the task's staff may set the stage: completed is done. Where a review is asked for, or a job has been moved on to
 * validation or acceptance by hand, a job is done when it is completed in stage acceptance. Ground-truth jobs and the copies of
 * a consensus are not what is pulled, and are not waited for.
 */
export function openJobs(jobs: readonly CvatJob[], review: boolean): OpenJobs {
  const work = jobs.filter(({ type }) => type === "annotation");
  const isReviewed = review || work.some(({ stage }) => stage !== "annotation");
  const open = work.filter(({ state, stage }) => !(state === "completed" && (!isReviewed || stage === "acceptance")));
  const shown = open.slice(0, mostShown).map((job) => `job ${job.id}${job.assignee ? ` (${job.assignee.username})` : ""}: ${whatLacks(job)}`);
  const more = open.length > mostShown ? [`and ${open.length - mostShown} more`] : [];
  return { all: work.length, open: open.length, lacking: [...shown, ...more].join("; ") };
}

/** CVAT sets the state back to new when the stage is changed, so the stage comes first. */
const accept = "set its stage to acceptance, and then its state to completed";

function whatLacks({ state, stage }: CvatJob): string {
  if (state === "rejected") return `rejected in stage ${stage}: mend it, and set its state to completed`;
  if (state === "completed") return `completed, but in stage ${stage}, and a review is asked for: ${accept}`;
  return stage === "annotation" ? state : `${state} in stage ${stage}`;
}
