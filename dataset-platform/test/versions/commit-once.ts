// Commits once, in a process of its own: commit-once.ts DATABASE_URL STORAGE_DIR.
import path from "node:path";
import { Registry } from "@airloom/dataset-platform/registry/registry.ts";
import { storageLayout } from "@airloom/dataset-platform/store/layout.ts";
import { DataRepository } from "@airloom/dataset-platform/versions/data-repository.ts";
import { dvc, run } from "./open-repository.ts";

const [url = "", root = ""] = process.argv.slice(2);
const storage = storageLayout(root);
const registry = await Registry.open({ url, storage, pgDump: "pg_dump", python: "python3", say: () => undefined });
await new DataRepository({ storage, dvc, remoteUrl: path.join(root, ".remote") }).commit("two", registry, run);
await registry.close();
