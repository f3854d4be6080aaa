import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { atomicWrite } from "../store/atomic-write.ts";
import { type DvcPlace, runInDvc } from "./dvc-python.ts";
import { RemoteFailed } from "./errors.ts";
import type { News } from "./repository-lock.ts";

/** Where the objects of all versions are kept besides this machine's cache. */
export type Remote =
  | { readonly kind: "folder"; readonly name: string; readonly folder: string; readonly isInStorage: boolean }
  | {
      readonly kind: "dvc";
      /** The URL without credentials: what may be shown, committed and kept in the registry. */
      readonly name: string;
      readonly url: string;
    };

/** The remote that a setting names: a folder, where a relative one is meant from the storage folder, or a URL that DVC knows. */
export function remoteOf(root: string, setting: string): Remote {
  if (/%\(|\n/.test(setting))
    throw new RemoteFailed(`DVC_REMOTE_URL holds "%(" or a line break, which DVC's configuration cannot express: choose another place`);
  if (/^\w[\w+.-]*:\/\//.test(setting) && !setting.startsWith("file:")) return { kind: "dvc", name: withoutCredentials(setting), url: setting };
  const folder = setting.startsWith("file:") ? fileURLToPath(setting) : path.resolve(root, setting);
  const relative = path.relative(root, folder);
  const isInStorage = relative !== "" && !relative.startsWith("..");
  // A remote inside the storage folder moves with it.
  return { kind: "folder", name: isInStorage ? `storage:${relative}` : folder, folder, isInStorage };
}

/** A URL without password, without what HTTP sends as credentials, and without its query, which may hold a signature. */
function withoutCredentials(url: string): string {
  const [, scheme = "", authority = "", rest = ""] = /^([^:]+:\/\/)([^/]*)(.*)$/s.exec(url) ?? [];
  const at = authority.lastIndexOf("@");
  const host = authority.slice(at + 1);
  const user = at < 0 ? "" : authority.slice(0, at).split(":", 1)[0]!;
  const keepsUser = user !== "" && !/^(https?|webdavs?):/.test(scheme);
  return `${scheme}${keepsUser ? `${user}@` : ""}${host}${rest.replace(/[?].*$/s, "")}`;
}

/** The configuration of a new repository: values that need no quoting. */
export const firstConfig = `[core]
    remote = storage
    analytics = false
[cache]
    type = "hardlink,copy"
['remote "storage"']
    url = ../.remote
    verify = true
`;

/**
 * Brings DVC's configuration in step with the setting. What any machine can use goes into .dvc/config, which is committed;
 * this machine's own folder and URLs with credentials go into .dvc/config.local, which is not.
 */
export async function configureRemote(place: DvcPlace, remote: Remote, privateFolder: string, news: News): Promise<void> {
  const files = [path.join(place.root, ".dvc/config"), path.join(place.root, ".dvc/config.local")];
  const stampFile = path.join(privateFolder, "dvc-remote");
  const state = async () => {
    const texts = await Promise.all(files.map(textOf));
    const setting = remote.kind === "folder" ? (remote.isInStorage ? remote.name : remote.folder) : remote.url;
    return {
      texts,
      stamp: createHash("sha256")
        .update(JSON.stringify([setting, ...texts]))
        .digest("hex"),
    };
  };
  const { texts, stamp } = await state();
  const isFirst = remote.name === "storage:.remote" && texts[0] === firstConfig && texts[1] === "";
  if (isFirst || stamp === (await textOf(stampFile))) return;
  try {
    await runInDvc(place, { do: "configure", ...configured(place.root, remote) });
  } catch (cause) {
    throw new RemoteFailed(hide(remote, `DVC's configuration in ${place.root} cannot be set to the remote ${remote.name}: ${(cause as Error).message}`));
  }
  const after = await state();
  if (after.texts.some((text, i) => text !== texts[i])) news.info(`DVC's remote is ${remote.name} now, as DVC_REMOTE_URL says`);
  await atomicWrite(stampFile, after.stamp, 0o600);
}

/** A relative path is meant from the folder of the configuration. */
function configured(root: string, remote: Remote): { url: string; localUrl: string | null } {
  if (remote.kind === "dvc") return { url: remote.name, localUrl: remote.url === remote.name ? null : remote.url };
  if (remote.isInStorage) return { url: path.relative(path.join(root, ".dvc"), remote.folder), localUrl: null };
  return { url: "../.remote", localUrl: remote.folder };
}

/** A text in which the remote's credentials do not stand. */
export function hide(remote: Remote, text: string): string {
  if (remote.kind === "folder" || remote.url === remote.name) return text;
  const secrets = [remote.url, remote.url.replace(/^[^:]+:\/\//, ""), ...(/^[^:]+:\/\/([^/]*)@/.exec(remote.url)?.[1]?.split(":").slice(-1) ?? [])];
  const query = /\?(.*)$/s.exec(remote.url)?.[1];
  return [...secrets, ...(query ? [query] : [])].reduce((hidden, secret) => (secret === "" ? hidden : hidden.replaceAll(secret, "***")), text);
}

async function textOf(file: string): Promise<string> {
  return readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
}

const kits: readonly [scheme: RegExp, plugin: string, variables: string][] = [
  [/^s3:/, "dvc-s3", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE; AWS_ENDPOINT_URL for another store than Amazon's)"],
  [/^gs:/, "dvc-gs", "GOOGLE_APPLICATION_CREDENTIALS"],
  [/^(ssh|sftp):/, "dvc-ssh", "SSH_AUTH_SOCK (an agent with the key), or a key in ~/.ssh"],
  [/^azure:/, "dvc-azure", "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY"],
];

/** What a remote of this kind needs, as a sentence; empty where that is nothing known. */
export function needsOf(remote: Remote): string {
  const kit = remote.kind === "dvc" ? kits.find(([scheme]) => scheme.test(remote.name)) : undefined;
  return kit ? ` A ${remote.name.split(":", 1)[0]} remote needs the Python package ${kit[1]} beside DVC, and in the environment ${kit[2]}.` : "";
}
