import { Command } from "commander";
import { listVersions, specOf, tryReadManifest } from "@airloom/inference/model/manifest.ts";
import { MlflowClient } from "../platform/mlflow.ts";
import { findRollback, serveVersion } from "../publish/model-folder.ts";

interface Options {
  readonly folder: string;
  readonly mlflow: string;
}

/** The roll-back itself is done when MLflow is told: a person waits. */
const aliasAttempts = 2;

async function list({ folder }: Options): Promise<void> {
  const current = await tryReadManifest(folder);
  const versions = await listVersions(folder);
  if (versions.length === 0) console.log(`no versions are kept in ${folder}`);
  for (const manifest of versions) {
    const metrics = Object.entries(manifest.metrics).map(([name, value]) => `${name} ${value.toFixed(3)}`);
    const mark = current && specOf(current) === specOf(manifest) && current.sha256 === manifest.sha256 ? "*" : " ";
    console.log(`${mark} ${specOf(manifest).padEnd(32)} ${manifest.createdAt}  ${metrics.join("  ")}`);
  }
}

async function rollback(spec: string | undefined, { folder, mlflow }: Options): Promise<void> {
  const manifest = await findRollback(folder, spec);
  await serveVersion(folder, manifest);
  console.log(`${specOf(manifest)} is in ${folder}: the inference service takes it within seconds`);
  try {
    await new MlflowClient(mlflow, aliasAttempts).setAlias(manifest.name, manifest.version, "champion");
    console.log(`in MLflow it is the champion again`);
  } catch (error) {
    console.error(`MLflow was not told, so its alias "champion" still names another version: ${(error as Error).message}`);
  }
}

const program = new Command("airloom models")
  .description("The models that were published, and going back to one of them.")
  .option("--folder <folder>", "where the inference service looks", process.env["MODEL_DIR"] || "model")
  .option("--mlflow <url>", "MLflow, whose alias `champion` goes along", process.env["MLFLOW_TRACKING_URI"] || "http://localhost:5000");
program
  .command("list", { isDefault: true })
  .description("the versions that are kept, newest first; * serves")
  .action(() => list(program.opts()));
program
  .command("rollback")
  .argument("[version]", "the version to serve, as name@version or version; the one before the present one where it is left out")
  .description("serves an older version again")
  .action((spec: string | undefined) => rollback(spec, program.opts()));
await program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
