import { Router } from "express";
import { z } from "zod";
import { baseUrl, HttpError, idOf, notFound, query, route, sendJson, sendPage } from "./http.ts";
import { applyLabels, parseBody } from "./projects.ts";
import { type Job, type LabelerState, type Shape, stages, states, type Task } from "./state.ts";
import { jobView, taskView } from "./views.ts";

const taskInput = z.object({
  name: z.string().trim().min(1).max(256),
  project_id: z.number().int().nullish(),
  subset: z.string().max(64).default(""),
  labels: z.array(z.object({ name: z.string(), color: z.string().optional(), type: z.string().optional() })).default([]),
});

const shapeInput = z.object({
  type: z.string().default("rectangle"),
  frame: z.number().int(),
  label_id: z.number().int(),
  points: z.array(z.number()).max(2000).default([]),
  occluded: z.boolean().default(false),
  outside: z.boolean().default(false),
  z_order: z.number().default(0),
  rotation: z.number().default(0),
  group: z
    .number()
    .nullish()
    .transform((value) => value ?? 0),
  source: z.string().default("manual"),
  score: z.number().default(1),
  attributes: z.array(z.unknown()).default([]),
});
/** The most boxes that one call may bring. */
const maxShapes = 100_000;
const annotationsInput = z.object({ shapes: z.array(shapeInput).max(maxShapes).default([]) });

export const findTask = (state: LabelerState, id: number): Task => {
  const task = state.tasks.find((candidate) => candidate.id === id);
  if (!task) throw notFound("Task");
  return task;
};

/** Tasks and jobs, and the annotations of both. */
export function taskRoutes(state: LabelerState, user: string): Router {
  const router = Router({ strict: true, caseSensitive: true });
  const findJob = (id: number): Job => {
    const job = state.jobs.find((candidate) => candidate.id === id);
    if (!job) throw notFound("Job");
    return job;
  };

  router.get(
    "/tasks",
    route((req, res) => {
      const name = query(req, "name");
      const project = query(req, "project_id");
      const found = state.tasks
        .filter((task) => (name === undefined || task.name === name) && (project === undefined || task.projectId === Number(project)))
        .toSorted((a, b) => b.id - a.id);
      sendPage(
        req,
        res,
        found.map((task) => taskView({ state, base: baseUrl(req), user }, task)),
      );
    }),
  );
  router.post(
    "/tasks",
    route(async (req, res) => {
      const { name, project_id, subset, labels } = parseBody(taskInput, req.body);
      const projectId = project_id ?? null;
      if (projectId !== null && labels.length > 0) throw new HttpError(400, ["Task must have only one of Label set or project_id"]);
      if (projectId !== null && !state.projects.some(({ id }) => id === projectId))
        throw new HttpError(400, { project_id: [`Invalid pk "${projectId}" - object does not exist.`] });
      const now = new Date().toISOString();
      const task = state.add("tasks", {
        id: state.newId("task"),
        name,
        projectId,
        subset,
        created: now,
        updated: now,
        data: "none",
        imageQuality: 70,
        frames: [],
      });
      await applyLabels(state, { projectId: null, taskId: task.id }, labels);
      await state.save();
      const base = baseUrl(req);
      res.location(`${base}/api/tasks/${task.id}`);
      sendJson(res, taskView({ state, base, user }, task), 201);
    }),
  );
  router.get(
    "/tasks/:id",
    route((req, res) => sendJson(res, taskView({ state, base: baseUrl(req), user }, findTask(state, idOf(req))))),
  );
  router.patch(
    "/tasks/:id",
    route(async (req, res) => {
      const task = findTask(state, idOf(req));
      const { name } = parseBody(z.object({ name: z.string().trim().min(1).max(256).optional() }), req.body);
      task.name = name ?? task.name;
      task.updated = new Date().toISOString();
      await state.save();
      sendJson(res, taskView({ state, base: baseUrl(req), user }, task));
    }),
  );
  router.delete(
    "/tasks/:id",
    route(async (req, res) => {
      await state.removeTask(findTask(state, idOf(req)).id);
      res.status(204).end();
    }),
  );

  router.get(
    "/jobs",
    route((req, res) => {
      const task = query(req, "task_id");
      const found = state.jobs.filter((job) => task === undefined || job.taskId === Number(task)).toSorted((a, b) => b.id - a.id);
      sendPage(
        req,
        res,
        found.map((job) => jobView({ state, base: baseUrl(req), user }, job)),
      );
    }),
  );
  router.get(
    "/jobs/:id",
    route((req, res) => sendJson(res, jobView({ state, base: baseUrl(req), user }, findJob(idOf(req))))),
  );
  router.patch(
    "/jobs/:id",
    route(async (req, res) => {
      const job = findJob(idOf(req));
      const body = (req.body ?? {}) as Record<string, unknown>;
      const choose = <T extends string>(field: "stage" | "state", choices: readonly T[], old: T): T => {
        const value = body[field];
        if (value === undefined) return old;
        if (!choices.includes(value as T)) throw new HttpError(400, { [field]: [`${JSON.stringify(value)} is not a valid choice.`] });
        return value as T;
      };
      const stage = choose("stage", stages, job.stage);
      // A new stage starts afresh, unless the same call says otherwise.
      const state_ = choose("state", states, stage === job.stage ? job.state : "new");
      Object.assign(job, { stage, state: state_, updated: new Date().toISOString() });
      findTask(state, job.taskId).updated = job.updated;
      await state.save();
      sendJson(res, jobView({ state, base: baseUrl(req), user }, job));
    }),
  );

  for (const kind of ["tasks", "jobs"] as const) {
    const taskOf = (id: number) => findTask(state, kind === "tasks" ? id : findJob(id).taskId);
    // The SDK asks with a slash at the end, people without.
    const paths = [`/${kind}/:id/annotations`, `/${kind}/:id/annotations/`];
    router.get(
      paths,
      route(async (req, res) => {
        if (query(req, "format"))
          throw new HttpError(
            410,
            "This endpoint is no longer supported.\nTo initiate the export process, use POST /api/tasks/id/dataset/export?save_images=False.",
          );
        sendJson(res, annotations(await state.readShapes(taskOf(idOf(req)).id)));
      }),
    );
    router.put(
      paths,
      route(async (req, res) => {
        const task = taskOf(idOf(req));
        const shapes = toShapes(state, task, req.body);
        await state.writeShapes(task.id, shapes);
        sendJson(res, annotations(shapes));
      }),
    );
    router.patch(
      paths,
      route(async (req, res) => {
        const task = taskOf(idOf(req));
        const before = await state.readShapes(task.id);
        const action = query(req, "action");
        const given = ((req.body as { shapes?: { id?: number }[] }).shapes ?? []).map(({ id }) => id);
        if (action === "delete") {
          await state.writeShapes(
            task.id,
            before.filter(({ id }) => !given.includes(id)),
          );
          return sendJson(res, annotations([]));
        }
        const shapes = toShapes(state, task, req.body);
        if (action === "create") await state.writeShapes(task.id, [...before, ...shapes]);
        else if (action === "update") await state.writeShapes(task.id, [...before.filter(({ id }) => !given.includes(id)), ...shapes]);
        else throw new HttpError(400, { action: ["Choose create, update or delete."] });
        sendJson(res, annotations(shapes));
      }),
    );
  }
  return router;
}

const annotations = (shapes: readonly Shape[]) => ({
  version: 0,
  tags: [],
  shapes: shapes.map((shape) => ({ ...shape, elements: [] })),
  tracks: [],
  intervals: [],
});

/** The shapes of a body with ids of their own; those on frames that the task lacks are dropped, as CVAT does. */
function toShapes(state: LabelerState, task: Task, body: unknown): Shape[] {
  const { shapes } = parseBody(annotationsInput, body);
  const labels = new Set(state.labelsOfTask(task).map(({ id }) => id));
  for (const { label_id, type, points } of shapes) {
    if (!labels.has(label_id)) throw new HttpError(400, [`label_id \`${label_id}\` is invalid`]);
    if (type === "rectangle" && points.length !== 4) throw new HttpError(400, { points: [`A rectangle has 4 numbers, not ${points.length}.`] });
  }
  return shapes.filter(({ frame }) => frame >= 0 && frame < task.frames.length).map((shape) => ({ ...shape, id: state.newId("shape") }));
}
