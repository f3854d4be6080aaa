/** The licence of weights that began from scratch: Airloom's own. */
export const ownLicence = "Apache-2.0";

/** Weights that training began from, and the licence that their file states. */
export interface StartingWeights {
  readonly file: string;
  readonly licence?: string;
}

/** The licence of a model that began from other weights: theirs, which training does not change. */
export function licenceOf(start: StartingWeights | undefined): string {
  if (!start) return ownLicence;
  return start.licence ?? `not stated by ${start.file}, which it began from`;
}
