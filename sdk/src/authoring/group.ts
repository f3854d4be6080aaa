import type { Edgeable } from "./edges.ts";
import { placeGroup } from "./graph-builder.ts";
import { callSite } from "./call-site.ts";
import type { TaskDefaults } from "./options.ts";
import { type Collected, type Input, makeRef, type Ref, toExpr } from "./ref.ts";

/** Tasks that Airflow draws as one. */
export interface Group<R> {
  /** What the group's function returned: the results that others may use. */
  readonly result: R;
}

export interface GroupOptions {
  readonly tooltip?: string;
  readonly displayName?: string;
  /** Whether the ids of its tasks begin with its own. @default true */
  readonly prefix?: boolean;
  /** What its tasks do where they say nothing else. */
  readonly defaults?: TaskDefaults;
  /** What must come before all of its tasks. */
  readonly after?: Edgeable | readonly Edgeable[];
}

/** Draws what its function places as one box: group("load", {}, () => ({ rows: load({}) })). */
export function group<R>(id: string, options: GroupOptions, body: () => R): Group<R> {
  return placeGroup(id, options, undefined, () => body(), callSite(group));
}

/** A group that runs once for each element of a list, side by side; outside it, its results are lists. */
export function mapGroup<E, R>(id: string, over: Input<readonly E[]>, body: (item: Ref<E>) => R, options: GroupOptions = {}): Group<Collected<R>> {
  const place = (groupId: string) => body(makeRef<E>({ kind: "item", groupId, path: [] })) as unknown as Collected<R>;
  return placeGroup(id, options, toExpr(over, "over"), place, callSite(mapGroup));
}
