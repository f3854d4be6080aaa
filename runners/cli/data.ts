import { Command } from "commander";
import { addChanges } from "./data-change.ts";
import { addForget } from "./data-forget.ts";
import { addList } from "./data-list.ts";
import { addRebuild } from "./data-rebuild.ts";
import { useRegistry } from "./data-registry.ts";
import { addShow } from "./data-show.ts";
import { addStatus } from "./data-status.ts";
import { addVerify } from "./data-verify.ts";

const program = new Command("airloom data")
  .description("What is known of the pictures, and what a person may change of it. Each sub-command exits with 0 where all went well, else with 1.")
  .option("--json", "one JSON document on standard output");
for (const add of [addStatus, addList, addShow, addChanges, addVerify, addRebuild, addForget]) add(program, useRegistry);
await program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
