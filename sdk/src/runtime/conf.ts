import type { Json } from "../authoring/json.ts";
import { schemaProblem } from "./validate.ts";

/** The conf that a run gets: what was given over the defaults of its schema. Throws an Error that names what does not fit. */
export function confFor(schema: Readonly<Record<string, unknown>>, given: Readonly<Record<string, Json>>): Record<string, Json> {
  const properties = (schema["properties"] ?? {}) as Record<string, { default?: Json }>;
  const conf: Record<string, Json> = { ...given };
  const required = new Set(schema["required"] as string[]);
  for (const [name, property] of Object.entries(properties)) {
    if (conf[name] === undefined && property.default !== undefined) conf[name] = property.default;
    if (conf[name] === undefined && !required.has(name)) conf[name] = null;
  }
  const checked = Object.fromEntries(Object.entries(conf).filter(([name, value]) => value !== null || required.has(name)));
  const problem = schemaProblem(checked, schema, "conf");
  if (problem) throw new Error(`the conf is wrong: ${problem}`);
  return conf;
}
