/** Which instructions the numbers of a test come from: they say it, and know where oneDNN and TensorFlow disagree about them. */
import { readFileSync } from "node:fs";

function tryRead(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

const cpuinfo = tryRead("/proc/cpuinfo");
const flags = new Set(/^flags\s*:(.*)$/m.exec(cpuinfo)?.[1]?.trim().split(" "));
const told = ["sse4_1", "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"].filter((flag) => flags.has(flag));
const limit = process.env["ONEDNN_MAX_CPU_ISA"];

/** Whether TensorFlow runs its own kernels alone, without oneDNN's. */
export const withoutOneDnn = process.env["TF_ENABLE_ONEDNN_OPTS"] === "0";

/**
 * Whether oneDNN is held back from AVX-512 on a processor that has it. TensorFlow asks the processor itself whether oneDNN has
 * bfloat16, hands it such layers, and oneDNN refuses them ("could not create a primitive descriptor"). A processor that is
 * without AVX-512 has no such trouble: TensorFlow takes its own kernels there.
 */
export const oneDnnRefusesBfloat16 = !withoutOneDnn && flags.has("avx512f") && /^(SSE41|AVX|AVX2|AVX2_VNNI|AVX2_VNNI_2)$/i.test(limit ?? "");

// Once in a process, whichever test comes first. ONNX Runtime and sharp choose by the processor alone.
const oneDnn = withoutOneDnn ? "without oneDNN" : limit ? `oneDNN limited to ${limit}` : "oneDNN as it likes";
const model = /^model name\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? process.arch;
process.stderr.write(`    processor: ${model}, of ${told.join(" ") || "unknown instructions"}; ${oneDnn}\n`);
