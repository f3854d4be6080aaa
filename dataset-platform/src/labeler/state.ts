import { mkdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { atomicWrite } from "../store/atomic-write.ts";

/** Entities as the labeler keeps them; `views.ts` turns them into what CVAT answers. Times are ISO 8601. */
export interface Label {
  readonly id: number;
  readonly projectId: number | null;
  readonly taskId: number | null;
  name: string;
  color: string;
  readonly type: string;
}

export interface Project {
  readonly id: number;
  name: string;
  readonly created: string;
  updated: string;
}

export interface Frame {
  readonly name: string;
  /** Pixels as a person sees the picture (EXIF applied). */
  readonly width: number;
  readonly height: number;
}

export interface Task {
  readonly id: number;
  name: string;
  readonly projectId: number | null;
  readonly subset: string;
  readonly created: string;
  updated: string;
  /** "none": no data yet; "uploading": between Upload-Start and Upload-Finish; "failed": data that cannot be used. */
  data: "none" | "uploading" | "ready" | "failed";
  imageQuality: number;
  frames: Frame[];
}

export const stages = ["annotation", "validation", "acceptance"] as const;
export const states = ["new", "in progress", "completed", "rejected"] as const;

/** One job a task: all of its frames. */
export interface Job {
  readonly id: number;
  readonly taskId: number;
  stage: (typeof stages)[number];
  state: (typeof states)[number];
  readonly created: string;
  updated: string;
}

export interface Shape {
  readonly id: number;
  readonly type: string;
  readonly frame: number;
  readonly label_id: number;
  readonly points: readonly number[];
  readonly occluded: boolean;
  readonly outside: boolean;
  readonly z_order: number;
  readonly rotation: number;
  readonly group: number;
  readonly source: string;
  readonly score: number;
  readonly attributes: readonly unknown[];
}

interface Saved {
  nextId: Record<"project" | "task" | "job" | "label" | "shape", number>;
  projects: Project[];
  tasks: Task[];
  jobs: Job[];
  labels: Label[];
}

/** Everything the labeler knows, in memory and on disk: `state.json`, annotations and pictures of each task beside it. */
export class LabelerState {
  readonly folder: string;
  readonly #saved: Saved;
  #writing: Promise<void> = Promise.resolve();

  private constructor(folder: string, saved: Saved) {
    this.folder = folder;
    this.#saved = saved;
  }

  static async open(folder: string): Promise<LabelerState> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const text = await readFile(path.join(folder, "state.json"), "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    const empty: Saved = { nextId: { project: 1, task: 1, job: 1, label: 1, shape: 1 }, projects: [], tasks: [], jobs: [], labels: [] };
    return new LabelerState(folder, text === undefined ? empty : (JSON.parse(text) as Saved));
  }

  get projects(): readonly Project[] {
    return this.#saved.projects;
  }
  get tasks(): readonly Task[] {
    return this.#saved.tasks;
  }
  get jobs(): readonly Job[] {
    return this.#saved.jobs;
  }
  get labels(): readonly Label[] {
    return this.#saved.labels;
  }

  newId(kind: keyof Saved["nextId"]): number {
    return this.#saved.nextId[kind]++;
  }

  add(kind: "projects", entity: Project): Project;
  add(kind: "tasks", entity: Task): Task;
  add(kind: "jobs", entity: Job): Job;
  add(kind: "labels", entity: Label): Label;
  add(kind: "projects" | "tasks" | "jobs" | "labels", entity: Project | Task | Job | Label): unknown {
    (this.#saved[kind] as unknown[]).push(entity);
    return entity;
  }

  /** Writes the state; resolves when this change, and all before it, are on disk. */
  async save(): Promise<void> {
    const text = JSON.stringify(this.#saved);
    const next = this.#writing.then(() => atomicWrite(path.join(this.folder, "state.json"), text, 0o600));
    this.#writing = next.catch(() => undefined);
    await next;
  }

  /** The labels that apply in a task: its project's, or its own. */
  labelsOfTask(task: Task): readonly Label[] {
    return this.labels.filter((label) => (task.projectId === null ? label.taskId === task.id : label.projectId === task.projectId));
  }

  dataFolder(taskId: number): string {
    return path.join(this.folder, "tasks", String(taskId), "data");
  }

  async readShapes(taskId: number): Promise<Shape[]> {
    const text = await readFile(this.#shapesFile(taskId), "utf8").catch(() => "[]");
    return JSON.parse(text) as Shape[];
  }

  async writeShapes(taskId: number, shapes: readonly Shape[]): Promise<void> {
    await atomicWrite(this.#shapesFile(taskId), JSON.stringify(shapes), 0o600);
    await this.save();
  }

  #shapesFile(taskId: number): string {
    return path.join(this.folder, "tasks", String(taskId), "shapes.json");
  }

  async removeTask(id: number): Promise<void> {
    this.#saved.tasks = this.#saved.tasks.filter((task) => task.id !== id);
    this.#saved.jobs = this.#saved.jobs.filter((job) => job.taskId !== id);
    this.#saved.labels = this.#saved.labels.filter((label) => label.taskId !== id);
    await this.save();
    await rm(path.join(this.folder, "tasks", String(id)), { recursive: true, force: true });
  }

  async removeProject(id: number): Promise<void> {
    for (const task of this.tasks.filter(({ projectId }) => projectId === id)) await this.removeTask(task.id);
    this.#saved.projects = this.#saved.projects.filter((project) => project.id !== id);
    this.#saved.labels = this.#saved.labels.filter((label) => label.projectId !== id);
    await this.save();
  }

  async removeLabel(id: number): Promise<void> {
    this.#saved.labels = this.#saved.labels.filter((label) => label.id !== id);
    for (const task of this.tasks) {
      const shapes = await this.readShapes(task.id);
      const kept = shapes.filter((shape) => shape.label_id !== id);
      if (kept.length < shapes.length) await this.writeShapes(task.id, kept);
    }
    await this.save();
  }
}
