import { availableParallelism } from "node:os";
import { z } from "zod";
import type { PoolOptions } from "./engine/model-pool.ts";
import type { FeedbackOptions } from "./feedback/feedback.ts";

/** What the service is told by its environment. */
export interface ServiceSettings {
  readonly modelFolder: string;
  readonly host: string;
  readonly port: number;
  readonly apiKey: string | undefined;
  readonly logLevel: string;
  readonly pool: PoolOptions;
  readonly maxExtraModels: number;
  /** Undefined where no picture is sent back. */
  readonly feedback: FeedbackOptions | undefined;
  /** How long a client may take to send its request: one that sends drop by drop must not hold a connection for ever. */
  readonly requestTimeoutMs: number;
  /** How long requests may go on when the service is told to stop. */
  readonly drainMs: number;
  /** How long /readyz says no before new connections are refused, for balancers that need to notice. */
  readonly drainGraceMs: number;
}

const whole = (least: number, most: number, initial: number) => z.coerce.number().int().min(least).max(most).default(initial);
const share = (initial: number) => z.coerce.number().min(0).max(1).default(initial);

/** An empty variable is one that is not set. */
const schema = z.object({
  MODEL_DIR: z.string().default("model"),
  LISTEN_HOST: z.string().default("127.0.0.1"),
  INFERENCE_PORT: whole(0, 65_535, 8000),
  INFERENCE_API_KEY: z.string().min(16, "has to have at least 16 characters").optional(),
  INFERENCE_LOG_LEVEL: z.enum(["debug", "info", "warn", "error", "silent"]).default("info"),
  INFERENCE_WORKERS: whole(1, 256, availableParallelism()),
  INFERENCE_THREADS: whole(0, 256, 0),
  INFERENCE_QUEUE: whole(1, 10_000, 64),
  INFERENCE_MAX_BATCH: whole(1, 64, 8),
  INFERENCE_BATCHING: z.enum(["auto", "always"]).default("auto"),
  INFERENCE_BATCH_DELAY_MS: whole(0, 1000, 5),
  INFERENCE_DEADLINE_MS: whole(100, 600_000, 30_000),
  INFERENCE_EXTRA_MODELS: whole(0, 16, 2),
  INFERENCE_REQUEST_TIMEOUT_MS: whole(100, 600_000, 60_000),
  INFERENCE_DRAIN_MS: whole(0, 600_000, 25_000),
  INFERENCE_DRAIN_GRACE_MS: whole(0, 60_000, 0),
  FEEDBACK_SHARE: share(0),
  FEEDBACK_BELOW: share(0.5),
  FEEDBACK_PER_DAY: whole(0, 100_000, 100),
  INCOMING_DIR: z.string().default("dataset-platform/incoming"),
});

/** Reads the settings; throws an error that names each variable that is wrong. */
export function readServiceSettings(env: Readonly<Record<string, string | undefined>>): ServiceSettings {
  const result = schema.safeParse(Object.fromEntries(Object.entries(env).filter(([, value]) => value !== "")));
  if (!result.success)
    throw new Error(`the environment is not right: ${result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ")}`);
  const given = result.data;
  return {
    modelFolder: given.MODEL_DIR,
    host: given.LISTEN_HOST,
    port: given.INFERENCE_PORT,
    apiKey: given.INFERENCE_API_KEY,
    logLevel: given.INFERENCE_LOG_LEVEL,
    pool: {
      workers: given.INFERENCE_WORKERS,
      // One thread each uses the cores better than several: measured in bench/serve.ts.
      threads: given.INFERENCE_THREADS || Math.max(1, Math.floor(availableParallelism() / given.INFERENCE_WORKERS)),
      maxWaiting: given.INFERENCE_QUEUE,
      maxBatch: given.INFERENCE_MAX_BATCH,
      batching: given.INFERENCE_BATCHING,
      batchDelayMs: given.INFERENCE_BATCH_DELAY_MS,
      deadlineMs: given.INFERENCE_DEADLINE_MS,
    },
    maxExtraModels: given.INFERENCE_EXTRA_MODELS,
    feedback:
      given.FEEDBACK_SHARE > 0
        ? { folder: given.INCOMING_DIR, share: given.FEEDBACK_SHARE, below: given.FEEDBACK_BELOW, perDay: given.FEEDBACK_PER_DAY }
        : undefined,
    requestTimeoutMs: given.INFERENCE_REQUEST_TIMEOUT_MS,
    drainMs: given.INFERENCE_DRAIN_MS,
    drainGraceMs: given.INFERENCE_DRAIN_GRACE_MS,
  };
}
