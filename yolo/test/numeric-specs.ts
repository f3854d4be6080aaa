/** Files of tests whose numbers depend on how the processor computes: they run once more as on a processor with AVX2 at most. */
export const numericSpecs: readonly string[] = [
  "yolo/test/network.test.ts",
  "yolo/test/loss.test.ts",
  "yolo/test/traced.test.ts",
  "yolo/test/torch.test.ts",
  "yolo/test/host-loss.test.ts",
];

/** Those of them that take few seconds: they run once more as on a processor with SSE4.1 at most. */
export const quickNumericSpecs: readonly string[] = ["yolo/test/network.test.ts", "yolo/test/loss.test.ts", "yolo/test/host-loss.test.ts"];
