import { type Callback, dag, notYet, sensor, Skip, task, template, TerminalError } from "airloom";

export interface Conf {
  /** @default "plain" */
  text: string;
}

const echo = task("echo", {}, async (input: { text: string; list: readonly number[] }, { log, run }) => {
  log.warn("a warning", { field: "value ü" });
  console.log("to stdout");
  return { text: input.text, list: input.list, run: run.runId, nested: { deep: [null, true, "😀"] } };
});

const join = task("join", {}, async (input: { joined: string; third: number; deep: string | boolean | null }) => input);

const platform = task("platform", {}, async (input: { name: string }, { getVariable, setVariable, getConnection, setXCom }) => {
  await setVariable("probe_out", `${input.name}!`);
  await setXCom("extra", [1, 2]);
  const connection = await getConnection("probe_conn");
  const missing = await getConnection("no_such_connection");
  return {
    variable: (await getVariable("probe_in")) ?? null,
    written: (await getVariable("probe_out")) ?? null,
    none: (await getVariable("no_such_variable")) ?? null,
    login: connection?.login ?? null,
    extra: connection?.extra ?? null,
    missing: missing === undefined,
  };
});

/** The runs stand in the database of run_probe.py; the one that was deleted did once. */
const runs = task("runs", {}, async (_: object, { run, getRunState }) => {
  const states: Record<string, string | null> = { own: (await getRunState(run.dagId, run.runId)) ?? null };
  for (const id of ["is_queued", "has_failed", "was_deleted"]) states[id] = (await getRunState("probe", id)) ?? null;
  return states;
});

const skip = task("skip", {}, async (): Promise<string> => {
  throw new Skip("nothing to do");
});
const afterSkip = task("after_skip", {}, async (input: { value: string }) => input.value);
const terminal = task("terminal", { retries: 3 }, async (): Promise<string> => {
  throw new TerminalError("never again");
});
const crash = task("crash", {}, async (): Promise<string> => {
  process.kill(process.pid, "SIGKILL");
  return "not reached";
});
const badInput = task("bad_input", { retries: 2 }, async (input: { n: number }) => input.n);
const cyclic = task("cyclic", {}, async () => {
  const value: { self?: unknown } = {};
  value.self = value;
  return value as Record<string, string>;
});
const spin = task("spin", { timeout: "3s" }, async (): Promise<string> => {
  for (;;);
});
let looks = 0;
const look = sensor("look", {}, async (input: { wanted: string }) => (looks++ < 0 ? notYet("never") : { found: input.wanted }));

/** Tries the runtime. */
const tell: Callback = async ({ event, state, error }, { log, run, getVariable }) => {
  log.info(`told of ${run.taskId || "the DAG"}: ${event} ${state} ${error ?? ""} ${(await getVariable("probe_in")) ?? ""}`);
};
const happy = task("happy", { onExecute: tell, onSuccess: tell }, async () => 1);
const unhappy = task("unhappy", { onFailure: tell }, async (): Promise<null> => {
  throw new TerminalError("as planned");
});

export default dag<Conf>("probe", { schedule: null, onFailure: tell }, ({ conf }) => {
  happy({});
  unhappy({});
  const echoed = echo({ text: conf.text, list: [1, 2] });
  join({ joined: template`${echoed.text}/${echoed.list.at(1)}`, third: echoed.list.at(0), deep: echoed.nested.deep.at(2) });
  platform({ name: "x" });
  runs({});
  afterSkip({ value: skip({}) });
  terminal({});
  crash({});
  // A caller without types: the runtime must still refuse it.
  badInput({ n: conf.text as never });
  cyclic({});
  spin({});
  look({ wanted: "it" });
});
