import type { Transaction } from "kysely";
import type { Db } from "./database.ts";
import { type Actor, recordEvents } from "./events.ts";
import { holdLock } from "./locks.ts";
import type { ClassRow, Tables } from "./tables.ts";

/** A name that cannot be a class. */
export class BadClassName extends Error {
  override readonly name = "BadClassName";
}

const mostCharacters = 100;

/**
 * The one form of a class name: composed (NFC), without spaces at its ends, with single plain spaces inside. "café" typed on
 * two machines, and "fire truck" with a non-breaking space, are one class each.
 */
export function className(text: string): string {
  const name = text
    .normalize("NFC")
    .replaceAll(/[\s\u200b\ufeff]+/gu, " ")
    .trim();
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (name === "" || /[\u0000-\u001f\u007f]/.test(name))
    throw new BadClassName(`${JSON.stringify(text)} cannot be a class name: it must hold one line of visible text`);
  if (Array.from(name).length > mostCharacters)
    throw new BadClassName(`${JSON.stringify(text)} cannot be a class name: ${mostCharacters} characters are the most`);
  return name;
}

/** All classes in the order of their numbers. */
export async function allClasses(db: Db): Promise<ClassRow[]> {
  return db.selectFrom("classes").selectAll().orderBy("id").execute();
}

/**
 * The numbers of the named classes, in the order of `names`; names that are new get the next ones, in that order. Two at once
 * wait for each other, so that a number has one name for ever.
 */
export async function ensureClasses(trx: Transaction<Tables>, names: readonly string[], actor: Actor): Promise<number[]> {
  const wanted = names.map(className);
  const read = async () => new Map((await trx.selectFrom("classes").selectAll().where("name", "in", wanted).execute()).map(({ id, name }) => [name, id]));
  let known = wanted.length === 0 ? new Map<string, number>() : await read();
  if (wanted.some((name) => !known.has(name))) {
    await holdLock(trx, "classes");
    known = await read();
    const missing = [...new Set(wanted)].filter((name) => !known.has(name));
    const { next } = await trx
      .selectFrom("classes")
      .select(({ fn, eb }) => eb(fn.coalesce(fn.max("id"), eb.lit(-1)), "+", 1).as("next"))
      .executeTakeFirstOrThrow();
    const rows = missing.map((name, i) => ({ id: next + i, name }));
    if (rows.length > 0) await trx.insertInto("classes").values(rows).execute();
    await recordEvents(
      trx,
      actor,
      rows.map(({ id, name }) => ({ kind: "class.added", subject: name, detail: { id } })),
    );
    for (const { id, name } of rows) known.set(name, id);
  }
  return wanted.map((name) => known.get(name)!);
}

/** Pairs of classes whose names differ in case alone: probably one class by two names. */
export function differInCaseAlone(classes: readonly Pick<ClassRow, "name">[]): [string, string][] {
  const seen = new Map<string, string>();
  const pairs: [string, string][] = [];
  for (const { name } of classes) {
    const folded = name.toLowerCase();
    const first = seen.get(folded);
    if (first === undefined) seen.set(folded, name);
    else pairs.push([first, name]);
  }
  return pairs;
}
