import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { type Target, targets } from "./target.ts";

const settings = z.strictObject({
  /** Packages with native parts cannot be bundled. */
  external: z.array(z.string()).default([]),
  /** The oldest Airflow that the DAGs must run on. */
  target: z.enum(targets).optional(),
  /** The pools that exist; a task in another one is then a mistake. */
  pools: z.array(z.string()).optional(),
  /** Whether tasks that need nothing it lacks run through Airflow's coordinator. */
  coordinator: z.boolean().default(false),
});

/** What `"airloom": { … }` in a project's package.json says. */
export type ProjectSettings = Readonly<{
  external: readonly string[];
  target?: Target | undefined;
  pools?: readonly string[] | undefined;
  coordinator: boolean;
}>;

/** Reads package.json's settings; throws an Error that names what is wrong in them. */
export async function readProject(root: string): Promise<ProjectSettings> {
  const file = path.join(root, "package.json");
  const { airloom } = existsSync(file) ? (JSON.parse(await readFile(file, "utf8")) as { airloom?: unknown }) : {};
  const parsed = settings.safeParse(airloom ?? {});
  if (!parsed.success) throw new Error(`"airloom" in ${file}: ${parsed.error.issues.map((issue) => `${issue.path.join(".")} ${issue.message}`).join("; ")}`);
  return parsed.data;
}
