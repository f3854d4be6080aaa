/** What can travel between tasks. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

type Scalar = string | number | boolean | null | undefined | void;
/** How deep a type is looked into; deeper parts are checked when they are made. */
type Depth = readonly [1, 1, 1, 1, 1, 1, 1, 1];
type Shallower<D extends readonly unknown[]> = D extends readonly [unknown, ...infer R] ? R : [];

/** The places in `T` that are not JSON, as paths such as "result.when"; never where there are none. */
export type NotJson<T, P extends string, D extends readonly unknown[] = Depth> = D extends readonly []
  ? never
  : unknown extends T
    ? never
    : T extends Scalar
      ? never
      : T extends ((...args: never[]) => unknown) | Date | ReadonlyMap<unknown, unknown> | ReadonlySet<unknown> | bigint | symbol
        ? P
        : T extends readonly (infer E)[]
          ? unknown extends E
            ? never
            : undefined extends E
              ? `${P}[], which may be undefined`
              : NotJson<E, `${P}[]`, Shallower<D>>
          : T extends object
            ? { [K in keyof T & string]: NotJson<Exclude<T[K], undefined>, `${P}.${K}`, Shallower<D>> }[keyof T & string]
            : P;

/** Accepts a type that is JSON, and names the property that is not in the compiler's message. */
export type MustBeJson<T, P extends string> = [NotJson<T, P>] extends [never] ? unknown : { "this is not JSON": NotJson<T, P> };
