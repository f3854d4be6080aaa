import { type GroupOptions, placeGroup } from "./graph-builder.ts";
import type { Group } from "./group-handle.ts";
import { callSite } from "./call-site.ts";
import { type Collected, type Input, makeRef, type Ref, toExpr } from "./ref.ts";

/** Draws what its function places as one box: group("load", {}, () => ({ rows: load({}) })). */
export function group<R>(id: string, options: GroupOptions, body: () => R): Group<R> {
  return placeGroup(id, options, undefined, () => body(), callSite(group));
}

/** A group that runs once for each element of a list, side by side; outside it, its results are lists. */
export function mapGroup<E, R>(id: string, over: Input<readonly E[]>, body: (item: Ref<E>) => R, options: GroupOptions = {}): Group<Collected<R>> {
  const place = (groupId: string) => body(makeRef<E>({ kind: "item", groupId, path: [] })) as unknown as Collected<R>;
  return placeGroup(id, options, toExpr(over, "over"), place, callSite(mapGroup));
}
