import { existsSync, statSync } from "node:fs";
import { execa } from "execa";

/** How a program is started that must not run as root. */
export interface Caller {
  /** Whom its files belong to; undefined is whoever runs this. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /** The command line that starts it. */
  commandLine(program: string, ...args: string[]): [string, ...string[]];
  /** What `--version` of the program says. */
  readonly version: string;
}

/**
 * Whoever runs this; for root, which PostgreSQL refuses to run as, the owner of `data` if it is there, else the user
 * `postgres` or `nobody`. Where that user may not enter a folder above the program or the data, which is so beneath /root,
 * the program gets one capability that lets it: to read everything, or, where a container lacks that one, to pass by
 * permissions.
 */
export async function findCaller(program: string, data: string): Promise<Caller> {
  if (process.getuid?.() !== 0) {
    const { stdout } = await execa(program, ["--version"]);
    return { owner: undefined, version: stdout, commandLine: (command, ...args) => [command, ...args] };
  }
  const owner = await ownerOf(data);
  const who = ["setpriv", `--reuid=${owner.uid}`, `--regid=${owner.gid}`, "--clear-groups", "--no-new-privs"] as const;
  const tried: string[] = [];
  for (const capability of [undefined, "dac_read_search", "dac_override"]) {
    const line = (command: string, ...args: string[]): [string, ...string[]] => [
      ...who,
      ...(capability ? [`--inh-caps=+${capability}`, `--ambient-caps=+${capability}`] : []),
      command,
      ...args,
    ];
    // It has to start, to read what lies around it, and to reach the data.
    const [command, ...args] = line("sh", "-c", '"$1" --version && ls "${1%/bin/*}/share" >/dev/null && cd "$2"', "sh", program, existing(data));
    try {
      const { stdout } = await execa(command, args, { cwd: "/" });
      return { owner, version: stdout, commandLine: line };
    } catch (error) {
      tried.push(error instanceof Error ? (error.message.split("\n").at(-1) ?? "") : String(error));
    }
  }
  throw new Error(
    `PostgreSQL does not run as root, and could not be started as user ${owner.uid} (${[...new Set(tried)].join("; ")}). ` +
      `That takes setpriv of util-linux, and, where a folder above ${data} is closed to others, CAP_DAC_READ_SEARCH or CAP_DAC_OVERRIDE. ` +
      "Else start Airloom as a user other than root, or set DATABASE_URL in .env to a PostgreSQL of your own",
  );
}

async function ownerOf(data: string): Promise<{ uid: number; gid: number }> {
  if (existsSync(data)) {
    const { uid, gid } = statSync(data);
    if (uid !== 0) return { uid, gid };
  }
  for (const name of ["postgres", "nobody"]) {
    const { stdout, exitCode } = await execa("id", ["-u", name], { reject: false });
    if (exitCode !== 0) continue;
    return { uid: Number(stdout), gid: Number((await execa("id", ["-g", name])).stdout) };
  }
  throw new Error(
    "PostgreSQL does not run as root, and there is no user `postgres` or `nobody`: add one, or set DATABASE_URL in .env to a PostgreSQL of your own",
  );
}

/** The nearest folder that is there: the path itself, or one above it. */
function existing(folder: string): string {
  return existsSync(folder) ? folder : existing(folder.slice(0, folder.lastIndexOf("/")) || "/");
}
