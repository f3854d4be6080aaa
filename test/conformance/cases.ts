import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  asset,
  branch,
  chain,
  cross,
  type Dag,
  dag,
  type DagOptions,
  datetime,
  each,
  group,
  type Json,
  jinja,
  mapGroup,
  notYet,
  type Ref,
  sensor,
  shortCircuit,
  Skip,
  task,
  template,
  TerminalError,
  trigger,
  waitFor,
  xcom,
  zip,
} from "airloom";
import { ApprovalOperator, BashOperator, EmptyOperator, HITLOperator, TriggerDagRunOperator } from "airloom/operators/standard.ts";
import type { HumanAnswer } from "airloom/airflow/client.ts";
import { triggerRules, type TriggerRule } from "airloom/ir/ir.ts";
import { patientMs } from "../patience.ts";

/** What the simulator is told that Airflow's own operators give, by case and task. */
export const stubs: Record<string, Record<string, Json | ((input: never) => Json)>> = {};

/** What a person answers, by case and task: the real Airflow is told over REST, the simulator by `stubs`. */
export const answers: Record<string, Record<string, HumanAnswer>> = {};

/** DAGs that must end alike in the simulator and in a real Airflow: the state and the XComs of every task instance. */
export const cases: Record<string, Dag> = {};

const options: DagOptions = { schedule: null, retryDelay: "1s" };
function add(id: string, body: (scope: { conf: Ref<Record<string, never>>; run: Ref<{ id: string }> }) => void, more: Partial<DagOptions> = {}): void {
  cases[id] = dag(id, { ...options, ...more }, body as never);
}

const ok = task("ok", {}, async () => "ok");
const bad = task("bad", {}, async (): Promise<null> => {
  throw new TerminalError("on purpose");
});
const skip = task("skip", {}, async (): Promise<null> => {
  throw new Skip("on purpose");
});
const say = task("say", {}, async (input: { value?: unknown }) => ({ got: input.value ?? null }));
const give = task("give", {}, async (input: { value: unknown }) => input.value);
const list = task("list", {}, async (input: { items: readonly unknown[] }) => input.items as unknown[]);
const one = task("one", {}, async (input: { n: number; by?: number }) => {
  if (input.n === 13) throw new TerminalError("13");
  if (input.n === 7) throw new Skip("7");
  return input.n * (input.by ?? 1);
});
const sum = task("sum", {}, async (input: { values: readonly (number | null)[] }) => input.values.reduce<number>((total, value) => total + (value ?? 0), 0));
const numbers = (items: readonly number[], id = "numbers") => list({ items }, { id }) as unknown as Ref<readonly number[]>;
const flaky = task("flaky", { retries: 2 }, async (input: { works: number }, { run }) => {
  if (run.tryNumber < input.works) throw new Error(`try ${run.tryNumber}`);
  return run.tryNumber;
});
/** Counts its calls in a file of the run, since a sensor's process keeps nothing. The tests name the folder. */
function look(key: string): number {
  const file = path.join(process.env["CONFORMANCE_LOOKS"] ?? tmpdir(), `airloom-conformance-${key.replaceAll(/\W/g, "_")}`);
  const before = existsSync(file) ? readFileSync(file, "utf8").length : 0;
  appendFileSync(file, ".");
  return before + 1;
}
// Shorter intervals race with the end of the process before: Airflow then takes the task for lost. On a quiet machine 4 s
// are enough, on a busy one they are not. The other cases run meanwhile.
const wait = sensor("wait", { pokeInterval: "30s", timeout: `${patientMs(60_000) / 1000}s` }, async (input: { looks: number }, { run }) => {
  const seen = look(`${run.runId}-${run.taskId}-${run.mapIndex}`);
  return seen < input.looks ? notYet(`look ${seen}`) : { looks: seen };
});
const pick = branch("pick", {}, async (input: { choose: readonly ("left" | "right" | "none")[] }) => input.choose);
const goOn = shortCircuit("go_on", {}, async (input: { yes: boolean }) => input.yes);
const goOnMild = shortCircuit("go_on_mild", { respectTriggerRules: true }, async (input: { yes: boolean }) => input.yes);

// Every trigger rule after every mixture of states.
for (const rule of Object.keys(triggerRules) as TriggerRule[])
  add(`rule_${rule}`, () => {
    const [f, u] = [bad({}), say({}, { id: "u", after: bad({}, { id: "bad_too" }) })];
    // What fails does so first: a rule that ends a task early must not depend on which worker is faster.
    const before = { o: ok({}), f, u, s: skip({}, { after: [f, u], triggerRule: "all_done" }) };
    for (const mixture of ["o", "f", "s", "u", "of", "os", "ou", "fs", "su", "ofs", "ofsu"] as const)
      say({}, { id: `after_${mixture}`, after: mixture.split("").map((letter) => before[letter as keyof typeof before]), triggerRule: rule });
  });

add("chain", () => chain(ok({}, { id: "a" }), ok({}, { id: "b" }), ok({}, { id: "c" })));
add("diamond", () => {
  const start = ok({}, { id: "start" });
  const [left, right] = [say({ value: start }, { id: "left" }), say({ value: start }, { id: "right" })];
  say({ value: [left, right] }, { id: "end" });
});
add("cross", () => cross([ok({}, { id: "a" }), bad({}, { id: "b" })], [ok({}, { id: "c" }), ok({}, { id: "d" })]));
add("deep_failure", () => chain(bad({}), ok({}, { id: "b" }), ok({}, { id: "c" }), ok({}, { id: "d" })));
add("data_parts", () => {
  const found = give({ value: { id: "x", items: [{ n: 1 }, { n: 2 }], none: null } }) as unknown as Ref<{
    id: string;
    items: { n: number }[];
    none: { deep: number } | null;
  }>;
  say({ value: { id: found.id, second: found.items.at(1).n, all: found.items, nothing: found.none.deep } });
});
add("data_missing_part", () => {
  const found = give({ value: { id: "x" } }) as unknown as Ref<{ id: string; nope: string }>;
  say({ value: found.nope });
});
add("data_null", () => say({ value: give({ value: null }) as unknown as Ref<string> }));
add("data_kinds", () => {
  const values = [0, -1.5, 1e18, 1.5e-7, true, false, "", "é😀\u2028", [], {}, [[1], { a: [] }]] as const;
  for (const [i, value] of values.entries()) say({ value: give({ value }, { id: `give_${i}` }) as unknown as Ref<unknown> }, { id: `say_${i}` });
});
// Whole numbers that PostgreSQL keeps, and that Airflow cannot send to a task.
add("data_huge", () => say({ value: give({ value: 1e21 }) as unknown as Ref<unknown> }));
add("data_text", () => {
  const found = give({ value: { n: 3, t: "{{ ds }} $HOME `x`" } }) as unknown as Ref<{ n: number; t: string }>;
  say({ value: template`${found.n} of ${found.t} in ${template`a ${"run"}`}` });
});
add("data_jinja", () => say({ value: jinja("of {{ dag.dag_id }}") }));
add("data_outputs", () => {
  const both = task("both", { multipleOutputs: true }, async (_: object, { setXCom }) => {
    await setXCom("own", [1, 2]);
    return { left: 1, right: { deep: true } };
  });
  const made = both({});
  say({ value: [xcom<number>(made, "left"), xcom<number[]>(made, "own").at(1), xcom<number>(made, "nothing")] });
});
add("data_of_failed", () => say({ value: bad({}) }, { triggerRule: "all_done" }));
add("data_of_skipped", () => say({ value: skip({}) }, { triggerRule: "none_failed" }));
add("data_pulled", () => {
  const pull = task("pull", {}, async (_: object, { getXCom }) => ({ ok: (await getXCom("ok")) ?? null, none: (await getXCom("ok", "none")) ?? null }));
  pull({}, { after: ok({}) });
});
add("variables", () => {
  const set = task("set", {}, async (_: object, { setVariable, getVariable, run }) => {
    await setVariable(`v_${run.dagId}`, "new");
    return [(await getVariable(`v_${run.dagId}`)) ?? null, (await getVariable("no_such_variable")) ?? null, (await getVariable("given")) ?? null];
  });
  set({});
});
add("connections", () => {
  const ask = task("ask", {}, async (_: object, { getConnection }) => {
    const [here, away] = [await getConnection("given"), await getConnection("no_such_connection")];
    return { here: here ? { type: here.type, host: here.host, login: here.login, extra: here.extra } : null, away: away ?? null };
  });
  ask({});
});

add("run_states", () => {
  const ask = task("ask", {}, async (_: object, { run, getRunState }) => ({
    own: (await getRunState(run.dagId, run.runId)) ?? null,
    noRun: (await getRunState(run.dagId, "no_such_run")) ?? null,
    noDag: (await getRunState("no_such_dag", run.runId)) ?? null,
    empty: await getRunState(run.dagId, "").then(String, (error: Error) => error.message),
  }));
  ask({});
});
add("run_moments", () => {
  const first = task("first", {}, async (_: object, { run, setVariable }) => setVariable(`v_${run.dagId}`, `${run.runAfter} ${run.startedAt}`));
  // Each way to run a task must name the run by the same text.
  const compare = task("compare", { transport: "spawn" }, async (_: object, { run, getVariable }) => {
    const own = [run.runAfter, run.startedAt];
    return {
      forms: own.map((moment) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$/.test(moment ?? "")),
      same: (await getVariable(`v_${run.dagId}`)) === own.join(" "),
      inOrder: Date.parse(run.runAfter ?? "") <= Date.parse(run.startedAt ?? ""),
      clearNumber: run.clearNumber,
    };
  });
  chain(first({}), compare({}));
});

add("retry_then_success", () => say({ value: flaky({ works: 2 }) }));
add("retry_until_failed", () => say({ value: flaky({ works: 9 }) }));
add("no_retry_when_terminal", () => bad({}, { retries: 3 }));
add("no_retry_when_skipped", () => skip({}, { retries: 3 }));
add("retry_of_the_dag", () => flaky({ works: 2 }), { retries: 1 });
add("not_json", () => {
  const cyclic = task("cyclic", {}, async (): Promise<object> => {
    const value: Record<string, unknown> = {};
    value["self"] = value;
    return value;
  });
  cyclic({});
});
add("wrong_input", () => {
  const strict = task("strict", { retries: 2 }, async (input: { n: number }) => input.n);
  strict({ n: give({ value: "text" }) as unknown as Ref<number> });
});
add("timeout", () => {
  const slow = task("slow", { timeout: "2s" }, async () => new Promise<string>((done) => setTimeout(() => done("late"), 20_000)));
  say({ value: slow({}) }, { triggerRule: "all_done" });
});

for (const choose of [["left"], ["right"], ["left", "right"], ["none"], []] as const)
  add(`branch_${choose.join("_") || "nothing"}`, () => {
    const arms = pick(
      { choose },
      {
        left: () => {
          const first = ok({}, { id: "left_1" });
          return ok({}, { id: "left_2", after: first });
        },
        right: () => ok({}, { id: "right" }),
        none: null,
      },
    );
    say({ value: [arms.left, arms.right] }, { triggerRule: "none_failed_min_one_success" });
    say({}, { id: "after_any", after: [arms.left, arms.right], triggerRule: "none_failed" });
    say({}, { id: "after_pick", after: arms.chosen });
  });
add("branch_empty_arm_joins", () => {
  const arms = pick({ choose: ["none"] }, { left: () => ok({}, { id: "left" }), right: null, none: null });
  say({}, { id: "join", after: [arms.chosen, arms.left], triggerRule: "none_failed" });
});
add("branch_in_branch", () => {
  pick(
    { choose: ["left"] },
    {
      left: () => {
        pick({ choose: ["right"] }, { left: () => ok({}, { id: "inner_left" }), right: () => ok({}, { id: "inner_right" }), none: null }, { id: "inner" });
      },
      right: () => ok({}, { id: "right" }),
      none: null,
    },
  );
});
add("branch_to_group", () => {
  const inGroup = (id: string) => () => group(id, {}, () => chain(ok({}, { id: "a" }), ok({}, { id: "b" })));
  pick({ choose: ["right"] }, { left: inGroup("l"), right: inGroup("r"), none: null });
});
add("branch_fails", () => {
  const broken = branch("broken", {}, async (): Promise<"a"> => {
    throw new TerminalError("cannot choose");
  });
  broken({}, { a: () => ok({}, { id: "a" }) });
});
for (const yes of [true, false]) {
  add(`short_circuit_${yes}`, () => {
    const first = ok({}, { id: "a", after: goOn({ yes }) });
    ok({}, { id: "b", after: first, triggerRule: "all_done" });
  });
  add(`short_circuit_mild_${yes}`, () => {
    const first = ok({}, { id: "a", after: goOnMild({ yes }) });
    ok({}, { id: "b", after: first, triggerRule: "all_done" });
    ok({}, { id: "c", after: first });
  });
}
add("short_circuit_before_mapped", () => {
  const gate = goOn({ yes: false });
  one.expand({ n: numbers([1, 2]) }, {}, { after: gate });
});

const setups = (ends: { setup?: "bad" | "skip"; work?: "bad" | "skip"; teardown?: "bad"; failRun?: boolean }) => () => {
  const by = { bad, skip };
  const made = (ends.setup ? by[ends.setup] : ok)({}, { id: "set_up", setup: true });
  const work = (ends.work ? by[ends.work] : ok)({}, { id: "work", after: made });
  const more = ok({}, { id: "more", after: work });
  (ends.teardown ? bad : ok)({}, { id: "take_down", teardown: made, after: more, failRun: ends.failRun ?? false });
};
add("setup_all_well", setups({}));
add("setup_fails", setups({ setup: "bad" }));
add("setup_is_skipped", setups({ setup: "skip" }));
add("setup_work_fails", setups({ work: "bad" }));
add("setup_work_is_skipped", setups({ work: "skip" }));
add("teardown_fails", setups({ teardown: "bad" }));
add("teardown_fails_the_run", setups({ teardown: "bad", failRun: true }));
add("setup_indirect", () => {
  const made = bad({}, { id: "set_up", setup: true });
  const work = ok({}, { id: "work", after: made });
  const more = ok({}, { id: "more", after: work, triggerRule: "all_done" });
  ok({}, { id: "take_down", teardown: made, after: more });
});

add("map_literal", () => sum({ values: one.expand({ n: [1, 2, 3] }) }));
add("map_result", () => sum({ values: one.expand({ n: numbers([4, 5]) }, { by: 10 }) }));
add("map_part", () => {
  const found = give({ value: { deep: [1, 2] } }) as unknown as Ref<{ deep: number[] }>;
  sum({ values: one.expand({ n: found.deep }) });
});
add("map_pairs", () => sum({ values: one.expand({ n: numbers([1, 2, 3]), by: [10, 100] }) }));
add("map_zip", () => sum({ values: one.expand(zip({ n: numbers([1, 2, 3]), by: numbers([10, 100], "factors") })) }));
add("map_each", () => {
  const jobs = list({
    items: [
      { n: 1, by: 5 },
      { n: 2, by: 6 },
    ],
  }) as unknown as Ref<readonly { n: number; by: number }[]>;
  sum({ values: one.expand(each(jobs)) });
});
add("map_partial", () => one.partial({ by: 3 }).expand({ n: numbers([1, 2]) }, { instanceName: "n" }));
add("map_nothing", () => sum({ values: one.expand({ n: numbers([]) }) }, { triggerRule: "none_failed" }));
add("map_one_fails", () => {
  const mapped = one.expand({ n: numbers([1, 13, 2]) });
  sum({ values: mapped });
  sum({ values: mapped }, { id: "sum_of_done", triggerRule: "all_done" });
});
add("map_one_skips", () => {
  const mapped = one.expand({ n: numbers([1, 7, 2]) });
  sum({ values: mapped });
  sum({ values: mapped }, { id: "sum_of_rest", triggerRule: "none_failed" });
});
add("map_all_skip", () => sum({ values: one.expand({ n: numbers([7, 7]) }) }, { triggerRule: "none_failed_min_one_success" }));
add("map_mapped", () => sum({ values: one.expand({ n: one.expand({ n: numbers([1, 2]) }, { by: 10 }) }, { by: 2 }, { id: "again" }) }));
add("map_upstream_fails", () => one.expand({ n: bad({}) as unknown as Ref<readonly number[]> }));
add("map_upstream_skips", () => one.expand({ n: skip({}) as unknown as Ref<readonly number[]> }));
add("map_upstream_fails_all_done", () => one.expand({ n: bad({}) as unknown as Ref<readonly number[]> }, {}, { triggerRule: "all_done" }));
add("map_retries", () => sum({ values: flaky.expand({ works: [1, 2, 3] }) }));
add("map_null_results", () => {
  const maybe = task("maybe", {}, async (input: { n: number }) => (input.n > 1 ? input.n : null));
  sum({ values: maybe.expand({ n: [1, 2, 3] }) });
});
add("map_not_a_list", () => one.expand({ n: (give({ value: { n: 1 } }) as unknown as Ref<{ n: readonly number[] }>).n }));
add("map_after_other", () => one.expand({ n: [1, 2] }, {}, { after: skip({}) }));

const perNumber = (items: readonly number[], rule?: TriggerRule) => () => {
  const made = mapGroup("per_number", numbers(items), (n) => {
    const first = one({ n }, { id: "first" });
    const second = one({ n: first, by: 10 }, { id: "second" });
    return one({ n: second, by: 1 }, { id: "third", ...(rule ? { triggerRule: rule } : {}) });
  });
  sum({ values: made.result }, { triggerRule: "all_done" });
};
add("mapped_group", perNumber([1, 2, 3]));
add("mapped_group_fails_and_skips", perNumber([1, 13, 7]));
add("mapped_group_nothing", perNumber([]));
add("mapped_group_rule", perNumber([1, 7], "none_failed"));
add("mapped_group_literal", () => {
  const made = mapGroup("g", [{ a: 1 }, { a: 2 }], (thing) => one({ n: thing.a }));
  sum({ values: made.result });
});
add("mapped_group_upstream_fails", () => {
  mapGroup("g", bad({}) as unknown as Ref<readonly number[]>, (n) => one({ n: one({ n }, { id: "a" }) }, { id: "b", triggerRule: "all_done" }));
});
add("mapped_group_branch", () => {
  const odd = branch("odd", {}, async (input: { n: number }) => (input.n % 2 === 1 ? "odd" : "even"));
  mapGroup("g", numbers([1, 2, 3]), (n) => {
    odd({ n }, { odd: () => ok({}, { id: "is_odd" }), even: () => ok({}, { id: "is_even" }) });
  });
});
add("groups", () => {
  const start = ok({}, { id: "start" });
  const outer = group("outer", {}, () => {
    const inner = group("inner", {}, () => say({ value: ok({}, { id: "a" }) }, { id: "b" }));
    return say({ value: inner.result }, { id: "c" });
  });
  const plain = group("plain", { prefix: false }, () => ok({}, { id: "d" }));
  chain(start, outer, plain, ok({}, { id: "end" }));
});
add("group_fails", () => {
  const broken = group("g", {}, () => [ok({}), bad({})]);
  chain(broken, [ok({}, { id: "end" }), ok({}, { id: "always_end", triggerRule: "all_done" })]);
});
add("group_defaults", () => void group("g", { defaults: { retries: 1, retryDelay: "1s" } }, () => flaky({ works: 2 }, { retries: 1 })));

add("sensor_at_once", () => say({ value: wait({ looks: 1 }).looks }));
add("sensor_later", () => say({ value: wait({ looks: 3 }).looks }));
add("sensor_defers", () => say({ value: wait({ looks: 2 }, { waiting: "defer", retries: 2 }).looks }));
add("sensor_pokes", () => say({ value: wait({ looks: 2 }, { waiting: "poke" }).looks }));
add("sensor_times_out", () => say({ value: wait({ looks: 99 }, { timeout: "2s", retries: 1 }).looks }));
add("sensor_fails_softly", () => say({ value: wait({ looks: 99 }, { timeout: "2s", softFail: true }).looks }));
add("sensor_mapped", () => wait.expand({ looks: [1, 2] }));
add("sensor_throws", () => {
  const broken = sensor("broken", { retries: 1 }, async (): Promise<null> => {
    throw new Error("cannot look");
  });
  broken({});
});
add("empty_operators", () => chain(EmptyOperator("a", {}), ok({}), EmptyOperator("b", {}, { triggerRule: "all_done" })));
// References in fields that Airflow's own operators render.
add("operator_with_references", () => {
  const found = give({ value: { name: "Ada $HOME `x`", n: 2 } }) as unknown as Ref<{ name: string; n: number }>;
  const shell = BashOperator<string>("shell", {
    bash_command: 'echo "$NAME/$N"',
    env: { NAME: found.name, N: template`${found.n}/${template`x`}` },
    append_env: true,
  });
  say({ value: shell });
});
stubs["operator_with_references"] = { shell: ({ env }: { env: { NAME: string; N: string } }) => `${env.NAME}/${env.N}` };
add("operator_mapped", () =>
  say({ value: BashOperator.expand("shell", { bash_command: ["echo 1", "echo 2", "exit 99"] }, {}) }, { triggerRule: "none_failed" }),
);
stubs["operator_mapped"] = {
  shell: ({ bash_command }: { bash_command: string }) => {
    if (bash_command === "exit 99") throw new Skip("Bash ended with 99");
    return bash_command.slice(5);
  },
};
add("operator_trigger", () => {
  const past = trigger("airflow.providers.standard.triggers.temporal.DateTimeTrigger", { moment: datetime("2026-01-01T06:00:00Z") });
  // Its moment has passed: on a busy machine the trigger may fire before the scheduler has heard that the task deferred, which it
  // takes for a lost task. A try more is what Airflow has for that.
  say({ value: waitFor<string>("until", past, { retries: 2 }) });
});
stubs["operator_trigger"] = { until: "2026-01-01T06:00:00+00:00" };
add("asset_events", () => {
  const made = asset("conformance-asset");
  const load = task("load", { outlets: [made] }, async (_: object, { emit }) => {
    await emit(made, { rows: 3 });
    return 3;
  });
  load({});
});
add("callbacks_do_not_change_states", () => {
  const tell = () => {
    throw new Error("a callback of its own accord");
  };
  const noisy = task("noisy", { retries: 1, onExecute: tell, onSuccess: tell, onFailure: tell, onRetry: tell }, async (input: { works: boolean }) => {
    if (!input.works) throw new Error("no");
    return 1;
  });
  noisy({ works: true }, { id: "works" });
  noisy({ works: false }, { id: "fails" });
});
// People, and other DAGs.
add("human_chooses", () => {
  const chosen = HITLOperator<{ chosen_options: string[]; params_input: { note: string } }>(
    "choose",
    { subject: "When?", options: ["Now", "Later"] },
    { params: { note: "" } },
  );
  const choice = branch("choice", {}, async (input: { options: readonly string[] }) => (input.options.includes("Later") ? "later" : "now"));
  choice({ options: chosen.chosen_options }, { now: () => ok({}), later: () => say({ value: chosen.params_input.note }) });
});
answers["human_chooses"] = { choose: { chosenOptions: ["Later"], params: { note: "after lunch" } } };
stubs["human_chooses"] = { choose: { chosen_options: ["Later"], params_input: { note: "after lunch" } } };
add("human_approves", () => chain(ApprovalOperator("approve", { subject: "Publish?" }), say({ value: 1 })));
answers["human_approves"] = { approve: { chosenOptions: ["Approve"] } };
stubs["human_approves"] = { approve: { chosen_options: ["Approve"], params_input: {} } };
add("triggers_another_dag", () => {
  const other = TriggerDagRunOperator("other", {
    trigger_dag_id: "diamond",
    trigger_run_id: "by_triggers_another_dag",
    wait_for_completion: true,
    poke_interval: 1,
  });
  say({ value: "after it" }, { after: other });
});
stubs["triggers_another_dag"] = { other: null };
