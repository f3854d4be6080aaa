import type { RequestHandler } from "express";
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { HostEvents, ModelHost } from "../model/model-host.ts";

/** What Prometheus is told. */
export interface ServiceMetrics {
  readonly registry: Registry;
  readonly refused: Counter<"code">;
  readonly stages: Histogram<"stage">;
  readonly feedback: Counter;
  /** What the host reports goes here. */
  readonly hostEvents: HostEvents;
  /** Counts and times requests. */
  readonly middleware: RequestHandler;
  /** Lets gauges look at the host; there is none yet when the metrics are made. */
  watch(host: ModelHost): void;
}

const seconds = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30];

/** Metrics of a service of its own registry: several in one process, as in tests, do not meet. */
export function serviceMetrics({ runtime }: { runtime: boolean }): ServiceMetrics {
  const registry = new Registry();
  const registers = [registry];
  if (runtime) collectDefaultMetrics({ register: registry });
  const requests = new Histogram({
    name: "airloom_inference_request_seconds",
    help: "Time of requests, by route and status; its count is their number.",
    labelNames: ["route", "method", "status"],
    buckets: seconds,
    registers,
  });
  const stages = new Histogram({
    name: "airloom_inference_stage_seconds",
    help: "Time of a picture in the workers, by stage: preprocess, inference, postprocess.",
    labelNames: ["stage"],
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1],
    registers,
  });
  const refused = new Counter({
    name: "airloom_inference_refused_total",
    help: "Requests that were refused or failed, by code.",
    labelNames: ["code"],
    registers,
  });
  const feedback = new Counter({ name: "airloom_inference_feedback_total", help: "Pictures that were sent back for labeling.", registers });
  const batches = new Histogram({ name: "airloom_inference_batch_size", help: "Pictures of a run.", buckets: [1, 2, 4, 8, 16, 32], registers });
  const deaths = new Counter({ name: "airloom_inference_worker_deaths_total", help: "Workers that ended by themselves.", registers });
  const changes = new Counter({
    name: "airloom_inference_model_changes_total",
    help: "Models that were looked at, by outcome.",
    labelNames: ["outcome"],
    registers,
  });
  const model = new Gauge({
    name: "airloom_inference_model_info",
    help: "1 for the model that serves.",
    labelNames: ["name", "version", "sha256"],
    registers,
  });
  let host: ModelHost | undefined;
  const gauge = (name: string, help: string, value: () => number) =>
    registry.registerMetric(
      new Gauge({
        name,
        help,
        registers: [],
        collect() {
          this.set(value());
        },
      }),
    );
  gauge("airloom_inference_waiting", "Pictures that wait for a worker.", () => host?.current?.waiting ?? 0);
  gauge("airloom_inference_ready", "1 where the newest model serves; 0 also where it was refused and an older one serves.", () =>
    host?.status.model && !host.status.problem ? 1 : 0,
  );
  return {
    registry,
    refused,
    stages,
    feedback,
    hostEvents: {
      onBatch: (size) => batches.observe(size),
      onWorkerDeath: () => deaths.inc(),
      onServe: ({ name, version, sha256 }) => {
        changes.inc({ outcome: "served" });
        model.reset();
        model.set({ name, version, sha256 }, 1);
      },
      onRefuse: () => changes.inc({ outcome: "refused" }),
    },
    middleware: (req, res, next) => {
      const started = performance.now();
      res.once("close", () => {
        // The pattern, never the path: a client could make up any number of paths.
        const route = (req.route as { path?: string | readonly string[] } | undefined)?.path;
        requests.observe({ route: String(route ?? "other"), method: req.method, status: String(res.statusCode) }, (performance.now() - started) / 1000);
      });
      next();
    },
    watch(watched) {
      host = watched;
    },
  };
}
