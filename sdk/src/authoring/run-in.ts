import type { RunIn } from "../ir/ir.ts";
import type { Json } from "./json.ts";

/** Where a task runs instead of on Airflow's worker. */
export type RunInOption = RunIn;

interface Options {
  /** Where the image has the compiled DAGs. @default "/airloom" */
  readonly folder?: string;
  /** Further arguments of the provider's operator, by their Python names. */
  readonly args?: Readonly<Record<string, Json>>;
}

/** Runs a task in a container, by Airflow's Docker provider: { runIn: container("company/pipelines:1.4") }. */
export const container = (image: string, { folder, args = {} }: Options = {}): RunInOption => ({ kind: "container", image, folder, args });

/** Runs a task in a Kubernetes pod, by Airflow's Kubernetes provider. */
export const pod = (image: string, { folder, args = {} }: Options = {}): RunInOption => ({ kind: "pod", image, folder, args });
