import type { Expr, PathPart } from "../ir/ir.ts";
import type { Json } from "./json.ts";

declare const promised: unique symbol;

/** A value that exists only when the DAG runs: a task's result, or a part of it, or of the conf. */
export type Ref<T> = { readonly [promised]: T } & Parts<NonNullable<T>, Extract<T, null | undefined>>;

/** The parts of a value are references too; those of one that may be missing may be missing. */
type Parts<T, Missing> = [T] extends [readonly (infer E)[]]
  ? { at(index: number): Ref<E | Missing> }
  : [T] extends [object]
    ? { readonly [K in keyof T]-?: Ref<T[K] | Missing> }
    : unknown;

/** What a reference stands for. */
export type ValueOf<R> = R extends { readonly [promised]: infer T } ? T : never;

/** What a task's input takes: the value itself, a reference to one, or a mixture. */
export type Input<T> =
  | T
  | Ref<T>
  | (T extends readonly (infer E)[] ? readonly Input<E>[] : T extends object ? { readonly [K in keyof T]: Input<T[K]> } : never);

/** The inputs of a task; one that is optional also takes a result that may be missing. */
export type Inputs<I> = {
  readonly [K in keyof I]: Input<I[K]> | (Partial<Pick<I, K>> extends Pick<I, K> ? Ref<I[K] | undefined> : never);
};

/** The same results where they may be missing: those of an arm that was not taken. */
export type Optional<R> = R extends { readonly [promised]: infer T }
  ? Ref<T | undefined>
  : R extends readonly unknown[]
    ? { readonly [K in keyof R]: Optional<R[K]> }
    : R extends object
      ? { readonly [K in keyof R]: Optional<R[K]> }
      : undefined;

/** The same results, one for each instance of a mapped group. */
export type Collected<R> = R extends { readonly [promised]: infer T }
  ? Ref<readonly T[]>
  : R extends object
    ? { readonly [K in keyof R]: Collected<R[K]> }
    : undefined;

type RefExpr = Extract<Expr, { kind: "conf" | "result" | "template" | "run" | "item" | "jinja" }>;
type ConstantExpr = Extract<Expr, { kind: "duration" | "moment" }>;

const exprOf = new WeakMap<object, RefExpr | ConstantExpr>();

/** An object that stands for a Python value that JSON has no word for. */
export function constant(expr: ConstantExpr): { readonly kind: "pythonTime" } {
  const value = { kind: "pythonTime" } as const;
  exprOf.set(value, expr);
  return value;
}

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
    has: () => false,
    set(_, key) {
      throw new TypeError(`a reference is read-only: ${String(key)} cannot be set while the DAG is built`);
    },
  });
  exprOf.set(ref, expr);
  return ref as Ref<T>;
}

function extend(expr: RefExpr, part: PathPart): RefExpr {
  if (expr.kind === "template" || expr.kind === "jinja") throw new TypeError(`a template is a string and has no property ${part}`);
  return { ...expr, path: [...expr.path, part] };
}

/** The expression behind a reference, or undefined for anything else. */
export function tryExprOfRef(value: unknown): RefExpr | ConstantExpr | undefined {
  return typeof value === "object" && value !== null ? exprOf.get(value) : undefined;
}

/** What a task pushed under a key of its own with `context.setXCom`: xcom<number>(train, "epochs"). */
export function xcom<T extends Json>(of: Ref<unknown>, key: string): Ref<T> {
  const expr = tryExprOfRef(of);
  if (expr?.kind !== "result" || expr.path.length > 0) throw new TypeError("xcom(…) takes a task's whole result and a key");
  return makeRef<T>({ ...expr, key });
}

/** The expression for a task's input; throws a TypeError that names the place of what is not JSON. */
export function toExpr(value: unknown, path = "input"): Expr {
  const ref = tryExprOfRef(value);
  if (ref) return ref;
  if (typeof value === "string" && /\p{Surrogate}/u.test(value)) throw new TypeError(`${path} is not Unicode: it holds half of a surrogate pair`);
  if (value === null || typeof value === "string" || typeof value === "boolean") return { kind: "literal", value };
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new TypeError(`${path} is ${value}, which is not JSON`);
    return { kind: "literal", value };
  }
  if (Array.isArray(value)) {
    const items = Array.from(value, (item, i) => toExpr(item, `${path}[${i}]`));
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
