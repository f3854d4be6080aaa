import { Command } from "commander";
import { tracePictures, trace, type Traced, type TracedModel, type TracedVersion } from "@airloom/dataset-platform/trace/trace.ts";
import { count, print } from "./data-print.ts";
import { useRegistry } from "./data-registry.ts";

const job = ({ cvatUrl, cvatTaskId, cvatJobId }: { cvatUrl?: string | null; cvatTaskId: number | null; cvatJobId: number | null }) =>
  cvatTaskId === null
    ? "no CVAT task"
    : `${cvatUrl ? `${cvatUrl}/tasks/${cvatTaskId}` : `CVAT task ${cvatTaskId}`}${cvatJobId === null ? "" : `, job ${cvatJobId}`}`;

const linesOfVersion = ({ version, sources, annotators, models }: TracedVersion): string[] => [
  `dataset ${version.commit}: ${count(version.images, "picture")}, ${version.created_at.toISOString()}, ${version.message}`,
  ...(version.run_id ? [`  committed by run ${version.run_id} of ${version.dag_id}`] : []),
  ...sources.map(({ source, licence, pictures }) => `  ${count(pictures, "picture")} of source ${source}${licence ? `, licence ${licence}` : ""}`),
  ...annotators.map(({ pictures, annotator, ...where }) => `  ${count(pictures, "picture")} annotated by ${annotator ?? "somebody unknown"}: ${job(where)}`),
  ...models.map(({ name, version: number }) => `  model ${name}@${number} was trained on it`),
];

const linesOfModel = ({ model, dataset }: TracedModel): string[] => [
  `model ${model.name}@${model.version}, registered ${model.registered_at.toISOString()}${model.published_at ? `, published ${model.published_at.toISOString()}` : ", never published"}`,
  `  MLflow run ${model.mlflow_run}; Airflow run ${model.run_id} of ${model.dag_id}`,
  ...(dataset ? linesOfVersion(dataset) : [`  dataset ${model.dataset_commit}, which this registry does not know`]),
];

function linesOf(traced: Traced): string[] {
  if (traced.kind === "model") return traced.models.flatMap(linesOfModel);
  if (traced.kind === "version") return linesOfVersion(traced);
  const { image, revisions, versions, models } = traced;
  return [
    `picture ${image.sha256}: ${image.originalName} of source ${image.source}${image.licence ? `, licence ${image.licence}` : ""}, taken in ${image.ingestedAt.toISOString()}`,
    `  it is ${image.state}${image.stateWhy ? `: ${image.stateWhy}` : ""}`,
    ...revisions.map(
      ({ revision, boxes, annotator, madeAt, ...where }) =>
        `  revision ${revision}, ${madeAt.toISOString()}: ${count(boxes, "box")} by ${annotator ?? "somebody unknown"}: ${job(where)}`,
    ),
    ...versions.map(({ commit }) => `  in dataset ${commit}`),
    ...models.map(({ name, version, mlflow_run }) => `  model ${name}@${version} learned from it: MLflow run ${mlflow_run}`),
  ];
}

/** The pictures behind what was traced, one a line, for --pictures. */
async function pictureLines(traced: Traced): Promise<string[]> {
  const versions = traced.kind === "version" ? [traced.version] : traced.kind === "model" ? traced.models.flatMap(({ dataset }) => dataset?.version ?? []) : [];
  return useRegistry(async ({ registry }) => {
    const pictures = await Promise.all(versions.map(({ id }) => tracePictures(registry.db, id)));
    return pictures
      .flat()
      .map(
        ({ sha256, source, originalName, annotator, ...where }) => `  ${sha256}  ${source}: ${originalName}  ${annotator ?? "somebody unknown"}, ${job(where)}`,
      );
  });
}

const program = new Command("airloom trace")
  .description("Where a prediction, model, picture or dataset version came from, and where it went.")
  .argument("<what>", "a prediction's id, a model's SHA-256 or name@version, a picture's SHA-256, or a commit; eight digits are enough")
  .option("--pictures", "names each picture of the dataset")
  .option("--json", "one JSON document on standard output")
  .action(async (what: string, { pictures }: { pictures?: true }) => {
    const traced = await useRegistry(({ registry }) => trace(registry.db, what));
    print(program, traced, [...linesOf(traced), ...(pictures ? await pictureLines(traced) : [])]);
  });
await program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
