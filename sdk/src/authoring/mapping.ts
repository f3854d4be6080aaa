import type { Expr, MappingAxis } from "../ir/ir.ts";
import { type Input, type Ref, toExpr } from "./ref.ts";

const elements = Symbol("airloom.elements");

/** A list of objects, each of which gives a mapped task several inputs. */
export interface Elements<T> {
  readonly [elements]: Expr;
  /** Only a type. */
  readonly of?: T;
}

/** Lists side by side, as long as the shortest: `task.expand(zip({ file: files, size: sizes }))`. */
export function zip<T extends object>(lists: { readonly [K in keyof T]: Input<readonly T[K][]> }): Elements<T> {
  const fields = Object.fromEntries(Object.entries(lists).map(([key, list]) => [key, toExpr(list, key)]));
  return { [elements]: { kind: "zip", fields } };
}

/** A list of objects: `task.expand(each(batch.items))` runs once for each, with its properties as inputs. */
export const each = <T extends object>(list: Input<readonly T[]>): Elements<T> => ({ [elements]: toExpr(list, "each") });

/** What a task may be mapped over. */
export type Over<I, K extends keyof I> = { readonly [P in K]: Input<readonly I[P][]> } | Elements<Pick<I, K>>;

/** The lists of an `expand`, by the input they fill; one without a name fills all that its objects hold. */
export function axesOf(over: object): { input: string | undefined; list: Expr }[] {
  if (elements in over) return [{ input: undefined, list: (over as Elements<unknown>)[elements] }];
  return Object.entries(over).map(([input, list]) => ({ input, list: toExpr(list, input) }));
}

/** Airflow knows the length of a literal list and of a task's whole result; of nothing else. */
export function isMappable(expr: Expr): expr is MappingAxis["over"] {
  if (expr.kind === "literal") return true;
  return expr.kind === "result" && expr.key === undefined && expr.path.length === 0;
}

export type MappedRef<O> = Ref<readonly O[]>;
