import { type Schema, Validator } from "@cfworker/json-schema";

/**
 * What is wrong with a value by its JSON Schema, or undefined. The validator interprets the schema: compiling one, as faster
 * validators do, takes longer than a task's whole start, and each process checks one value.
 */
export function schemaProblem(value: unknown, schema: Readonly<Record<string, unknown>>, what: string): string | undefined {
  if (Object.keys((schema["properties"] as object | undefined) ?? schema).length === 0) return undefined;
  const { valid, errors } = new Validator(schema as Schema, "2020-12", false).validate(value);
  if (valid) return undefined;
  // An error of a part is also reported by each thing that holds it.
  const own = errors.filter(({ keyword }) => !["properties", "items", "prefixItems", "additionalProperties", "anyOf"].includes(keyword));
  const place = (location: string) => location.replace(/^#\/?/, "").replaceAll("/", ".") || what;
  const at = (location: string) => (place(location) === "" ? "" : `${place(location)}: `);
  return (own.length > 0 ? own : errors).map(({ instanceLocation, error }) => `${at(instanceLocation)}${error.replace(/\.$/, "")}`).join("; ");
}
