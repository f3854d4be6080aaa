// A model's own process: everything that computes happens here, so that the service always answers.
import { BadImageError } from "./preprocess.ts";
import { Detector, type Found } from "./detector.ts";

export interface WorkerJob {
  readonly onnx: Uint8Array;
  readonly labels: readonly string[];
  readonly side: number;
  readonly threads: number;
}

export interface DetectRequest {
  readonly id: number;
  readonly image: Uint8Array;
  readonly minScore: number;
  readonly maxIou: number;
  readonly maxDetections: number;
}

export type WorkerMessage =
  | { readonly kind: "ready" }
  | { readonly kind: "unfit"; readonly message: string }
  | { readonly kind: "found"; readonly id: number; readonly found: Found }
  | { readonly kind: "bad-image" | "failed"; readonly id: number; readonly message: string };

const send = (message: WorkerMessage) => void process.send!(message);
let detector: Detector | undefined;
let queue: Promise<void> = Promise.resolve();

async function answer({ id, image, ...options }: DetectRequest): Promise<void> {
  try {
    send({ kind: "found", id, found: await detector!.detect(Buffer.from(image), options) });
  } catch (error) {
    send({ kind: error instanceof BadImageError ? "bad-image" : "failed", id, message: (error as Error).message });
  }
}

process.on("message", (message: WorkerJob | DetectRequest) => {
  if ("id" in message) queue = queue.then(() => answer(message));
  else
    Detector.load(message.onnx, message).then(
      (loaded) => {
        detector = loaded;
        send({ kind: "ready" });
      },
      (error: unknown) => send({ kind: "unfit", message: (error as Error).message }),
    );
});
process.on("disconnect", () => process.exit());
