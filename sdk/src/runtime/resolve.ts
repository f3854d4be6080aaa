import type { Json } from "../authoring/json.ts";
import type { Expr, MappingAxis, PathPart } from "../ir/ir.ts";

/** Where the values of a running task's expressions come from. */
export interface Values {
  readonly conf: Readonly<Record<string, Json>>;
  readonly run: Readonly<Record<string, Json>>;
  result(taskId: string, key: string | undefined): Json;
  item(groupId: string): Json;
  jinja(source: string): string;
}

/** The value of an expression while a task runs; throws an Error that names the part that is not there. */
export function resolve(expr: Expr, values: Values): Json {
  switch (expr.kind) {
    case "literal":
      return expr.value;
    case "conf":
      return walk(values.conf, expr.path, "the run's conf");
    case "run":
      return walk(values.run, expr.path, "the run");
    case "item":
      return walk(values.item(expr.groupId), expr.path, `the element of ${expr.groupId}`);
    case "result": {
      const value = values.result(expr.taskId, expr.key);
      return value === null ? null : walk(value, expr.path, `the result of ${expr.taskId}`);
    }
    case "jinja":
      return values.jinja(expr.source);
    case "template":
      return expr.parts.map((part) => asText(resolve(part, values))).join("");
    case "list":
      return expr.items.map((item) => resolve(item, values));
    case "object":
      return Object.fromEntries(Object.entries(expr.fields).map(([key, part]) => [key, resolve(part, values)]));
    case "zip":
      return zip(Object.entries(expr.fields).map(([key, part]) => [key, resolve(part, values)]));
    case "duration":
      return expr.seconds;
    case "moment":
      return expr.iso;
  }
}

function zip(lists: (readonly [string, Json])[]): Json {
  for (const [name, list] of lists) if (!Array.isArray(list)) throw new Error(`${name} is not a list: a task is mapped over lists`);
  const length = Math.min(...lists.map(([, list]) => (list as readonly Json[]).length));
  return Array.from({ length }, (_, i) => Object.fromEntries(lists.map(([key, list]) => [key, (list as readonly Json[])[i]!])));
}

const asText = (value: Json) => (typeof value === "string" ? value : JSON.stringify(value));

function walk(start: Json, path: readonly PathPart[], what: string): Json {
  let value: Json = start;
  for (const [i, part] of path.entries()) {
    if (value === null && i > 0) return null;
    const next: Json | undefined = typeof value === "object" && value !== null ? (value as Readonly<Record<PathPart, Json>>)[part] : undefined;
    if (next === undefined) throw new Error(`${what} has no ${path.slice(0, i + 1).join(".")}`);
    value = next;
  }
  return value;
}

/** The Jinja that the simulator knows: names, and attributes of params, conf and variables. */
export function renderJinja(source: string, names: Readonly<Record<string, unknown>>): string {
  return source.replace(/\{\{\s*([^}]+?)\s*\}\}/g, (_, expression: string) => {
    const path = expression.replaceAll(/\[['"]([^'"]+)['"]\]/g, ".$1").split(".");
    let value: unknown = names;
    for (const part of path) value = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[part] : undefined;
    if (value === undefined) throw new Error(`the simulator cannot render {{ ${expression} }}: it knows ${Object.keys(names).join(", ")} and their attributes`);
    return typeof value === "string" ? value : JSON.stringify(value);
  });
}

/** What a mapped instance is given of each axis: the last list turns fastest, as in Airflow. */
export function elementsAt(
  axes: readonly MappingAxis[],
  mapIndex: number,
  listOf: (over: MappingAxis["over"]) => Json,
): { input: string | undefined; value: Json }[] {
  let index = mapIndex;
  const chosen = axes.toReversed().map(({ input, over }) => {
    const list = listOf(over) as readonly Json[];
    const value = list[index % list.length]!;
    index = Math.floor(index / list.length);
    return { input, value };
  });
  return chosen.toReversed();
}
