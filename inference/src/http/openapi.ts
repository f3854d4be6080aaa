import { parameters } from "./options.ts";
import { schemas } from "./openapi-schemas.ts";
import { uploadLimits } from "./upload.ts";

const ref = (name: keyof typeof schemas) => ({ $ref: `#/components/schemas/${name}` });
const json = (schema: object, description: string) => ({ description, content: { "application/json": { schema } } });

const errors: Readonly<Record<number, string>> = {
  400: "The form or the call is not right.",
  401: "The API key is missing or wrong.",
  404: "There is no such model.",
  406: "Answers are JSON or JPEG.",
  413: "Too many files, or a file is too large.",
  415: "A file is no picture that can be used.",
  422: "A parameter is not right.",
  429: "Too many pictures wait; come back after Retry-After seconds.",
  431: "The address and the headers are larger than 16 KiB.",
  500: "Something went wrong in the service; its log says what.",
  503: "There is no model yet, or no worker came to it in time.",
};

const failing = (...statuses: number[]) => Object.fromEntries(statuses.map((status) => [status, json(ref("Error"), errors[status]!)]));
const failingTensors = (...statuses: number[]) => Object.fromEntries(statuses.map((status) => [status, json(ref("TensorError"), errors[status]!)]));

const query = Object.entries(parameters).map(([name, { schema, description }]) => ({ name, in: "query", required: false, schema, description }));
const keyed = { security: [{}, { apiKey: [] }, { bearer: [] }] };

const pathParameter = (name: string, description: string) => ({ name, in: "path", required: true, schema: { type: "string", minLength: 1 }, description });
const named = [pathParameter("model", "The model's name.")];
const versioned = [...named, pathParameter("version", "The model's version.")];

const get = (operationId: string, summary: string, responses: object, more: object = {}) => ({ get: { operationId, summary, responses, ...more } });

/** The routes of one model of the Open Inference Protocol, with a version and without. */
function tensorPaths(prefix: string, where: readonly object[], suffix: string) {
  return {
    [prefix]: get(
      `modelMetadata${suffix}`,
      "A model's inputs and outputs",
      { 200: json(ref("ModelMetadata"), "The model."), ...failingTensors(401, 404, 503) },
      { parameters: where, ...keyed },
    ),
    [`${prefix}/ready`]: get(
      `modelReady${suffix}`,
      "Whether a model serves",
      { 200: json(ref("ModelReady"), "It serves."), ...failingTensors(401, 404, 503) },
      { parameters: where, ...keyed },
    ),
    [`${prefix}/infer`]: {
      post: {
        operationId: `infer${suffix}`,
        summary: "Raw tensors in, raw tensors out",
        parameters: [
          ...where,
          {
            name: "Inference-Header-Content-Length",
            in: "header",
            required: false,
            schema: { type: "integer", minimum: 0, maximum: 999_999_999 },
            description: "Bytes of the JSON before binary tensors.",
          },
        ],
        requestBody: { required: true, content: { "application/json": { schema: ref("TensorRequest") }, "application/octet-stream": {} } },
        responses: {
          200: {
            description: "The output; binary where it was asked for.",
            content: { "application/json": { schema: ref("TensorAnswer") }, "application/octet-stream": {} },
          },
          ...failingTensors(400, 401, 404, 413, 429, 500, 503),
        },
        ...keyed,
      },
    },
  };
}

/** The service's OpenAPI 3.1 document. The tests hold the routes and the answers against it. */
export function openApiDocument(version: string) {
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
          operationId: "predict",
          summary: "Find the objects in pictures",
          description: `Up to ${uploadLimits.files} pictures of up to ${uploadLimits.fileBytes / 1024 / 1024} MiB. The parameters may also be fields of the form.`,
          parameters: query,
          requestBody: {
            required: true,
            content: {
              "multipart/form-data": {
                schema: {
                  type: "object",
                  required: ["file"],
                  properties: {
                    file: {
                      type: "array",
                      minItems: 1,
                      maxItems: uploadLimits.files,
                      items: { type: "string", contentMediaType: "application/octet-stream", format: "binary" },
                      description: "JPEG, PNG or WebP.",
                    },
                  },
                },
              },
            },
          },
          responses: {
            200: {
              description:
                "The objects, surest first; boxes in pixels of the picture as a person sees it. With `Accept: image/jpeg` the picture with its boxes.",
              content: {
                "application/json": { schema: { anyOf: [ref("Prediction"), ref("RoboflowPrediction"), { type: "array", items: ref("RoboflowPrediction") }] } },
                "image/jpeg": {},
              },
            },
            ...failing(400, 401, 404, 406, 413, 415, 422, 429, 431, 500, 503),
          },
          ...keyed,
        },
      },
      "/labels": get("labels", "What the model can find", { 200: json(ref("Labels"), "Names, by number."), ...failing(401) }, keyed),
      "/healthz": get("healthz", "Whether the process runs", { 200: json(ref("Health"), "It runs.") }),
      "/readyz": get("readyz", "Whether a model serves", {
        200: json(ref("Readiness"), "A model serves."),
        503: json(ref("Readiness"), "No model serves, or the service is stopping."),
      }),
      "/metrics": get("metrics", "Metrics for Prometheus", { 200: { description: "Text.", content: { "text/plain": {} } }, ...failing(401) }, keyed),
      "/v2": get("serverMetadata", "The service, for clients of the Open Inference Protocol", { 200: json(ref("ServerMetadata"), "The service.") }),
      "/v2/health/live": get("live", "Whether the process runs", { 200: json(ref("Live"), "It runs.") }),
      "/v2/health/ready": get("ready", "Whether a model serves", { 200: json(ref("Ready"), "A model serves."), 503: json(ref("Ready"), "No model serves.") }),
      ...tensorPaths("/v2/models/{model}", named, ""),
      ...tensorPaths("/v2/models/{model}/versions/{version}", versioned, "OfVersion"),
    },
    components: {
      schemas,
      securitySchemes: { apiKey: { type: "apiKey", in: "header", name: "X-API-Key" }, bearer: { type: "http", scheme: "bearer" } },
    },
  };
}
