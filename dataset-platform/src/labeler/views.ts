import type { Job, Label, LabelerState, Project, Task } from "./state.ts";

/** What CVAT 2.73 answers for each entity; the fields that this labeler has no use for carry CVAT's own defaults. */
export interface ViewContext {
  readonly state: LabelerState;
  readonly base: string;
  readonly user: string;
}

export const userView = ({ base, user }: ViewContext) => ({ url: `${base}/api/users/1`, id: 1, username: user, first_name: "", last_name: "" });

const ownerless = { organization: null, organization_id: null, target_storage: null, source_storage: null };

export function projectView(context: ViewContext, project: Project) {
  const { base, state } = context;
  const tasks = state.tasks.filter((task) => task.projectId === project.id);
  return {
    url: `${base}/api/projects/${project.id}`,
    id: project.id,
    name: project.name,
    owner: userView(context),
    assignee: null,
    guide_id: null,
    bug_tracker: "",
    created_date: project.created,
    updated_date: project.updated,
    status: "annotation",
    dimension: tasks.some((task) => task.data === "ready") ? "2d" : null,
    ...ownerless,
    tasks: { count: tasks.length, url: `${base}/api/tasks?project_id=${project.id}` },
    labels: { url: `${base}/api/labels?project_id=${project.id}` },
    assignee_updated_date: null,
    task_subsets: [...new Set(tasks.map((task) => task.subset).filter(Boolean))],
  };
}

export function taskView(context: ViewContext, task: Task) {
  const { base, state } = context;
  const jobs = state.jobs.filter((job) => job.taskId === task.id);
  const ready = task.data === "ready";
  const withData = ready
    ? { data_chunk_size: 72, data_original_chunk_type: "imageset", data_compressed_chunk_type: "imageset", image_quality: task.imageQuality }
    : {};
  return {
    url: `${base}/api/tasks/${task.id}`,
    id: task.id,
    name: task.name,
    project_id: task.projectId,
    project_name: state.projects.find((project) => project.id === task.projectId)?.name ?? null,
    owner: userView(context),
    assignee: null,
    bug_tracker: "",
    created_date: task.created,
    updated_date: task.updated,
    overlap: ready ? 0 : null,
    segment_size: task.frames.length,
    status: taskStatus(jobs),
    ...withData,
    ...(task.data === "none" ? {} : { data_cloud_storage_id: null, size: task.frames.length }),
    guide_id: null,
    data: task.data === "none" ? null : task.id,
    dimension: ready ? "2d" : "",
    mode: ready ? "annotation" : "",
    media_type: ready ? "image" : "",
    subset: task.subset,
    ...ownerless,
    jobs: {
      count: jobs.length,
      completed: jobs.filter((job) => job.state === "completed" && job.stage === "acceptance").length,
      validation: jobs.filter((job) => job.stage === "validation").length,
      url: `${base}/api/jobs?task_id=${task.id}`,
    },
    labels: { url: `${base}/api/labels?task_id=${task.id}` },
    assignee_updated_date: null,
    validation_mode: null,
    consensus_enabled: false,
  };
}

const jobStatus = (job: Job) =>
  job.stage === "acceptance" && job.state === "completed" ? "completed" : job.stage === "annotation" ? "annotation" : "validation";

function taskStatus(jobs: readonly Job[]): string {
  const found = jobs.map(jobStatus);
  if (found.length === 0 || found.includes("annotation")) return "annotation";
  return found.includes("validation") ? "validation" : "completed";
}

export function jobView({ base, state }: ViewContext, job: Job) {
  const task = state.tasks.find(({ id }) => id === job.taskId)!;
  return {
    url: `${base}/api/jobs/${job.id}`,
    id: job.id,
    task_id: task.id,
    task_name: task.name,
    project_id: task.projectId,
    project_name: state.projects.find((project) => project.id === task.projectId)?.name ?? null,
    assignee: null,
    guide_id: null,
    dimension: "2d",
    mode: "annotation",
    media_type: "image",
    bug_tracker: "",
    status: jobStatus(job),
    stage: job.stage,
    state: job.state,
    frame_count: task.frames.length,
    start_frame: 0,
    stop_frame: Math.max(0, task.frames.length - 1),
    data_chunk_size: 72,
    data_compressed_chunk_type: "imageset",
    data_original_chunk_type: "imageset",
    created_date: job.created,
    updated_date: job.updated,
    issues: { url: `${base}/api/issues?job_id=${job.id}`, count: 0 },
    labels: { url: `${base}/api/labels?job_id=${job.id}` },
    type: "annotation",
    organization: null,
    target_storage: null,
    source_storage: null,
    assignee_updated_date: null,
    parent_job_id: null,
    replicas_count: 0,
    consensus_replicas: 0,
  };
}

export function labelView(label: Label) {
  const owner = label.projectId === null ? { task_id: label.taskId } : { project_id: label.projectId };
  return { id: label.id, name: label.name, color: label.color, attributes: [], type: label.type, sublabels: [], ...owner, parent_id: null, has_parent: false };
}

export function metaView(task: Task) {
  return {
    chapters: null,
    chunks_updated_date: task.updated,
    chunk_size: 72,
    size: task.frames.length,
    image_quality: task.imageQuality,
    start_frame: 0,
    stop_frame: Math.max(0, task.frames.length - 1),
    frame_filter: "",
    frames: task.frames.map((frame) => ({ ...frame, related_files: 0, has_related_context: false })),
    deleted_frames: [],
    included_frames: null,
    storage: "local",
    cloud_storage_id: null,
  };
}
