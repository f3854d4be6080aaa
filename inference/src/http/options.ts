import { z } from "zod";
import { ApiError } from "./api-error.ts";

/** A picture is scaled to at most this side: the network's cost grows with its square. */
const maxSide = 1280;

/**
 * What a client may choose, as it stands in the OpenAPI document. The same table reads the query and the form, so that the two
 * cannot differ.
 */
export const parameters = {
  conf: { schema: { type: "number", minimum: 0, maximum: 1, default: 0.25 }, description: "Detections below this confidence are left out." },
  iou: {
    schema: { type: "number", minimum: 0, maximum: 1, default: 0.7 },
    description: "Of two boxes of one class that overlap more than this, the less sure is left out.",
  },
  max_det: { schema: { type: "integer", minimum: 1, maximum: 1000, default: 300 }, description: "The most detections in a picture." },
  imgsz: {
    schema: { type: "integer", minimum: 32, maximum: maxSide },
    description: "The longer side that a picture is scaled to before it is looked at, pixels; the model's own where it is left out.",
  },
  classes: {
    schema: { type: "string", minLength: 1, maxLength: 2000 },
    description: "Only these classes: names or numbers, separated by commas.",
  },
  model: {
    schema: { type: "string", minLength: 1, maxLength: 500 },
    description: "A published model, as `name@version` or `name`; the newest where it is left out.",
  },
  format: { schema: { type: "string", enum: ["default", "roboflow"], default: "default" }, description: "The shape of the answer." },
} as const;

type ParameterName = keyof typeof parameters;

/** Decimal text; `Number` alone would take "", "0x1" and " 1 " as well. */
const decimal = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d{1,3})?$/i;

function number(name: "conf" | "iou" | "max_det" | "imgsz") {
  const { minimum, maximum, type } = parameters[name].schema;
  const range = `${type === "integer" ? "a whole number" : "a number"} from ${minimum} to ${maximum}`;
  return z
    .string()
    .refine((text) => decimal.test(text), { error: `has to be ${range}`, abort: true })
    .transform(Number)
    .refine((value) => value >= minimum && value <= maximum && (type === "number" || Number.isInteger(value)), { error: `has to be ${range}` });
}

const text = (name: "classes" | "model") => {
  const { minLength, maxLength } = parameters[name].schema;
  return z.string().min(minLength).max(maxLength);
};

const optionsSchema = z.strictObject({
  conf: number("conf").default(parameters.conf.schema.default),
  iou: number("iou").default(parameters.iou.schema.default),
  max_det: number("max_det").default(parameters.max_det.schema.default),
  imgsz: number("imgsz").optional(),
  classes: text("classes")
    .transform((list) => list.split(",").map((name) => name.trim()))
    .optional(),
  model: text("model").optional(),
  format: z.enum(parameters.format.schema.enum).default(parameters.format.schema.default),
} satisfies Record<ParameterName, z.ZodType>);

/** What a client chose. */
export type PredictOptions = z.infer<typeof optionsSchema>;

/** Reads the query and the form's fields, of which the form's count; throws an ApiError that names each that is wrong. */
export function readOptions(query: Readonly<Record<string, unknown>>, fields: Readonly<Record<string, unknown>> = {}): PredictOptions {
  const given = { ...joined(query), ...joined(fields) };
  const result = optionsSchema.safeParse(given);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => {
    if (issue.code === "unrecognized_keys")
      return `there is no ${issue.keys.map((key) => key.slice(0, 100)).join(", ")}: known are ${Object.keys(parameters).join(", ")}`;
    return `${issue.path.join(".")} ${issue.code === "custom" ? issue.message : `is not right: ${issue.message}`}`;
  });
  throw new ApiError(422, "bad_query", problems.join("; "));
}

/** `classes` may be given several times; of others the last counts. */
function joined(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const entries = Object.entries(values).map(([name, value]) => [name, Array.isArray(value) ? (name === "classes" ? value.join(",") : value.at(-1)) : value]);
  return Object.fromEntries(entries) as Record<string, unknown>;
}

/** The indices of classes that are given by name or number. */
export function classIndices(classes: readonly string[] | undefined, labels: readonly string[]): number[] | undefined {
  return classes?.map((given) => {
    const named = labels.indexOf(given);
    if (named >= 0) return named;
    const index = /^\d{1,6}$/.test(given) ? Number(given) : -1;
    if (index >= 0 && index < labels.length) return index;
    const some = labels.slice(0, 20).join(", ");
    throw new ApiError(
      422,
      "bad_query",
      `classes: the model knows no ${JSON.stringify(given.slice(0, 100))}; it knows ${some}${labels.length > 20 ? ` and ${labels.length - 20} more` : ""}`,
    );
  });
}
