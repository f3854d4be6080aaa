const string = { type: "string" } as const;
const number = { type: "number" } as const;
const boolean = { type: "boolean" } as const;
const count = { type: "integer", minimum: 0 } as const;
const confidence = { type: "number", minimum: 0, maximum: 1 } as const;

/** An object with exactly these properties, all of them required but those in `optional`. */
function object(properties: Readonly<Record<string, object>>, optional: readonly string[] = []) {
  return { type: "object", additionalProperties: false, required: Object.keys(properties).filter((name) => !optional.includes(name)), properties };
}

const list = (items: object) => ({ type: "array", items });
const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const tensor = object({ name: string, datatype: string, shape: list({ type: "integer" }) });

/** The schemas of the answers. */
export const schemas = {
  Prediction: object({
    images: list(
      object({
        shape: { ...list(count), minItems: 2, maxItems: 2, description: "Height and width, pixels." },
        results: list(ref("Detection")),
        speed: { ...object({ preprocess: number, inference: number, postprocess: number }), description: "Milliseconds." },
      }),
    ),
    metadata: object({
      id: { ...string, description: "What `airloom trace` takes." },
      model: object({ name: string, version: string, sha256: string, runId: string, datasetCommit: string }),
    }),
  }),
  Detection: object({ class: count, name: string, confidence, box: object({ x1: number, y1: number, x2: number, y2: number }) }),
  RoboflowPrediction: object({
    time: { ...number, description: "Seconds." },
    image: object({ width: count, height: count }),
    predictions: list(
      object({ x: { ...number, description: "The box's centre." }, y: number, width: number, height: number, confidence, class: string, class_id: count }),
    ),
  }),
  Error: object({ error: object({ code: string, message: string }) }),
  Health: object({ status: { const: "ok" } }),
  Labels: object({ labels: list(string) }),
  Readiness: object({ ready: boolean, model: object({ name: string, version: string, sha256: string }), problem: string }, ["model", "problem"]),
  ServerMetadata: object({ name: string, version: string, extensions: list(string) }),
  Live: object({ live: boolean }),
  Ready: object({ ready: boolean }),
  ModelReady: object({ name: string, ready: boolean }),
  ModelMetadata: object({ name: string, versions: list(string), platform: string, inputs: list(tensor), outputs: list(tensor) }),
  TensorRequest: {
    type: "object",
    required: ["inputs"],
    properties: {
      id: { type: "string", maxLength: 200 },
      parameters: { type: "object" },
      inputs: {
        type: "array",
        minItems: 1,
        maxItems: 1,
        items: {
          type: "object",
          required: ["name", "shape", "datatype"],
          properties: {
            name: { const: "images" },
            shape: { type: "array", items: { type: "integer", minimum: 1, maximum: 8192 }, minItems: 4, maxItems: 4 },
            datatype: { const: "FP32" },
            parameters: { type: "object" },
            data: { type: "array" },
          },
        },
      },
      outputs: {
        type: "array",
        maxItems: 1,
        items: { type: "object", required: ["name"], properties: { name: { const: "output0" }, parameters: { type: "object" } } },
      },
    },
  },
  TensorAnswer: object(
    {
      model_name: string,
      model_version: string,
      id: string,
      outputs: list(object({ name: string, datatype: string, shape: list(count), data: list(number), parameters: { type: "object" } }, ["data", "parameters"])),
    },
    ["id"],
  ),
  TensorError: object({ error: string }),
} as const;
