import type { Actor } from "../registry/events.ts";
import { recordEvents } from "../registry/events.ts";
import { excludeImages } from "../registry/images.ts";
import { modelsOf } from "../registry/models.ts";
import type { Registry } from "../registry/registry.ts";
import type { ModelRow, VersionRow } from "../registry/tables.ts";
import { NothingToTrace, versionsHolding } from "./trace.ts";

/** What held the pictures that are forgotten, and still does. */
export interface Forgotten {
  readonly images: readonly string[];
  readonly versions: readonly VersionRow[];
  readonly models: readonly ModelRow[];
}

const atOnce = 1000;

/**
 * Takes a picture, or all of a source, out of every future batch and version, and names the versions and models that hold it
 * already. Those stay as they are: a version is for ever, and a model cannot unlearn.
 */
export async function forget(
  registry: Registry,
  what: { readonly source: string } | { readonly sha256: string },
  why: string,
  actor: Actor,
): Promise<Forgotten> {
  const images = await registry.db
    .selectFrom("images")
    .select("sha256")
    .where((eb) => ("source" in what ? eb("source_id", "=", what.source) : eb("sha256", "=", what.sha256)))
    .orderBy("sha256")
    .execute();
  const sha256s = images.map(({ sha256 }) => sha256);
  if (sha256s.length === 0)
    throw new NothingToTrace("source" in what ? `the registry has no picture of source "${what.source}"` : `the registry has no picture ${what.sha256}`);
  const versions = await versionsHolding(registry.db, sha256s);
  for (let at = 0; at < sha256s.length; at += atOnce)
    await registry.transaction((trx) => excludeImages(trx, sha256s.slice(at, at + atOnce), `forgotten: ${why}`, actor));
  const subject = "source" in what ? what.source : what.sha256;
  await registry.transaction((trx) => recordEvents(trx, actor, [{ kind: "source.forgotten", subject, detail: { why, images: sha256s.length } }]));
  return {
    images: sha256s,
    versions,
    models: await modelsOf(
      registry.db,
      versions.map(({ commit }) => commit),
    ),
  };
}
