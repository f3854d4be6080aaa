/** Tests whose numbers depend on the processor's instructions: to be run again with oneDNN held back (ONEDNN_MAX_CPU_ISA=AVX2). */
export const numericSpecs: readonly string[] = [
  "yolo/test/bfloat16.test.ts",
  "yolo/test/traced.test.ts",
  "yolo/test/torch.test.ts",
  "yolo/test/network.test.ts",
  "yolo/test/int8.test.ts",
  "yolo/test/loss.test.ts",
  "yolo/test/host-loss.test.ts",
  "yolo/test/validate.test.ts",
];

/** Those of them that are quick: under ONEDNN_MAX_CPU_ISA=SSE41 too. */
export const quickNumericSpecs: readonly string[] = [
  "yolo/test/network.test.ts",
  "yolo/test/int8.test.ts",
  "yolo/test/loss.test.ts",
  "yolo/test/host-loss.test.ts",
  "yolo/test/validate.test.ts",
];
