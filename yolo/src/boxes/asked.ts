/**
 * The classes that a picture's annotator was asked to mark; undefined for all. Of the others nobody knows whether they are
 * there: that none is marked says nothing (a federated data set, as LVIS is: Gupta et al., arXiv 1908.03195).
 */
export type Asked = readonly number[] | undefined;

/** The asked ones of so many classes, in order and each once; undefined where they are all of them. */
export function limitedTo(asked: Asked, classes: number): Asked {
  if (!asked) return undefined;
  const set = new Set(asked);
  const own = Array.from({ length: classes }, (_, cls) => cls).filter((cls) => set.has(cls));
  return own.length === classes ? undefined : own;
}

/** What was asked on every one of some pictures: all that is known of a picture that is made of them. */
export function askedOnAll(pictures: readonly Asked[]): Asked {
  return pictures.reduce<Asked>((common, own) => {
    if (!common || !own) return common ?? own;
    const set = new Set(own);
    return common.filter((cls) => set.has(cls));
  }, undefined);
}
