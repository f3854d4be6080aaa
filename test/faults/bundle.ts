import { symlink } from "node:fs/promises";
import path from "node:path";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** The programs of the steps, each a file that starts in a tenth of the time that its sources take. */
export const programs = ["ingest", "pull", "commit", "export", "publish", "together"] as const;
export type ProgramName = (typeof programs)[number];

/** Bundles every step's program into a folder as `<name>.mjs`. */
export async function bundlePrograms(folder: string): Promise<void> {
  await symlink(path.join(root, "node_modules"), path.join(folder, "node_modules"));
  await build({
    entryPoints: [
      ...programs.map((name) => path.join(root, "test/faults/steps", `${name}.ts`)),
      path.join(root, "dataset-platform/src/store/picture-worker.ts"),
    ],
    outdir: folder,
    entryNames: "[name]",
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    // All in one file, which loads in a third of the time: only sharp is none of JavaScript's.
    external: ["sharp", "pg-native"],
    banner: { js: 'import { createRequire as requireOfBundle } from "node:module"; const require = requireOfBundle(import.meta.url);' },
    alias: {
      "@airloom/dataset-platform": path.join(root, "dataset-platform/src"),
      "@airloom/inference": path.join(root, "inference/src"),
      airloom: path.join(root, "sdk/src/index.ts"),
    },
    plugins: [
      {
        name: "workers beside the bundle",
        setup: ({ onLoad }) =>
          onLoad({ filter: /picture-workers\.ts$/ }, async ({ path: file }) => ({
            contents: (await readFile(file, "utf8")).replace('"./picture-worker.ts"', '"./picture-worker.mjs"'),
            loader: "ts",
          })),
      },
    ],
    logLevel: "error",
  });
}
