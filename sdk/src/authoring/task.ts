import { type CallSite, callSite } from "./call-site.ts";
import type { TaskContext } from "./context.ts";
import { placeArm, placeTask, type PlacedCode } from "./graph-builder.ts";
import type { MustBeJson } from "./json.ts";
import { axesOf, type MappedRef, type Over } from "./mapping.ts";
import type { MappedPlacement, Placement, SensorOptions, SensorPlacement, TaskOptions } from "./options.ts";
import type { NotYet } from "./outcome.ts";
import { type Inputs, type Optional, type Ref, toExpr, tryExprOfRef } from "./ref.ts";

type Handler<I, O> = (input: I, context: TaskContext) => Promise<O>;

/** The arguments of `expand` after the lists: what remains of the input, left out where nothing must be given. */
type Rest<I, K extends keyof I> =
  Partial<Omit<I, K>> extends Omit<I, K> ? [rest?: Inputs<Omit<I, K>>, placement?: MappedPlacement] : [rest: Inputs<Omit<I, K>>, placement?: MappedPlacement];

/** A task: calling it in a DAG function places it there; `handler` is what it does. */
export interface Task<I, O, P extends Placement = Placement> {
  (input: Inputs<I>, placement?: P): Ref<O>;
  /** Places it once for each element of a list; several lists: for every combination. `rest` are the inputs that stay the same. */
  expand<K extends keyof I>(over: Over<I, K>, ...rest: Rest<I, K>): MappedRef<O>;
  /** The same, with what stays the same first: hash.partial({ algo: "md5" }).expand({ file: files }). */
  partial<const P extends Partial<Inputs<I>>>(rest: P): { expand(over: Over<I, Exclude<keyof I, keyof P>>, placement?: MappedPlacement): MappedRef<O> };
  readonly handler: (input: I, context: TaskContext) => Promise<O | NotYet>;
}

/** A task that chooses which arms run. */
export interface Branch<I, K extends string> {
  /** Each arm's function places what runs only when its key is chosen; null is an arm without tasks. */
  <A extends { readonly [P in K]: (() => unknown) | null }>(
    input: Inputs<I>,
    arms: A,
    placement?: Placement,
  ): { readonly [P in keyof A]: A[P] extends () => infer R ? Optional<R> : undefined } & { readonly chosen: Ref<readonly K[]> };
  readonly handler: Handler<I, K | readonly K[]>;
}

interface Definition {
  readonly kind: "task" | "sensor" | "branch" | "shortCircuit";
  readonly name: string;
  readonly options: Placement;
  readonly handler: PlacedCode["handler"];
  readonly definedAt: CallSite | undefined;
}

const literalInputs = (input: object | undefined) =>
  Object.fromEntries(
    Object.entries(input ?? {})
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [key, toExpr(value, key)]),
  );

function place<O>(definition: Definition, input: object | undefined, over: object | undefined, placement: Placement, placedAt: CallSite | undefined): Ref<O> {
  const { kind, name, options, handler, definedAt } = definition;
  const spec = () => ({ kind, inputs: literalInputs(input), code: handler });
  return placeTask<O>({ name, spec, options, placement, over: over && (() => axesOf(over)), definedAt, placedAt });
}

function define<I, O>(definition: Definition): Task<I, O> {
  const call = (input: Inputs<I>, placement: Placement = {}): Ref<O> => place<O>(definition, input as object, undefined, placement, callSite(call));
  const expand = (over: object, rest: object = {}, placement: MappedPlacement = {}): MappedRef<O> =>
    place<readonly O[]>(definition, rest, over, placement, callSite(expand));
  const partial = (rest: object) => {
    const expandRest = (over: object, placement: MappedPlacement = {}) => place<readonly O[]>(definition, rest, over, placement, callSite(expandRest));
    return { expand: expandRest };
  };
  return Object.assign(call, { expand, partial, handler: definition.handler }) as unknown as Task<I, O>;
}

type Checked<I, O> = ((input: I, context: TaskContext) => Promise<O> & MustBeJson<O, "result">) & MustBeJson<I, "input">;

/** Defines a task by its name in Airflow and the async function that it runs. */
export function task<I, O>(name: string, options: TaskOptions, handler: Checked<I, O>): Task<I, O> {
  return define({ kind: "task", name, options, handler, definedAt: callSite(task) });
}

/** Defines a task that waits: its function looks once and returns a result, or `notYet(why)`. */
export function sensor<I, O>(
  name: string,
  options: SensorOptions,
  handler: Handler<I, O | NotYet> & MustBeJson<I, "input">,
): Task<I, Exclude<O, NotYet>, SensorPlacement> {
  return define({ kind: "sensor", name, options, handler, definedAt: callSite(sensor) });
}

/** The options of a short circuit. */
export interface ShortCircuitOptions extends TaskOptions {
  /** Whether tasks further down keep their trigger rules, instead of all being skipped. @default false */
  readonly respectTriggerRules?: boolean;
}

/** Defines a task that skips all that comes after it unless its function returns true. */
export function shortCircuit<I>(name: string, options: ShortCircuitOptions, handler: Handler<I, boolean> & MustBeJson<I, "input">): Task<I, boolean> {
  return define({ kind: "shortCircuit", name, options, handler, definedAt: callSite(shortCircuit) });
}

/** Defines a task whose function returns the key, or the keys, of the arms that run; the others are skipped. */
export function branch<I, const K extends string>(
  name: string,
  options: TaskOptions,
  handler: Handler<I, K | readonly K[]> & MustBeJson<I, "input">,
): Branch<I, K> {
  const definition: Definition = { kind: "branch", name, options, handler, definedAt: callSite(branch) };
  const call = (input: object, arms: Readonly<Record<string, (() => unknown) | null>>, placement: Placement = {}) => {
    const chosen = place<readonly K[]>(definition, input, undefined, placement, callSite(call));
    const expr = tryExprOfRef(chosen);
    const branchId = expr?.kind === "result" ? expr.taskId : name;
    const results = Object.entries(arms).map(([key, arm]) => [key, placeArm(branchId, key, arm ?? (() => undefined))] as const);
    return { ...Object.fromEntries(results), chosen };
  };
  return Object.assign(call, { handler }) as unknown as Branch<I, K>;
}
