import { createWriteStream } from "node:fs";
import { access, mkdir, rename } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { Router } from "express";
import { ZipFile } from "yazl";
import { exportFormats, type ExportTask } from "./export-formats.ts";
import { HttpError, idOf, notFound, query, route, sendJson, sendPage } from "./http.ts";
import type { RequestLog } from "./requests.ts";
import type { LabelerState, Task } from "./state.ts";

/** Exports of projects, tasks and jobs, and the requests that stand for them. */
export function exportRoutes(state: LabelerState, requests: RequestLog): Router {
  const router = Router({ strict: true, caseSensitive: true });
  for (const kind of ["project", "task", "job"] as const) {
    router.post(
      `/${kind}s/:id/dataset/export`,
      route((req, res) => {
        const id = idOf(req);
        const tasks = tasksOf(state, kind, id);
        const format = query(req, "format");
        if (!format) throw new HttpError(400, { format: ["This field is required."] });
        const write = exportFormats[format];
        if (!write) throw new HttpError(400, { detail: `Unknown format specified for the request. This server has ${Object.keys(exportFormats).join(", ")}.` });
        const withImages = /^true$/i.test(query(req, "save_images") ?? "");
        const part = withImages ? "dataset" : "annotations";
        const rqId = `action=export&target=${kind}&target_id=${id}&user_id=1&format=${format.replaceAll(" ", "_").replaceAll(".", "~")}&subresource=${part}`;
        const operation = {
          type: `export:${part}`,
          target: kind,
          task: kind === "project" ? undefined : tasks[0],
          format,
          ...(kind === "project" ? { project: id } : {}),
          ...(kind === "job" ? { job: id } : {}),
        };
        const resultPath = `/api/${kind}s/${id}/dataset/download?rq_id=${encodeURIComponent(rqId)}`;
        requests.run(operation, rqId, resultPath, async () => {
          const ready = tasks.filter((task) => task.data === "ready");
          if (ready.length === 0) throw new Error("there is no task with data to export\n");
          const entries = await withUniqueNames(state, ready);
          await writeZip(state, zipFile(state, rqId), write(entries, state.labelsOfTask(ready[0]!), withImages));
        });
        sendJson(res, { rq_id: rqId }, 202);
      }),
    );
    router.get(
      `/${kind}s/:id/dataset/download`,
      route(async (req, res) => {
        tasksOf(state, kind, idOf(req));
        const rqId = query(req, "rq_id") ?? "";
        const file = zipFile(state, rqId);
        const known =
          rqId.includes(`target=${kind}&target_id=${idOf(req)}&`) &&
          (await access(file).then(
            () => true,
            () => false,
          ));
        if (!known) throw new HttpError(400, "Unknown export request id");
        res
          .type("application/zip")
          .set("Content-Disposition", `attachment; filename="${kind}_${idOf(req)}.zip"`)
          .sendFile(file, { dotfiles: "allow" });
      }),
    );
  }
  router.get(
    "/requests",
    route((req, res) => sendPage(req, res, requests.all(req))),
  );
  // Ids hold "&" and "=", encoded or not.
  router.get(
    "/requests/:id",
    route((req, res) => sendJson(res, requests.view(req, String(req.params["id"])))),
  );
  return router;
}

function tasksOf(state: LabelerState, kind: "project" | "task" | "job", id: number): readonly Task[] {
  if (kind === "project") {
    if (!state.projects.some((project) => project.id === id)) throw notFound("Project");
    return state.tasks.filter((task) => task.projectId === id);
  }
  const taskId = kind === "task" ? id : state.jobs.find((job) => job.id === id)?.taskId;
  const task = state.tasks.find((candidate) => candidate.id === taskId);
  if (!task) throw notFound(kind === "task" ? "Task" : "Job");
  return [task];
}

const zipFile = (state: LabelerState, rqId: string) => path.join(state.folder, "exports", `${Buffer.from(rqId).toString("base64url")}.zip`);

/** Equal file names in several tasks get _1, _2 … before the extension, as CVAT does. */
async function withUniqueNames(state: LabelerState, tasks: readonly Task[]): Promise<ExportTask[]> {
  const taken = new Set<string>();
  const unique = (name: string) => {
    const extension = path.extname(name);
    let result = name;
    for (let n = 1; taken.has(result); n++) result = `${name.slice(0, name.length - extension.length)}_${n}${extension}`;
    taken.add(result);
    return result;
  };
  return Promise.all(tasks.map(async (task) => ({ task, shapes: await state.readShapes(task.id), names: task.frames.map(({ name }) => unique(name)) })));
}

async function writeZip(state: LabelerState, file: string, files: ReturnType<(typeof exportFormats)[string]>): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  const zip = new ZipFile();
  for (const entry of files)
    if ("text" in entry) zip.addBuffer(Buffer.from(entry.text), entry.path);
    else zip.addFile(path.join(state.dataFolder(entry.picture.task.id), entry.picture.frame.name), entry.path, { compress: false });
  zip.end();
  await pipeline(zip.outputStream, createWriteStream(`${file}.part`, { mode: 0o600 }));
  await rename(`${file}.part`, file);
}
