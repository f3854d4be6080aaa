import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import path from "node:path";
import { execa, ExecaError } from "execa";

/** Who data commits are by. */
const identity = { GIT_AUTHOR_NAME: "Airloom", GIT_AUTHOR_EMAIL: "airloom@localhost", GIT_COMMITTER_NAME: "Airloom", GIT_COMMITTER_EMAIL: "airloom@localhost" };

/** A Git command that failed, with what Git said. */
export class GitError extends Error {
  override readonly name = "GitError";
}

/** Git in one folder, without a shell and deaf to the caller's own Git environment. */
export class Git {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async run(args: readonly string[], env: Record<string, string> = {}, input?: string): Promise<string> {
    // A container's volume may belong to another user: this one folder is trusted, by name.
    const trust = { GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "safe.directory", GIT_CONFIG_VALUE_0: this.#folder };
    const inherited = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith("GIT_")));
    try {
      const options = { cwd: this.#folder, env: { ...inherited, ...identity, ...trust, ...env }, extendEnv: false, stripFinalNewline: true };
      const { stdout } = await execa("git", [...args], input === undefined ? options : { ...options, input });
      return stdout;
    } catch (cause) {
      const said = cause instanceof ExecaError ? cause.stderr || cause.shortMessage : String(cause);
      throw new GitError(`git ${args[0]} failed in ${this.#folder}: ${said.trim()}`, { cause });
    }
  }

  async tryRun(args: readonly string[]): Promise<string | undefined> {
    return this.run(args).catch((error: unknown) => {
      if (error instanceof GitError) return undefined;
      throw error;
    });
  }

  /** The commit that a branch, tag, SHA or HEAD names; undefined for anything else. */
  async tryResolveCommit(name: string): Promise<string | undefined> {
    // --end-of-options keeps a name that starts with "-" from being read as one.
    return this.tryRun(["rev-parse", "--verify", "--quiet", "--end-of-options", `${name}^{commit}`]);
  }

  /** A file of a commit, or undefined where the commit lacks it. */
  async tryShow(commit: string, file: string): Promise<string | undefined> {
    return this.tryRun(["cat-file", "blob", `${commit}:${file}`]);
  }

  /**
   * Commits exactly `paths` as they are now, onto the current branch, and returns the commit; undefined where nothing
   * changed. Uses an index of its own and a compare-and-swap of the branch, so that what others have staged or commit
   * meanwhile stays theirs.
   */
  async commitPaths(paths: readonly string[], message: string): Promise<string | undefined> {
    const branch = await this.tryRun(["symbolic-ref", "--quiet", "HEAD"]);
    if (!branch) throw new GitError(`${this.#folder} is on no branch (detached HEAD): check out a branch, so that the commit is not lost`);
    const index = path.join(this.#folder, ".git", `airloom-index-${randomUUID()}`);
    const env = { GIT_INDEX_FILE: index };
    try {
      for (let attempt = 1; ; attempt++) {
        const parent = await this.tryRun(["rev-parse", "--verify", "--quiet", "HEAD"]);
        await this.run(parent ? ["read-tree", parent] : ["read-tree", "--empty"], env);
        await this.run(["add", "--force", "--", ...paths], env);
        const tree = await this.run(["write-tree"], env);
        if (parent && tree === (await this.run(["rev-parse", `${parent}^{tree}`]))) return undefined;
        const commit = await this.run(["commit-tree", tree, ...(parent ? ["-p", parent] : []), "-F", "-"], {}, message);
        try {
          await this.run(["update-ref", "-m", "airloom", branch, commit, parent ?? "0".repeat(40)]);
        } catch (error) {
          // Someone else committed in between: build on theirs.
          if (attempt >= 10) throw error;
          continue;
        }
        await this.run(["add", "--force", "--", ...paths]);
        return commit;
      }
    } finally {
      await rm(index, { force: true });
    }
  }
}
