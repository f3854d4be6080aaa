import type { Expr, PathPart } from "../ir/ir.ts";
import type { Json } from "./json.ts";

declare const promised: unique symbol;

/** A value that exists only when the DAG runs: a task's result, or a part of it, or of the conf. */
export type Ref<T> = { readonly [promised]: T } & (T extends readonly (infer E)[]
  ? { at(index: number): Ref<E> }
  : T extends object
    ? { readonly [K in keyof T]-?: Ref<T[K]> }
    : unknown);

/** What a task's input takes: the value itself, a reference to one, or a mixture. */
export type Input<T> =
  | T
  | Ref<T>
  | (T extends readonly (infer E)[] ? readonly Input<E>[] : T extends object ? { readonly [K in keyof T]: Input<T[K]> } : never);

type RefExpr = Extract<Expr, { kind: "conf" | "result" | "template" }>;

const exprOf = new WeakMap<object, RefExpr>();

/** A reference whose properties are references to the value's properties. */
export function makeRef<T>(expr: RefExpr): Ref<T> {
  const target = Object.create(null) as object;
  const ref = new Proxy(target, {
    get(_, key) {
      // Awaiting or printing a reference must not make it look like a promise or a string of its own.
      if (typeof key === "symbol" || key === "then" || key === "toJSON") return undefined;
      if (key === "at") return (index: number) => makeRef(extend(expr, index));
      return makeRef(extend(expr, key));
    },
    set(_, key) {
      throw new TypeError(`a reference is read-only: ${String(key)} cannot be set while the DAG is built`);
    },
  });
  exprOf.set(ref, expr);
  return ref as Ref<T>;
}

function extend(expr: RefExpr, part: PathPart): RefExpr {
  if (expr.kind === "template") throw new TypeError(`a template is a string and has no property ${part}`);
  return { ...expr, path: [...expr.path, part] };
}

/** The expression behind a reference, or undefined for anything else. */
export function tryExprOfRef(value: unknown): RefExpr | undefined {
  return typeof value === "object" && value !== null ? exprOf.get(value) : undefined;
}

/** The expression for a task's input; throws a TypeError that names the place of what is not JSON. */
export function toExpr(value: unknown, path = "input"): Expr {
  const ref = tryExprOfRef(value);
  if (ref) return ref;
  if (value === null || typeof value === "string" || typeof value === "boolean") return { kind: "literal", value };
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new TypeError(`${path} is ${value}, which is not JSON`);
    return { kind: "literal", value };
  }
  if (Array.isArray(value)) {
    const items = value.map((item, i) => toExpr(item, `${path}[${i}]`));
    return items.every((item) => item.kind === "literal") ? { kind: "literal", value: items.map((item) => item.value) } : { kind: "list", items };
  }
  if (typeof value === "object" && [Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null)) {
    const fields = Object.entries(value)
      .filter(([, part]) => part !== undefined)
      .map(([key, part]) => [key, toExpr(part, `${path}.${key}`)] as const);
    if (fields.every(([, part]) => part.kind === "literal"))
      return { kind: "literal", value: Object.fromEntries(fields.map(([key, part]) => [key, (part as { value: Json }).value])) };
    return { kind: "object", fields: Object.fromEntries(fields) };
  }
  const what = typeof value === "object" ? `a ${value.constructor.name}` : typeof value;
  throw new TypeError(`${path} is ${what}, which is not JSON: pass text, numbers, booleans, null, arrays or plain objects`);
}

/** The ids of the tasks whose results an expression needs. */
export function tasksIn(expr: Expr): string[] {
  switch (expr.kind) {
    case "literal":
    case "conf":
      return [];
    case "result":
      return [expr.taskId];
    case "template":
      return expr.parts.flatMap(tasksIn);
    case "list":
      return expr.items.flatMap(tasksIn);
    case "object":
      return Object.values(expr.fields).flatMap(tasksIn);
  }
}
