import type { Edge, Expr } from "../ir/ir.ts";
import { type Group, tryGroupId } from "./group-handle.ts";
import { type Ref, tryExprOfRef } from "./ref.ts";

const labelled = Symbol("airloom.label");

/** An edge's words, and where it comes from. */
export interface Labelled {
  readonly [labelled]: string;
  readonly from: Ref<unknown> | Group<unknown>;
}

/** What can come before a task: another's result, a group, or either with a label. */
export type Edgeable = Ref<unknown> | Group<unknown> | Labelled;

/** Words on the edge from a task: `{ after: label("if it is new", check) }`. */
export const label = (text: string, from: Ref<unknown> | Group<unknown>): Labelled => ({ [labelled]: text, from });

/** The edge that an `after` means; throws a TypeError for anything else. */
export function edgeOf(value: Edgeable): Edge {
  if (typeof value === "object" && value !== null && labelled in value) return { ...edgeOf(value.from), label: value[labelled] };
  const expr: Expr | undefined = tryExprOfRef(value);
  const id = expr?.kind === "result" ? expr.taskId : tryGroupId(value);
  if (id === undefined) throw new TypeError("`after` takes results of tasks, groups, and label(…) of either");
  return { id, label: undefined };
}
