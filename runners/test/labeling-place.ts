// A registry with pictures, and a labeler, for tests of the labeling tasks.
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { CvatClient } from "@airloom/dataset-platform/cvat/client.ts";
import { labelerApp } from "@airloom/dataset-platform/labeler/app.ts";
import { LabelerState } from "@airloom/dataset-platform/labeler/state.ts";
import { addImage } from "@airloom/dataset-platform/registry/images.ts";
import { Registry } from "@airloom/dataset-platform/registry/registry.ts";
import { imagePath, type StorageLayout, storageLayout } from "@airloom/dataset-platform/store/layout.ts";
import { pino } from "pino";
import sharp from "sharp";
import { newDatabase } from "../../test/database.ts";
import { selectBatch } from "../select/task.ts";
import { createTask, type LabelingTask, type Pulled, pullAnnotations, waitForAnnotations } from "../cvat/tasks.ts";
import { type ContextOptions, taskContext } from "./task-context.ts";

const password = "A LONG PASSWORD";

export interface LabelingPlace {
  readonly registry: Registry;
  readonly registryUrl: string;
  readonly storage: StorageLayout;
  readonly cvat: CvatClient;
  /** Puts pictures into the store and the registry; their SHA-256s. */
  add(count: number, source?: string): Promise<string[]>;
  /** A task's context; each has log lines of its own. */
  context(options?: Partial<ContextOptions>): ReturnType<typeof taskContext>;
  close(): Promise<void>;
}

const variables = ["STORAGE_DIR", "INCOMING_DIR", "MODEL_DIR", "MLFLOW_TRACKING_URI"];

export async function openPlace(): Promise<LabelingPlace> {
  const root = await mkdtemp(path.join(tmpdir(), "labeling-"));
  const database = await newDatabase();
  const storage = storageLayout(path.join(root, "storage"));
  const outer = { ...process.env };
  Object.assign(process.env, {
    STORAGE_DIR: storage.root,
    INCOMING_DIR: path.join(root, "incoming"),
    MODEL_DIR: root,
    MLFLOW_TRACKING_URI: "http://127.0.0.1:9",
  });
  const registry = await Registry.open({ url: database.url, storage, pgDump: "pg_dump", python: "python3", say: () => undefined });
  const app = labelerApp(await LabelerState.open(path.join(root, "labeler")), { user: "admin", password }, pino({ level: "silent" }));
  const server = await new Promise<Server>((resolve) => {
    const listening: Server = app.listen(0, "127.0.0.1", () => resolve(listening));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let drawn = 0;
  return {
    registry,
    registryUrl: database.url,
    storage,
    cvat: new CvatClient({ url, auth: { user: "admin", password } }),
    async add(count, source = "manual_upload") {
      const added: string[] = [];
      for (let i = 0; i < count; i++) {
        const background = { r: ++drawn % 256, g: drawn >> 8, b: 90 };
        const bytes = await sharp({ create: { width: 200, height: 100, channels: 3, background } })
          .png()
          .toBuffer();
        const digest = (algorithm: string) => createHash(algorithm).update(bytes).digest("hex");
        const [sha256, md5] = [digest("sha256"), digest("md5")];
        const file = path.join(storage.images, imagePath(sha256, "png"));
        await mkdir(path.dirname(file), { recursive: true });
        await writeFile(file, bytes);
        const facts = { extension: "png", bytes: bytes.length, width: 200, height: 100, orientation: 1, captured_at: null, source_id: source };
        await registry.transaction((trx) => addImage(trx, { ...facts, sha256, md5, original_name: `${drawn}.png` }, { person: "tester" }));
        added.push(sha256);
      }
      return added;
    },
    context: (options = {}) => taskContext({ registryUrl: database.url, cvat: { url, user: "admin", password }, ...options }),
    async close() {
      server.close();
      server.closeAllConnections();
      await registry.close();
      await database.drop();
      for (const name of variables)
        if (outer[name] === undefined) delete process.env[name];
        else process.env[name] = outer[name];
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** The labeling tasks of one run, each called as Airflow does. */
export function labelingRun(place: LabelingPlace, options: Partial<ContextOptions> = {}) {
  const lines: string[] = [];
  const note = (line: string) => void lines.push(line);
  const log = (taskId: string, more: Partial<ContextOptions> = {}) => ({
    ...place.context({ ...options, ...more, taskId }),
    log: { info: note, warn: note, error: note, debug: note },
  });
  return {
    /** What was logged, of all tasks. */
    lines,
    select: async (sourceId = "manual_upload", batchSize = 100, more?: Partial<ContextOptions>) =>
      (await selectBatch.handler({ sourceId, batchSize }, log("select_batch", more))) as { id: string; images: number },
    create: async (batchId: string, labels: readonly string[] = ["car"], project = "P") =>
      (await createTask.handler({ batchId, project, labels }, log("create_cvat_task"))) as LabelingTask,
    wait: (batchId: string, taskId: number, review = false) => waitForAnnotations.handler({ batchId, taskId, review }, log("wait_for_annotations")),
    pull: async (batchId: string, taskId: number) => (await pullAnnotations.handler({ batchId, taskId }, log("pull_annotations"))) as Pulled,
  };
}
