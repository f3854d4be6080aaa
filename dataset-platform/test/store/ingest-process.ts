// Ingests again and again until a file appears: node --import tsx ingest-process.ts <incoming> <storage> <registry's URL> <source> <file>
import { existsSync } from "node:fs";
import { Registry } from "@airloom/dataset-platform/registry/registry.ts";
import { ingest } from "@airloom/dataset-platform/store/ingest.ts";
import { storageLayout } from "@airloom/dataset-platform/store/layout.ts";
import { startPictureWorkers } from "@airloom/dataset-platform/store/picture-workers.ts";
import { runKey } from "../registry/open-registry.ts";

const [incoming = "", root = "", url = "", sourceId = "", until = ""] = process.argv.slice(2);
const storage = storageLayout(root);
const registry = await Registry.open({ url, storage, pgDump: "pg_dump", python: "python3", say: () => undefined });
const workers = startPictureWorkers(1);
for (;;) {
  const isLast = until === "" || existsSync(until);
  await ingest({ incoming, storage, registry, sourceId, run: runKey(`process ${process.pid}`), settleMs: 1, workers });
  if (isLast) break;
}
workers.close();
await registry.close();
