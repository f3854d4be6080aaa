import { randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { access, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { type Request, Router } from "express";
import multer from "multer";
import sharp from "sharp";
import type { RequestLog } from "./requests.ts";
import { baseUrl, HttpError, idOf, query, route, sendJson } from "./http.ts";
import type { Frame, LabelerState, Task } from "./state.ts";
import { findTask } from "./tasks.ts";
import { metaView } from "./views.ts";

/** The most bytes of one picture, of pictures in one call, and pixels of a picture. */
const maxFileBytes = 64 * 1024 * 1024;
const maxFilesPerCall = 1000;
const maxPixels = 100_000_000;

const tusHeaders = { "Tus-Resumable": "1.0.0", "Tus-Version": "1.0.0", "Tus-Extension": "", "Tus-Max-Size": String(maxFileBytes) };

/** Uploading a task's pictures (multipart, several calls, or TUS), what is known of them, and the pictures themselves. */
export function taskDataRoutes(state: LabelerState, requests: RequestLog): Router {
  const router = Router({ strict: true, caseSensitive: true });
  const upload = multer({
    storage: multer.diskStorage({
      destination: (req, _file, done) => {
        const folder = state.dataFolder(Number(req.params["id"]));
        mkdir(folder, { recursive: true }).then(
          () => done(null, folder),
          (error: Error) => done(error, folder),
        );
      },
      filename: (_req, file, done) => done(null, `.${randomUUID()}${path.extname(file.originalname).slice(0, 8)}.part`),
    }),
    limits: { fileSize: maxFileBytes, files: maxFilesPerCall, fields: 100, parts: maxFilesPerCall + 100 },
  });

  const paths = ["/tasks/:id/data", "/tasks/:id/data/"];
  router.post(paths, (req, _res, next) => {
    const task = state.tasks.find(({ id }) => id === Number(req.params["id"]));
    if (!task) return next(new HttpError(404, { detail: "No Task matches the given query." }));
    if (task.data === "ready" || task.data === "failed") return next(new HttpError(400, ["Adding more data is not supported"]));
    next();
  });
  router.post(
    paths,
    upload.any(),
    route(async (req, res) => {
      const task = findTask(state, idOf(req));
      if (req.get("tus-resumable") !== undefined) return startTus(req, state, task, (headers) => res.status(201).set(headers).end());
      if (req.get("upload-start") !== undefined) {
        task.data = "uploading";
        await state.save();
        res.status(202).end();
        return;
      }
      await keepFiles(state, task, (req.files ?? []) as Express.Multer.File[]);
      if (req.get("upload-multiple") !== undefined) {
        res.status(200).end();
        return;
      }
      const id = requests.run({ type: "create:task", target: "task", task, format: null }, `action=create&target=task&target_id=${task.id}`, null, () =>
        finishUpload(state, task, req.body as Record<string, unknown>),
      );
      sendJson(res, { rq_id: id }, 202);
    }),
  );

  const partFile = (req: Request) => {
    const name = String(req.params["upload"]);
    if (!/^[\w-]{10,80}$/.test(name)) throw new HttpError(404, { detail: "Not found." });
    return path.join(state.dataFolder(idOf(req)), `.${name}.tus`);
  };
  const offsetOf = async (file: string) =>
    (
      await stat(file).catch(() => {
        throw new HttpError(404, { detail: "Not found." });
      })
    ).size;
  router.head(
    "/tasks/:id/data/:upload",
    route(async (req, res) => {
      const { length } = await tusInfo(partFile(req));
      res
        .set({ ...tusHeaders, "Upload-Offset": String(await offsetOf(partFile(req))), "Upload-Length": String(length) })
        .status(200)
        .end();
    }),
  );
  router.patch(
    "/tasks/:id/data/:upload",
    route(async (req, res) => {
      const file = partFile(req);
      const { name, length } = await tusInfo(file);
      const offset = await offsetOf(file);
      if (Number(req.get("upload-offset")) !== offset) throw new HttpError(409, "", tusHeaders);
      await pipeline(req, createWriteStream(file, { flags: "a" }));
      const now = await offsetOf(file);
      if (now > length) throw new HttpError(413, { detail: `More bytes than the announced ${length}.` });
      if (now === length) {
        await rename(file, path.join(state.dataFolder(idOf(req)), name));
        await rm(`${file}.json`, { force: true });
      }
      res
        .status(204)
        .set({ ...tusHeaders, "Upload-Offset": String(now) })
        .end();
    }),
  );

  router.get(
    "/tasks/:id/data/meta",
    route((req, res) => sendJson(res, metaView(findTask(state, idOf(req))))),
  );
  router.get(
    "/jobs/:id/data/meta",
    route((req, res) => {
      const job = state.jobs.find(({ id }) => id === idOf(req));
      if (!job) throw new HttpError(404, { detail: "No Job matches the given query." });
      sendJson(res, metaView(findTask(state, job.taskId)));
    }),
  );
  router.get(
    paths,
    route((req, res) => {
      const task = findTask(state, idOf(req));
      if (query(req, "type") !== "frame") throw new HttpError(400, ["Only type=frame is offered here"]);
      const frame = task.frames[Number(query(req, "number"))];
      if (!frame) throw new HttpError(404, { detail: `Frame ${query(req, "number")} does not exist` });
      res.sendFile(path.join(state.dataFolder(task.id), frame.name), { dotfiles: "allow" });
    }),
  );
  return router;
}

/** A flat, harmless file name; 400 for one that is none. */
function flatName(name: string): string {
  const flat = path.basename(name.replaceAll("\\", "/"));
  if (flat === "" || flat.startsWith(".") || /[\u0000-\u001f]/.test(flat) || Buffer.byteLength(flat) > 200)
    throw new HttpError(400, [`${JSON.stringify(name)} is not a file name that can be kept`]);
  return flat;
}

async function keepFiles(state: LabelerState, task: Task, files: readonly Express.Multer.File[]): Promise<void> {
  for (const file of files) {
    // multer reads names as latin1; they are UTF-8.
    const name = flatName(Buffer.from(file.originalname, "latin1").toString("utf8"));
    const target = path.join(state.dataFolder(task.id), name);
    const taken = await access(target).then(
      () => true,
      () => false,
    );
    if (taken) throw new HttpError(409, [`File name ${name} is used twice in this task`]);
    await rename(file.path, target);
  }
}

async function startTus(req: Request, state: LabelerState, task: Task, created: (headers: Record<string, string>) => void): Promise<void> {
  const length = Number(req.get("upload-length"));
  if (!(length >= 0 && length <= maxFileBytes)) throw new HttpError(413, { detail: `A picture may have ${maxFileBytes} bytes.` });
  const encoded = /filename ([\w+/=]+)/.exec(req.get("upload-metadata") ?? "")?.[1] ?? "";
  const name = flatName(Buffer.from(encoded, "base64").toString());
  const folder = state.dataFolder(task.id);
  await mkdir(folder, { recursive: true });
  const taken = await access(path.join(folder, name)).then(
    () => true,
    () => false,
  );
  if (taken) throw new HttpError(409, "", tusHeaders);
  const id = `1_${randomUUID()}`;
  await writeFile(path.join(folder, `.${id}.tus`), "");
  await writeFile(path.join(folder, `.${id}.tus.json`), JSON.stringify({ name, length }));
  created({ ...tusHeaders, Location: `${baseUrl(req)}/api/tasks/${task.id}/data/${id}`, "Upload-Filename": name });
}

async function tusInfo(file: string): Promise<{ name: string; length: number }> {
  const text = await readFile(`${file}.json`, "utf8").catch(() => {
    throw new HttpError(404, { detail: "Not found." });
  });
  return JSON.parse(text) as { name: string; length: number };
}

/** Measures the uploaded pictures and makes the task's job. A failure is the message of the request, as in CVAT. */
async function finishUpload(state: LabelerState, task: Task, fields: Record<string, unknown>): Promise<void> {
  const fail = async (message: string) => {
    task.data = "failed";
    await state.save();
    throw new Error(message);
  };
  const quality = Number(fields["image_quality"]);
  if (!Number.isInteger(quality) || quality < 0 || quality > 100) await fail("image_quality is missing: give a whole number from 0 to 100\n");
  const folder = state.dataFolder(task.id);
  const present = (await readdir(folder).catch(() => [])).filter((name) => !name.startsWith("."));
  if (present.length === 0) await fail("No media data found\n");
  const frames: Frame[] = [];
  for (const name of sortNames(present, fields["sorting_method"])) {
    try {
      const { autoOrient } = await sharp(path.join(folder, name), { limitInputPixels: maxPixels }).metadata();
      frames.push({ name, width: autoOrient.width, height: autoOrient.height });
    } catch {
      await fail(`cannot identify image file '${name}'\n`);
    }
  }
  const now = new Date().toISOString();
  Object.assign(task, { data: "ready", imageQuality: quality, frames, updated: now } satisfies Partial<Task>);
  state.add("jobs", { id: state.newId("job"), taskId: task.id, stage: "annotation", state: "new", created: now, updated: now });
  await state.save();
}

function sortNames(names: readonly string[], method: unknown): string[] {
  if (method === "natural") return names.toSorted((a, b) => a.localeCompare(b, "en", { numeric: true }));
  return names.toSorted((a, b) => (a < b ? -1 : 1));
}
