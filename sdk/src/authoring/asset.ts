import type { AssetAliasNode, AssetNode, AssetRef } from "../ir/ir.ts";
import type { AssetCondition } from "../ir/schedule.ts";
import type { Json } from "./json.ts";
import { pythonObjectOf, type Trigger } from "./python-object.ts";

/** Something that DAGs make and read: a table, a folder, a model. */
export interface Asset {
  readonly kind: "asset";
  readonly node: AssetNode;
}
/** A name under which a task says at run time which assets it made. */
export interface AssetAlias {
  readonly kind: "alias";
  readonly node: AssetAliasNode;
}
/** An asset or an alias. */
export type AnyAsset = Asset | AssetAlias;

/** What more is known of an asset. */
export interface AssetOptions {
  /** @default the name */
  readonly uri?: string;
  readonly group?: string;
  readonly extra?: Readonly<Record<string, Json>>;
  /** Triggers that make an event of the asset when something happens outside Airflow (3.0 and newer). */
  readonly watchers?: Readonly<Record<string, Trigger>>;
}

/** An asset by its name. */
export function asset(name: string, options: AssetOptions = {}): Asset {
  const watchers = Object.entries(options.watchers ?? {}).map(([watcher, trigger]) => ({ name: watcher, trigger: pythonObjectOf(trigger) }));
  return { kind: "asset", node: { kind: "asset", name, uri: options.uri, group: options.group, extra: options.extra, watchers } };
}

/** An alias of assets that are known only when a task runs: `context.emit(alias, { to: asset("x") })`. */
export const assetAlias = (name: string): AssetAlias => ({ kind: "alias", node: { kind: "alias", name } });

/** What a schedule on assets takes. */
export type AssetExpression = AnyAsset | { readonly kind: "all" | "any"; readonly of: readonly AssetExpression[] };

/** New events of all of them. */
export const allOf = (...of: readonly AssetExpression[]): AssetExpression => ({ kind: "all", of });
/** A new event of one of them. */
export const anyOf = (...of: readonly AssetExpression[]): AssetExpression => ({ kind: "any", of });

export const assetNodes = (assets: readonly AnyAsset[] | undefined): AssetRef[] => (assets ?? []).map(({ node }) => node);

/** The plain form of a condition. */
export function conditionOf(expression: AssetExpression): AssetCondition {
  return "node" in expression ? expression.node : { kind: expression.kind, of: expression.of.map(conditionOf) };
}
