// The program of a process that takes, decodes and stores pictures for `ingest`, one job at a time.
import { finishFile, takeFile } from "./picture-file.ts";
import type { Job, JobResults, ToParent, ToWorker } from "./picture-workers.ts";

/** More pixels than this, 64 MB as RGBA, are decoded by one process at a time. */
const largePixels = 16_000_000;

let mayDecode: (() => void) | undefined;

async function permission(pixels: number): Promise<void> {
  if (pixels <= largePixels) return;
  const granted = new Promise<void>((resolve) => (mayDecode = resolve));
  tell({ kind: "large" });
  await granted;
}

let storing: ReturnType<typeof loadStoring> | undefined;
/** Loaded with the first new picture: known ones need no decoder, and are done before it has started. */
async function loadStoring() {
  const [{ default: sharp }, module] = await Promise.all([import("sharp"), import("./store-picture.ts")]);
  // Strangers' bytes meet these three decoders alone: no SVG reaches librsvg, whatever it is named.
  sharp.block({ operation: ["VipsForeignLoad"] });
  sharp.unblock({ operation: ["VipsForeignLoadJpeg", "VipsForeignLoadPng", "VipsForeignLoadWebp"] });
  // As many processes as there are cores: each decodes on one, and keeps nothing of a picture that is done.
  sharp.concurrency(1);
  sharp.cache(false);
  return module;
}

async function work(job: Job): Promise<JobResults[Job["kind"]]> {
  switch (job.kind) {
    case "take":
      return job.files.map(takeFile);
    case "store":
      return (await (storing ??= loadStoring())).storePicture(job.file, permission);
    case "finish": {
      const results = [];
      for (const file of job.files) results.push(await finishFile(file));
      return results;
    }
  }
}

const tell = (message: ToParent) => process.send!(message);

process.on("message", (message: ToWorker) => {
  if (message.kind === "go") return mayDecode?.();
  void work(message.job).then(
    (result) => tell({ kind: "done", result }),
    (error: unknown) => tell({ kind: "threw", message: String(error) }),
  );
});
// Ends with its parent alone: Ctrl-C in a terminal reaches both, and a job that is cut off tells nothing.
process.on("disconnect", () => process.exit(0));
process.on("SIGTERM", () => undefined);
process.on("SIGINT", () => undefined);
