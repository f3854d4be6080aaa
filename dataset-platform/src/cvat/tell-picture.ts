import { type Box, labelOf } from "../registry/annotations.ts";

/** An annotation as it stands in the registry. */
interface Earlier {
  readonly asked: readonly number[];
  readonly boxes: readonly Box[];
}

export interface EarlierTwo {
  /** The picture's newest annotation. */
  readonly newest?: Earlier;
  /** What this batch said of it last, where the newest is another batch's. */
  readonly ours?: Earlier;
}

interface Picture extends EarlierTwo {
  /** What people drew in the task. */
  readonly drawn: readonly Box[];
  /** The classes that the whole task was asked for. */
  readonly asked: readonly number[];
}

interface Told extends Earlier {
  /** How many of the boxes are of classes that the task did not ask for. */
  readonly kept: number;
}

/**
 * What is true of a picture after a task: what was drawn, and earlier boxes of classes that nobody was asked for there, and
 * so could neither see nor take away. A batch that says again what it has said before does not undo what a later one said.
 */
export function tellPicture({ drawn, asked, newest, ours }: Picture): Told {
  const spokenOf = new Set([...asked, ...drawn.map(({ classId }) => classId)]);
  const saidBefore = ours?.boxes.filter(({ classId }) => spokenOf.has(classId));
  if (newest && saidBefore && labelOf(drawn).md5 === labelOf(saidBefore).md5) return { ...newest, kept: 0 };
  const kept = newest?.boxes.filter(({ classId }) => !spokenOf.has(classId)) ?? [];
  const askedEarlier = newest?.asked.filter((id) => !spokenOf.has(id)) ?? [];
  return { boxes: [...drawn, ...kept], asked: [...spokenOf, ...askedEarlier], kept: kept.length };
}
