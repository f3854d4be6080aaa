/** What can travel between tasks. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** `T` where all of it is JSON; `never` in the places that are not. */
export type Jsonable<T> = T extends string | number | boolean | null | undefined | void
  ? T
  : T extends (...args: never[]) => unknown
    ? never
    : T extends Date | Map<unknown, unknown> | Set<unknown> | bigint | symbol
      ? never
      : T extends readonly (infer E)[]
        ? readonly Jsonable<E>[]
        : T extends object
          ? { [K in keyof T]: Jsonable<T[K]> }
          : never;

/** Accepts a result type that is JSON, and names the one that is not in the compiler's message. */
export type MustBeJson<T> = T extends Jsonable<T> ? unknown : { "this result is not JSON": T };
