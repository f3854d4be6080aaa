import { randomUUID } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { execa, ExecaError } from "execa";
import { CommitRefused } from "./errors.ts";
import { runHook } from "./git-hooks.ts";
import { runLocking } from "./git-locks.ts";

/** Who data commits are by. */
const identity = { GIT_AUTHOR_NAME: "Airloom", GIT_AUTHOR_EMAIL: "airloom@localhost", GIT_COMMITTER_NAME: "Airloom", GIT_COMMITTER_EMAIL: "airloom@localhost" };

/** A Git command that failed, with what Git said. */
export class GitError extends Error {
  override readonly name = "GitError";
  readonly exitCode: number | undefined;

  constructor(message: string, exitCode: number | undefined, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** A commit that is made, but that no branch holds yet. */
export interface MadeCommit {
  readonly commit: string;
  readonly parent: string | null;
}

export interface CommitRequest {
  readonly branch: string;
  /** Paths that are committed as the work tree has them. */
  readonly paths: readonly string[];
  /** Files that are committed with these texts, whatever the work tree has; undefined removes one. */
  readonly files: ReadonlyMap<string, string | undefined>;
  readonly message: string;
  /** Whether a commit is made that changes no file. */
  readonly allowEmpty: boolean;
  /** Called before the branch moves to the commit; what it throws leaves the branch where it is. */
  readonly beforeMove: (made: MadeCommit) => Promise<void>;
}

/** How often a commit is built again because the branch has moved meanwhile. */
const mostAttempts = 10;

/** Git in one folder, without a shell and deaf to the caller's own Git environment. */
export class Git {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** The environment that Git and its hooks get. */
  environment(): Record<string, string> {
    // A container's volume may belong to another user: this one folder is trusted, by name.
    const trust = { GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "safe.directory", GIT_CONFIG_VALUE_0: this.folder };
    const inherited = Object.fromEntries(Object.entries(process.env).filter((pair): pair is [string, string] => !pair[0].startsWith("GIT_")));
    return { ...inherited, ...identity, ...trust };
  }

  async run(args: readonly string[], env: Record<string, string> = {}, input?: string): Promise<string> {
    try {
      const options = { cwd: this.folder, env: { ...this.environment(), ...env }, extendEnv: false, stripFinalNewline: true };
      const { stdout } = await execa("git", [...args], input === undefined ? options : { ...options, input });
      return stdout;
    } catch (cause) {
      const said = cause instanceof ExecaError ? cause.stderr || cause.shortMessage : String(cause);
      throw new GitError(`git ${args[0]} failed in ${this.folder}: ${said.trim()}`, cause instanceof ExecaError ? cause.exitCode : undefined, { cause });
    }
  }

  /** What a question to Git answers; undefined where Git answers with exit code 1: no. Any other failure is thrown. */
  async ask(args: readonly string[]): Promise<string | undefined> {
    return this.run(args).catch((error: unknown) => {
      if (error instanceof GitError && error.exitCode === 1) return undefined;
      throw error;
    });
  }

  /** The commit that a branch, tag, SHA or HEAD names; undefined for anything else. */
  async tryResolveCommit(name: string): Promise<string | undefined> {
    // --end-of-options keeps a name that starts with "-" from being read as one.
    return this.ask(["rev-parse", "--verify", "--quiet", "--end-of-options", `${name}^{commit}`]);
  }

  /** A file of a commit, or undefined where the commit lacks it. */
  async tryShow(commit: string, file: string): Promise<string | undefined> {
    const blob = await this.ask(["rev-parse", "--verify", "--quiet", "--end-of-options", `${commit}:${file}`]);
    return blob === undefined ? undefined : this.run(["cat-file", "blob", blob]);
  }

  /** The branch that is checked out, in full; refuses a detached HEAD, where a commit would be lost. */
  async currentBranch(): Promise<string> {
    const branch = await this.ask(["symbolic-ref", "--quiet", "HEAD"]);
    if (branch) return branch;
    throw new CommitRefused(`${this.folder} is on no branch (detached HEAD), where a commit would be lost: check out a branch there (git checkout main)`);
  }

  /** All commits that a branch or tag holds, a line each; empty where there is no repository. */
  async tryListCommits(): Promise<string> {
    return this.run(["rev-list", "--branches", "--tags", "--remotes"]).catch((error: unknown) => {
      if (error instanceof GitError && error.exitCode === 128) return "";
      throw error;
    });
  }

  /** Whether a branch holds the commit. */
  async isOnBranch(commit: string): Promise<boolean> {
    if (!(await this.tryResolveCommit(commit))) return false;
    return (await this.run(["for-each-ref", "--count=1", `--contains=${commit}`, "refs/heads"])) !== "";
  }

  /**
   * Commits onto the branch exactly what `request` says, and returns the commit; undefined where nothing would change. Uses an
   * index of its own and a compare-and-swap of the branch, so that what others have staged or commit meanwhile stays theirs.
   * The hooks of `git commit` run, and may refuse.
   */
  async commit(request: CommitRequest): Promise<MadeCommit | undefined> {
    const gitFolder = await this.run(["rev-parse", "--absolute-git-dir"]);
    const index = path.join(gitFolder, `airloom-index-${randomUUID()}`);
    const messageFile = path.join(gitFolder, `airloom-message-${randomUUID()}`);
    try {
      for (let attempt = 1; ; attempt++) {
        const made = await this.#make(request, index, messageFile);
        if (!made) return undefined;
        await request.beforeMove(made);
        try {
          const move = ["-m", `commit: ${request.message.split("\n", 1)[0]}`, request.branch, made.commit, made.parent ?? "0".repeat(40)];
          await runLocking(this, ["update-ref", ...move], [`${request.branch}.lock`, "HEAD.lock"]);
          return made;
        } catch (error) {
          // Someone else committed in between: build on theirs.
          if (attempt >= mostAttempts || (await this.tryResolveCommit(request.branch)) === (made.parent ?? undefined)) throw error;
        }
      }
    } finally {
      await rm(index, { force: true });
      await rm(messageFile, { force: true });
    }
  }

  async #make({ branch, paths, files, message, allowEmpty }: CommitRequest, index: string, messageFile: string): Promise<MadeCommit | undefined> {
    const env = { GIT_INDEX_FILE: index };
    const parent = (await this.tryResolveCommit(branch)) ?? null;
    await this.run(parent ? ["read-tree", parent] : ["read-tree", "--empty"], env);
    await this.run(["add", "--force", "--", ...paths], env);
    for (const [file, text] of files) {
      if (text === undefined) await this.run(["update-index", "--force-remove", "--", file], env);
      else {
        const blob = await this.run(["hash-object", "-w", "--stdin"], {}, text);
        await this.run(["update-index", "--add", "--cacheinfo", `100644,${blob},${file}`], env);
      }
    }
    const unchanged = async (tree: string) => parent !== null && tree === (await this.run(["rev-parse", `${parent}^{tree}`]));
    if (!allowEmpty && (await unchanged(await this.run(["write-tree"], env)))) return undefined;
    await writeFile(messageFile, `${message}\n`);
    await runHook(this, "pre-commit", [], env);
    await runHook(this, "prepare-commit-msg", [messageFile, "message"], env);
    await runHook(this, "commit-msg", [messageFile], env);
    // A hook may have staged more, or written another message.
    const tree = await this.run(["write-tree"], env);
    const commit = await this.run(["commit-tree", tree, ...(parent ? ["-p", parent] : []), "-F", messageFile]);
    return { commit, parent };
  }
}
