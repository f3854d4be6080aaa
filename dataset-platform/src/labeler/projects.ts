import { Router } from "express";
import { z } from "zod";
import { baseUrl, HttpError, idOf, notFound, query, route, sendJson, sendPage } from "./http.ts";
import type { Label, LabelerState, Project } from "./state.ts";
import { labelView, projectView } from "./views.ts";

const labelInput = z.object({
  id: z.number().int().optional(),
  name: z.string().trim().min(1).max(64).optional(),
  color: z.string().optional(),
  type: z.string().optional(),
  deleted: z.boolean().optional(),
});
type LabelInput = z.infer<typeof labelInput>;

/** The body as `schema` has it; 400 with the fields that are wrong, as CVAT gives it. */
export function parseBody<T extends z.ZodType>(schema: T, body: unknown): z.infer<T> {
  const result = schema.safeParse(body ?? {});
  if (result.success) return result.data;
  const fields: Record<string, string[]> = {};
  for (const issue of result.error.issues) {
    const missing = issue.code === "invalid_type" && issue.message.includes("received undefined");
    (fields[String(issue.path[0] ?? "non_field_errors")] ??= []).push(missing ? "This field is required." : issue.message);
  }
  throw new HttpError(400, fields);
}

/** Eight colours that stand apart, for labels that come without one. */
const palette = ["#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#f032e6"];

/** Adds, renames and removes labels of a project or task as a PATCH asks. */
export async function applyLabels(
  state: LabelerState,
  owner: { projectId: number | null; taskId: number | null },
  inputs: readonly LabelInput[],
): Promise<void> {
  const present = () => state.labels.filter((label) => label.projectId === owner.projectId && label.taskId === owner.taskId);
  const removed = inputs.filter((input) => input.deleted).map((input) => input.id);
  const names = [
    ...present()
      .filter((label) => !inputs.some((input) => input.id === label.id))
      .map((label) => label.name),
    ...inputs.filter((i) => !i.deleted).flatMap((i) => i.name ?? []),
  ];
  if (new Set(names).size < names.length) throw new HttpError(400, ["All label names must be unique"]);
  for (const input of inputs) {
    const old = input.id === undefined ? undefined : present().find((label) => label.id === input.id);
    if (input.id !== undefined && !old) throw new HttpError(404, { detail: `Not found label with id #${input.id} to change` });
    if (input.deleted) continue;
    if (old) {
      old.name = input.name ?? old.name;
      old.color = input.color ?? old.color;
    } else if (input.name !== undefined) {
      const id = state.newId("label");
      state.add("labels", { id, ...owner, name: input.name, color: input.color || palette[(id - 1) % palette.length]!, type: input.type ?? "any" });
    } else throw new HttpError(400, { labels: ["A new label needs a name."] });
  }
  for (const id of removed) if (id !== undefined) await state.removeLabel(id);
}

const projectInput = z.object({ name: z.string().trim().min(1).max(256), labels: z.array(labelInput).default([]) });
const projectPatch = z.object({ name: z.string().trim().min(1).max(256).optional(), labels: z.array(labelInput).optional() });

/** Projects and labels. */
export function projectRoutes(state: LabelerState, user: string): Router {
  const router = Router({ strict: true, caseSensitive: true });
  const find = (id: number): Project => {
    const project = state.projects.find((candidate) => candidate.id === id);
    if (!project) throw notFound("Project");
    return project;
  };

  router.get(
    "/projects",
    route((req, res) => {
      const name = query(req, "name");
      const found = state.projects.filter((project) => name === undefined || project.name === name).toSorted((a, b) => b.id - a.id);
      sendPage(
        req,
        res,
        found.map((project) => projectView({ state, base: baseUrl(req), user }, project)),
      );
    }),
  );
  router.post(
    "/projects",
    route(async (req, res) => {
      const { name, labels } = parseBody(projectInput, req.body);
      const names = labels.map((label) => label.name);
      if (new Set(names).size < names.length) throw new HttpError(400, ["All label names must be unique"]);
      const now = new Date().toISOString();
      const project = state.add("projects", { id: state.newId("project"), name, created: now, updated: now });
      await applyLabels(state, { projectId: project.id, taskId: null }, labels);
      await state.save();
      const base = baseUrl(req);
      res.location(`${base}/api/projects/${project.id}`);
      sendJson(res, projectView({ state, base, user }, project), 201);
    }),
  );
  router.get(
    "/projects/:id",
    route((req, res) => sendJson(res, projectView({ state, base: baseUrl(req), user }, find(idOf(req))))),
  );
  router.patch(
    "/projects/:id",
    route(async (req, res) => {
      const project = find(idOf(req));
      const { name, labels } = parseBody(projectPatch, req.body);
      if (labels) await applyLabels(state, { projectId: project.id, taskId: null }, labels);
      project.name = name ?? project.name;
      project.updated = new Date().toISOString();
      await state.save();
      sendJson(res, projectView({ state, base: baseUrl(req), user }, project));
    }),
  );
  router.delete(
    "/projects/:id",
    route(async (req, res) => {
      await state.removeProject(find(idOf(req)).id);
      res.status(204).end();
    }),
  );

  router.get(
    "/labels",
    route((req, res) => sendPage(req, res, labelsFor(state, query(req, "project_id"), query(req, "task_id"), query(req, "job_id")).map(labelView))),
  );
  router.get(
    "/labels/:id",
    route((req, res) => {
      const label = state.labels.find(({ id }) => id === idOf(req));
      if (!label) throw notFound("Label");
      sendJson(res, labelView(label));
    }),
  );
  return router;
}

function labelsFor(state: LabelerState, projectId?: string, taskId?: string, jobId?: string): readonly Label[] {
  if (projectId !== undefined) return state.labels.filter((label) => label.projectId === Number(projectId));
  const ofJob = jobId === undefined ? undefined : state.jobs.find(({ id }) => id === Number(jobId))?.taskId;
  const wanted = taskId === undefined ? ofJob : Number(taskId);
  if (wanted === undefined) return jobId === undefined ? state.labels : [];
  const task = state.tasks.find(({ id }) => id === wanted);
  return task ? state.labelsOfTask(task) : [];
}
