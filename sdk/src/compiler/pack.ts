import { createHash } from "node:crypto";
import { bundleWhole, type OutputFile } from "./bundle.ts";

/** The version of the supervisor's messages that the runtime speaks. */
const schemaVersion = "2026-06-16";

/**
 * A DAG's tasks as one file for the NodeCoordinator of Airflow 3.4 itself (`<dag>.min.mjs`): two comments that say what is in it
 * and what it must hash to, then the code. The DAG stays the Python file; this holds only the handlers of its tasks.
 */
export async function packForCoordinator(
  root: string,
  dagId: string,
  taskIds: readonly string[],
  entry: string,
  external: readonly string[],
): Promise<OutputFile> {
  const code = Buffer.from(await bundleWhole(root, entry, external));
  const metadata = Buffer.from(
    JSON.stringify({
      airflow_bundle_metadata_version: "1.0",
      sdk: { language: "typescript", version: "airloom", supervisor_schema_version: schemaVersion },
      task_handlers: { [dagId]: taskIds },
    }),
  );
  const [layoutMark, metadataMark] = ["//# airflowBundle=", "//# airflowMetadata="];
  const hex = (n: number) => n.toString(16).padStart(16, "0");
  const section = (start: number, bytes: Buffer) => ({
    start: hex(start),
    end: hex(start + bytes.length),
    sha256: createHash("sha256").update(bytes).digest("hex"),
  });
  // All numbers have sixteen digits: the line is as long for any offset, so one pass finds its length and a second fills it in.
  const layoutFor = (lineLength: number) => {
    const metadataStart = lineLength + metadataMark.length;
    const codeStart = metadataStart + metadata.length + 1;
    return `${layoutMark}${JSON.stringify({ metadata: section(metadataStart, metadata), sources: [], code: section(codeStart, code) })}\n`;
  };
  const layout = layoutFor(layoutFor(0).length);
  return { name: `${dagId}.min.mjs`, text: `${layout}${metadataMark}${metadata.toString()}\n${code.toString()}` };
}
