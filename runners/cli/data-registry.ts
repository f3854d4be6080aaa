import { readFile } from "node:fs/promises";
import path from "node:path";
import { parse } from "dotenv";
import { Registry } from "@airloom/dataset-platform/registry/registry.ts";
import { type StorageLayout, storageLayout } from "@airloom/dataset-platform/store/layout.ts";
import { DataRepository } from "@airloom/dataset-platform/versions/data-repository.ts";
import { registryUrl } from "../platform/registry-url.ts";

/** What a sub-command works with. The storage folder is not held against the registry: a question needs none. */
export interface DataPlace {
  readonly registry: Registry;
  readonly url: string;
  readonly pgDump: string;
  readonly storage: StorageLayout;
  readonly incoming: string;
  readonly repository: () => DataRepository;
}

/** Runs `work` with the registry open. */
export type UseRegistry = <T>(work: (place: DataPlace) => Promise<T>) => Promise<T>;

type Variables = Readonly<Record<string, string | undefined>>;

const databaseName = "airloom";
const defaultPort = 15_432;

/**
 * Where the registry is: AIRLOOM_REGISTRY_URL, else the database "airloom" of the server that DATABASE_URL names, else of the
 * one that `npm start` runs. Never from the command line, where a password would show in the list of processes.
 */
export function findRegistryUrl(variables: Variables): string {
  const direct = variables["AIRLOOM_REGISTRY_URL"];
  if (direct) return direct;
  const server = variables["DATABASE_URL"];
  if (server) {
    if (!URL.canParse(server)) throw new Error("DATABASE_URL is not a URL such as postgresql://user:password@host:5432/postgres");
    const url = new URL(server);
    url.pathname = `/${databaseName}`;
    return url.href;
  }
  const password = variables["POSTGRES_PASSWORD"];
  if (!password)
    throw new Error(
      "it is not known where the registry is: run this in the folder that `npm start` runs in, whose .env holds POSTGRES_PASSWORD or DATABASE_URL, or set AIRLOOM_REGISTRY_URL",
    );
  const port = Number(variables["POSTGRES_PORT"] || defaultPort);
  return registryUrl({ host: "127.0.0.1", port, login: "airloom", password, schema: databaseName, extra: {} });
}

/** The variables of the nearest .env from a folder upwards, beneath those of the environment. */
async function readVariables(from: string): Promise<{ readonly variables: Variables; readonly root: string }> {
  for (let folder = path.resolve(from); ; folder = path.dirname(folder)) {
    const text = await readFile(path.join(folder, ".env"), "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    const set = Object.fromEntries(Object.entries(process.env).filter(([, value]) => value));
    if (text !== undefined) return { variables: { ...parse(text), ...set }, root: folder };
    if (folder === path.dirname(folder)) return { variables: set, root: path.resolve(from) };
  }
}

export const useRegistry: UseRegistry = async (work) => {
  const { variables, root } = await readVariables(process.cwd());
  const url = findRegistryUrl(variables);
  const storage = storageLayout(path.resolve(root, variables["STORAGE_DIR"] || "storage"));
  const pgDump = variables["AIRLOOM_PG_DUMP"] || "pg_dump";
  const registry = await Registry.openWithoutStorage({ url, storage, pgDump });
  try {
    const dvc = variables["AIRLOOM_DVC"] || path.join(root, ".venv/bin/dvc");
    const remoteUrl = variables["DVC_REMOTE_URL"] || path.join(storage.root, ".remote");
    const news = { info: console.error, warn: console.error };
    const incoming = path.resolve(root, variables["INCOMING_DIR"] || "dataset-platform/incoming");
    return await work({ registry, url, pgDump, storage, incoming, repository: () => new DataRepository({ storage, dvc, remoteUrl, news }) });
  } finally {
    await registry.close();
  }
};
