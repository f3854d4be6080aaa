/** The service's OpenAPI 3.1 document. The tests hold the answers against it. */
export function openApiDocument(version: string) {
  const error = {
    description: "What is wrong, and how to mend it.",
    content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
  };
  const share = (about: string, initial: number) => ({ schema: { type: "number", minimum: 0, maximum: 1, default: initial }, description: about });
  return {
    openapi: "3.1.0",
    info: {
      title: "Airloom inference",
      version,
      description: "Finds objects in pictures with the newest published model.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    paths: {
      "/predict": {
        post: {
          summary: "Find the objects in a picture",
          operationId: "predict",
          parameters: [
            { name: "conf", in: "query", required: false, ...share("Detections below this confidence are left out.", 0.25) },
            { name: "iou", in: "query", required: false, ...share("Of two boxes of one class that overlap more than this, the less sure is left out.", 0.7) },
            {
              name: "max_det",
              in: "query",
              required: false,
              schema: { type: "integer", minimum: 1, maximum: 1000, default: 300 },
              description: "The most detections.",
            },
          ],
          requestBody: {
            required: true,
            content: {
              "multipart/form-data": {
                schema: {
                  type: "object",
                  required: ["file"],
                  properties: {
                    file: { type: "string", contentMediaType: "application/octet-stream", format: "binary", description: "A JPEG, PNG or WebP picture." },
                  },
                },
              },
            },
          },
          responses: {
            200: {
              description: "The objects, surest first; boxes in pixels of the picture as a person sees it.",
              content: { "application/json": { schema: { $ref: "#/components/schemas/Prediction" } } },
            },
            400: error,
            413: error,
            415: error,
            422: error,
            429: error,
            503: error,
          },
        },
      },
      "/healthz": {
        get: {
          summary: "Whether the process runs",
          operationId: "healthz",
          responses: { 200: { description: "It runs.", content: { "application/json": { schema: { $ref: "#/components/schemas/Health" } } } } },
        },
      },
      "/readyz": {
        get: {
          summary: "Whether a model serves",
          operationId: "readyz",
          responses: {
            200: { description: "A model serves.", content: { "application/json": { schema: { $ref: "#/components/schemas/Readiness" } } } },
            503: { description: "No model serves yet.", content: { "application/json": { schema: { $ref: "#/components/schemas/Readiness" } } } },
          },
        },
      },
    },
    components: {
      schemas: {
        Prediction: {
          type: "object",
          required: ["images", "metadata"],
          properties: {
            images: {
              type: "array",
              items: {
                type: "object",
                required: ["shape", "results", "speed"],
                properties: {
                  shape: { type: "array", items: { type: "integer" }, minItems: 2, maxItems: 2, description: "Height and width, pixels." },
                  results: { type: "array", items: { $ref: "#/components/schemas/Detection" } },
                  speed: {
                    type: "object",
                    description: "Milliseconds.",
                    required: ["preprocess", "inference", "postprocess"],
                    properties: { preprocess: { type: "number" }, inference: { type: "number" }, postprocess: { type: "number" } },
                  },
                },
              },
            },
            metadata: {
              type: "object",
              required: ["model"],
              properties: {
                model: {
                  type: "object",
                  required: ["name", "version", "sha256", "runId", "datasetCommit"],
                  properties: {
                    name: { type: "string" },
                    version: { type: "string" },
                    sha256: { type: "string" },
                    runId: { type: "string" },
                    datasetCommit: { type: "string" },
                  },
                },
              },
            },
          },
        },
        Detection: {
          type: "object",
          required: ["class", "name", "confidence", "box"],
          properties: {
            class: { type: "integer", minimum: 0 },
            name: { type: "string" },
            confidence: { type: "number", minimum: 0, maximum: 1 },
            box: {
              type: "object",
              required: ["x1", "y1", "x2", "y2"],
              properties: { x1: { type: "number" }, y1: { type: "number" }, x2: { type: "number" }, y2: { type: "number" } },
            },
          },
        },
        Error: {
          type: "object",
          required: ["error"],
          properties: { error: { type: "object", required: ["code", "message"], properties: { code: { type: "string" }, message: { type: "string" } } } },
        },
        Health: { type: "object", required: ["status"], properties: { status: { const: "ok" } } },
        Readiness: {
          type: "object",
          required: ["ready"],
          properties: {
            ready: { type: "boolean" },
            model: {
              type: "object",
              required: ["name", "version", "sha256"],
              properties: { name: { type: "string" }, version: { type: "string" }, sha256: { type: "string" } },
            },
            problem: { type: "string" },
          },
        },
      },
    },
  } as const;
}
