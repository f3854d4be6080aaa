import { callSite } from "./call-site.ts";
import { placeTask } from "./graph-builder.ts";
import { axesOf } from "./mapping.ts";
import type { MappedPlacement, Placement } from "./options.ts";
import { pythonObjectOf, type Trigger } from "./python-object.ts";
import type { Input, Ref } from "./ref.ts";

/** How an operator takes one of its arguments: references only where Airflow resolves them, in its template fields. */
export type OperatorArgs<A, Templated extends keyof A> = {
  readonly [K in keyof A]: K extends Templated ? Input<A[K]> : A[K];
};

/** An operator of Airflow's or a provider's: calling it places a task of it. */
export interface Operator<A, Templated extends keyof A> {
  /** `R` is what you know of its result. */
  <R = unknown>(id: string, args: OperatorArgs<A, Templated>, placement?: Omit<Placement, "id">): Ref<R>;
  /** One task for each element of a list, or for each combination of several. */
  expand<K extends keyof A, R = unknown>(
    id: string,
    over: { readonly [P in K]: Input<readonly NonNullable<A[P]>[]> },
    rest: OperatorArgs<Omit<A, K>, Exclude<Templated, K>>,
    placement?: Omit<MappedPlacement, "id">,
  ): Ref<readonly R[]>;
}

export interface OperatorInfo {
  /** The fields that Airflow renders when the task runs. */
  readonly templateFields: readonly string[];
  /** The first Airflow that has it. @default any */
  readonly since?: string;
}

/**
 * Makes an operator known by the path of its class. `airloom operators <package>` writes these, typed, from what is installed;
 * write one by hand for an operator of your own.
 */
export function pythonOperator<A, Templated extends keyof A = keyof A>(classPath: string, { templateFields, since }: OperatorInfo): Operator<A, Templated> {
  const place = (id: string, args: object, over: object | undefined, placement: Placement, placedAt: ReturnType<typeof callSite>) =>
    placeTask<never>({
      name: id,
      spec: () => ({ kind: "operator", operator: checked(classPath, args as Record<string, unknown>, templateFields), since }),
      options: {},
      placement: { ...placement, id },
      over: over && (() => axesOf(over)),
      definedAt: undefined,
      placedAt,
    });
  const call = (id: string, args: object, placement: Placement = {}) => place(id, args, undefined, placement, callSite(call));
  const expand = (id: string, over: object, rest: object, placement: Placement = {}) => place(id, rest, over, placement, callSite(expand));
  return Object.assign(call, { expand }) as unknown as Operator<A, Templated>;
}

/** A reference in a field that Airflow does not render would reach the operator as an object it does not know. */
function checked(classPath: string, args: Record<string, unknown>, templateFields: readonly string[]) {
  const made = pythonObjectOf({ classPath, args });
  for (const [name, expr] of Object.entries(made.args))
    if (!["literal", "duration", "moment"].includes(expr.kind) && !templateFields.includes(name))
      throw new TypeError(`${made.className} does not render ${name} when it runs, so it takes no references: pass a plain value`);
  return made;
}

/** Waits for a trigger in Airflow's triggerer, holding no worker slot; its result is the trigger's event. */
export function waitFor<R>(id: string, on: Trigger, placement: Omit<Placement, "id"> = {}): Ref<R> {
  const trigger = () => pythonObjectOf(on);
  return placeTask<R>({
    name: id,
    spec: () => {
      const { module, className, args } = trigger();
      const fields = Object.fromEntries(Object.entries(args));
      return {
        kind: "operator",
        since: undefined,
        operator: {
          module: "airloom_runtime",
          className: "WaitForTrigger",
          args: { trigger_class: { kind: "literal", value: `${module}.${className}` }, trigger_args: { kind: "object", fields } },
        },
      };
    },
    options: {},
    placement: { ...placement, id },
    over: undefined,
    definedAt: undefined,
    placedAt: callSite(waitFor),
  });
}
