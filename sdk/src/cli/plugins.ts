import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import type { Command } from "commander";

const prefix = "airloom-";

/** The folders of installed commands, nearest first. */
function commandFolders(from: string): string[] {
  const folder = path.join(from, "node_modules/.bin");
  const parent = path.dirname(from);
  return [...(existsSync(folder) ? [folder] : []), ...(parent === from ? [] : commandFolders(parent))];
}

/**
 * Adds the commands that other packages of a project bring: an executable `airloom-x` is `airloom x`, as with Git. The SDK
 * itself knows nothing of training.
 */
export function addPlugins(program: Command): void {
  for (const folder of commandFolders(process.cwd()))
    for (const file of readdirSync(folder)) {
      const name = file.slice(prefix.length);
      const isTaken = program.commands.some((command) => command.name() === name);
      if (!file.startsWith(prefix) || !/^[a-z][a-z-]*$/.test(name) || isTaken) continue;
      program
        .command(name)
        .description(`${file}, of an installed package`)
        .helpOption(false)
        .allowUnknownOption()
        .argument("[arguments...]")
        .action((given: string[]) => runPlugin(path.join(folder, file), given));
    }
}

function runPlugin(file: string, given: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, given, { stdio: "inherit" });
    // A terminal's Ctrl-C reaches both; the plugin says when it is done.
    process.on("SIGINT", () => undefined);
    process.on("SIGTERM", () => child.kill("SIGTERM"));
    child.on("error", reject);
    child.on("exit", (code) => {
      process.exitCode = code ?? 1;
      resolve();
    });
  });
}
