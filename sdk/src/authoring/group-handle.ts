/** Tasks that Airflow draws as one. */
export interface Group<R> {
  /** What the group's function returned: the results that others may use. */
  readonly result: R;
}

const ids = new WeakMap<object, string>();

/** Makes an object stand for a group in `after`, `chain` and `cross`. */
export function markGroup<T extends object>(handle: T, id: string): T {
  ids.set(handle, id);
  return handle;
}

/** The id of the group that a value stands for. */
export const tryGroupId = (value: unknown): string | undefined => (typeof value === "object" && value !== null ? ids.get(value) : undefined);
