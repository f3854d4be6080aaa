import { constants } from "node:fs";
import { access, readFile } from "node:fs/promises";
import path from "node:path";
import { execa, ExecaError } from "execa";
import { RemoteFailed } from "./errors.ts";

/**
 * What runs inside DVC's own Python. `dvc push` looks at every file of a version; this moves exactly the objects it is given,
 * with DVC's own remotes. A remote's size of an object is compared, since a broken upload leaves a part under the right name.
 */
const program = String.raw`
import json, os, sys
from concurrent.futures import ThreadPoolExecutor

def configure(job):
    # dvc remote modify writes ASCII alone and drops comments; the syntax and its quoting are ConfigObj's.
    from configobj import ConfigObj
    from dvc.config import Config
    folder = os.path.join(job["root"], ".dvc")
    for name, url in (("config", job["url"]), ("config.local", job["localUrl"])):
        file = os.path.join(folder, name)
        if url is None and not os.path.exists(file):
            continue
        config = ConfigObj(file, encoding="utf-8", interpolation=False)
        key = 'remote "storage"'
        if name == "config":
            config.setdefault("core", {})["remote"] = "storage"
            config.setdefault(key, {})["verify"] = "true"
        if url is not None:
            config.setdefault(key, {})["url"] = url
        elif key in config:
            config[key].pop("url", None)
            if not config[key]:
                del config[key]
        config.filename = f"{file}.{os.getpid()}.tmp"
        config.write()
        os.chmod(config.filename, 0o644 if name == "config" else 0o600)
        os.replace(config.filename, file)
    Config(folder)
    return {}

def move(repo, job):
    from dvc.fs import localfs
    odb = repo.cloud.get_remote("storage", "fetch" if job["do"] == "look" else job["do"]).odb
    failed = []

    def size(oid):
        try:
            return odb.fs.info(odb.oid_to_path(oid))["size"]
        except FileNotFoundError:
            return None

    def fetch(item):
        oid, file, _ = item
        try:
            odb.fs.get_file(odb.oid_to_path(oid), file)
        except FileNotFoundError:
            failed.append([oid, "it is not there"])

    with ThreadPoolExecutor(odb.fs.jobs or 4) as pool:
        if job["do"] == "fetch":
            list(pool.map(fetch, job["objects"]))
            return {"failed": failed}
        sizes = list(pool.map(lambda item: size(item[0]), job["objects"]))
    if job["do"] == "look":
        return {"sizes": [[i[0], n] for i, n in zip(job["objects"], sizes) if n is not None]}
    new = [item for item, there in zip(job["objects"], sizes) if there != item[2]]
    # A .dir object says that all its files are there, so it goes last.
    for some in ([i for i in new if not i[0].endswith(".dir")], [i for i in new if i[0].endswith(".dir")]):
        if some and not failed:
            odb.add([i[1] for i in some], localfs, [i[0] for i in some], check_exists=False,
                    on_error=lambda oid, error: failed.append([oid, f"{type(error).__name__}: {error}"]))
    return {"failed": failed, "moved": len(new) - len(failed)}

def words(error):
    said = []
    while error is not None:
        text = f"{type(error).__name__}: {error}"
        if text not in said:
            said.append(text)
        error = error.__cause__ or error.__context__
    return "\n".join(said)

job = json.load(sys.stdin)
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
try:
    if job["do"] == "configure":
        result = configure(job)
    else:
        from dvc.repo import Repo
        with Repo(job["root"]) as repo:
            result = move(repo, job)
except Exception as error:
    result = {"error": words(error)}
answer.write(json.dumps(result))
answer.close()
`;

/** An object, its file on this machine, and its size. */
export type ObjectOnDisk = readonly [oid: string, file: string, bytes: number];

export type DvcJob =
  | /** The remote's URL in .dvc/config, and in .dvc/config.local where that has another. */
    { readonly do: "configure"; readonly url: string; readonly localUrl: string | null }
  | { readonly do: "push" | "fetch" | "look"; readonly objects: readonly ObjectOnDisk[] };

export interface DvcAnswer {
  /** Objects that could not be moved. */
  readonly failed: readonly (readonly [oid: string, why: string])[];
  /** Objects that were looked at and are there. */
  readonly sizes: readonly (readonly [oid: string, bytes: number])[];
}

export interface DvcPlace {
  readonly root: string;
  /** The `dvc` program; its Python is used. */
  readonly dvc: string;
  /** Where DVC keeps what it knows of other places; never in a home folder, which a container may not have. */
  readonly siteCache: string;
}

/** Does a job inside DVC's Python. Secrets travel on the standard input alone. */
export async function runInDvc(place: DvcPlace, job: DvcJob): Promise<DvcAnswer> {
  const [python, ...args] = await pythonOf(place.dvc);
  // A worker may have no locale, and DVC writes its configuration in the locale's encoding.
  const env = { DVC_SITE_CACHE_DIR: place.siteCache, DVC_NO_ANALYTICS: "1", PYTHONUTF8: "1" };
  // Not in the storage folder: a file dvc.py there would be taken for DVC.
  const options = { cwd: path.parse(place.root).root, env, input: JSON.stringify({ root: place.root, ...job }), maxBuffer: 1 << 30 };
  let stdout: string;
  let said: string;
  try {
    const run = await execa(python!, [...args, "-c", program], options);
    stdout = run.stdout;
    said = run.stderr;
  } catch (cause) {
    const text = cause instanceof ExecaError ? cause.stderr || cause.shortMessage : String(cause);
    throw new RemoteFailed(text.trim(), { cause });
  }
  const answer = JSON.parse(stdout) as Partial<DvcAnswer> & { readonly error?: string };
  if (answer.error !== undefined) throw new RemoteFailed([answer.error, said.trim()].filter(Boolean).join("\n"));
  return { failed: answer.failed ?? [], sizes: answer.sizes ?? [] };
}

/** The command of the Python that a `dvc` script is run by, as its first lines say. */
async function pythonOf(dvc: string): Promise<string[]> {
  const file = await whereIs(dvc);
  const [first = "", second = ""] = (await readFile(file, "latin1")).slice(0, 4096).split("\n");
  // pip's form for a long path: a shell script that is Python too.
  const long = /^'''exec' "?([^"]+?)"? "\$0"/.exec(second)?.[1];
  if (first === "#!/bin/sh" && long) return [long];
  const command = first.startsWith("#!") ? first.slice(2).trim().split(/\s+/) : [];
  if (command.some((word) => path.basename(word).startsWith("python"))) return command;
  throw new RemoteFailed(`${file} is not a Python script, and Airloom needs the Python of DVC: install DVC with pip and set AIRLOOM_DVC to its dvc command`);
}

async function whereIs(program: string): Promise<string> {
  const places = program.includes(path.sep) ? [program] : (process.env["PATH"] ?? "").split(path.delimiter).map((folder) => path.join(folder, program));
  for (const file of places)
    if (
      await access(file, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return path.resolve(file);
  throw new RemoteFailed(`the dvc command ${program} is not there: npm start installs it; elsewhere set AIRLOOM_DVC to its path`);
}
