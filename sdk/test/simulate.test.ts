import assert from "node:assert/strict";
import { asset, dag, notYet, sensor, Skip, task } from "airloom";
import { simulate } from "airloom/testing/simulate.ts";
import { BashOperator } from "airloom/operators/standard.ts";

const flaky = task("flaky", { retries: 3, retryDelay: "1h", retryBackoff: true }, async (input: { works: number }, { run }) => {
  if (run.tryNumber < input.works) throw new Error(`try ${run.tryNumber}`);
  return run.tryNumber;
});

// What happens to states and XComs is held to a real Airflow in test/conformance; here is what only the simulator has.
describe("simulate", () => {
  it("waits by its own clock: three tries an hour and two hours apart take no time", async () => {
    const run = await simulate(dag("d", { schedule: null }, () => void flaky({ works: 3 })));
    assert.equal(run.result("flaky"), 3);
    // By hand: 1 h after the first try, twice as long after the second.
    assert.equal(run.durationMs, 3 * 3600 * 1000);
    // Had they passed in earnest, the test's own limit would have come first.
  });

  it("moves the clock for sensors, and ends one that waits too long", async () => {
    let looks = 0;
    const wait = sensor("wait", { pokeInterval: "10m", timeout: "1h" }, async () => (++looks < 100 ? notYet("no") : looks));
    const run = await simulate(dag("d", { schedule: null }, () => void wait({})));
    assert.equal(run.states["wait"], "failed");
    assert.equal(looks, 8);
    assert.match(run.tasks[0]!.error ?? "", /more than 3600 s/);
  });

  it("gives variables, connections, stubs and asset events, and keeps what tasks log and make", async () => {
    const orders = asset("orders");
    const load = task("load", { outlets: [orders] }, async (_: object, { getVariable, getConnection, emit, log, triggeringEvents }) => {
      const bank = await getConnection("bank");
      log.warn("loading", { from: bank?.host ?? null });
      await emit(orders, { rows: 2 });
      return { currency: (await getVariable("currency")) ?? null, events: Object.keys(await triggeringEvents()) };
    });
    const run = await simulate(
      dag<{ n: number }>("d", { schedule: null }, ({ conf }) => {
        const shell = BashOperator<string>("shell", { bash_command: "date", env: { N: "1" } });
        load({}, { after: shell });
        flaky({ works: conf.n });
      }),
      {
        conf: { n: 1 },
        variables: { currency: "EUR" },
        connections: { bank: { type: "http", host: "bank.example" } },
        stubs: { shell: "Monday", flaky: ({ works }: { works: number }) => works * 100 },
        assetEvents: { rates: [] },
      },
    );
    assert.equal(run.state, "success");
    assert.deepEqual(run.result("load"), { currency: "EUR", events: ["rates"] });
    assert.deepEqual([run.result("shell"), run.result("flaky")], ["Monday", 100]);
    assert.deepEqual(run.assetEvents, [{ asset: "orders", taskId: "load", extra: { rows: 2 } }]);
    assert.deepEqual(run.logs, [{ taskId: "load", mapIndex: -1, level: "warn", message: "loading", fields: { from: "bank.example" } }]);
  });

  it("knows its own run and those it is told of", async () => {
    const ask = task("ask", {}, async (_: object, { run, getRunState }) => {
      const ids = [run.runId, "dead", "deleted"];
      return { states: await Promise.all(ids.map(async (id) => (await getRunState("d", id)) ?? null)), run };
    });
    const options = { runId: "now", clock: new Date("2026-02-03T04:05:06Z"), runStates: { "d/dead": "failed" } } as const;
    const { states, run } = (
      await simulate(
        dag("d", { schedule: null }, () => void ask({})),
        options,
      )
    ).result("ask") as {
      states: string[];
      run: { runAfter: string; startedAt: string; clearNumber: number };
    };
    assert.deepEqual(states, ["running", "failed", null]);
    assert.deepEqual([run.runAfter, run.startedAt, run.clearNumber], ["2026-02-03T04:05:06.000+00:00", "2026-02-03T04:05:06.000+00:00", 0]);
  });

  it("refuses an id that Airflow would take for something else", async () => {
    const ask = task("ask", {}, async (input: { id: string }, { getRunState }) => (await getRunState("d", input.id)) ?? null);
    for (const id of ["", "..", "a/b", "a?b", "a#b", "a%2Fb", "a b"]) {
      const run = await simulate(dag("d", { schedule: null }, () => void ask({ id })));
      assert.equal(run.state, "failed", id);
      assert.match(run.tasks[0]!.error ?? "", /is no id of a DAG or a run/);
    }
    const run = await simulate(dag("d", { schedule: null }, () => void ask({ id: "manual__2026-01-01T00:00:00+00:00_aB1~x.y" })));
    assert.equal(run.state, "success");
  });

  it("calls callbacks with what happened, and stays well when they throw", async () => {
    const told: string[] = [];
    const tell = ({ event, error }: { event: string; error: string | undefined }) => {
      told.push(`${event}${error ? `: ${error}` : ""}`);
      throw new Error("out of paper");
    };
    const options = { retries: 1, onExecute: tell, onRetry: tell, onFailure: tell, onSuccess: tell, onSkipped: tell };
    const bad = task("bad", options, async (): Promise<null> => {
      throw new Error("no");
    });
    const skip = task("skip", options, async (): Promise<null> => {
      throw new Skip("not today");
    });
    const run = await simulate(dag("d", { schedule: null, onFailure: (info) => void told.push(`dag ${info.state}`) }, () => void [bad({}), skip({})]));
    assert.equal(run.state, "failed");
    assert.deepEqual(told, ["execute", "retry: no", "execute", "skipped", "execute", "failure: no", "dag failed"]);
    assert.ok(run.logs.some(({ message }) => message.includes("out of paper")));
  });

  it("says what it needs for what runs only in Airflow, and for a key that the conf does not have", async () => {
    const shell = await simulate(dag("d", { schedule: null }, () => void BashOperator("shell", { bash_command: "date" })));
    assert.match(shell.tasks[0]!.error ?? "", /BashOperator runs only in Airflow: pass stubs: \{ "shell": /);
    const missing = await simulate(dag<{ n: number }>("d", { schedule: null }, ({ conf }) => void flaky({ works: conf.n })));
    assert.match(missing.tasks[0]!.error ?? "", /the run's conf has no n/);
    assert.throws(() => missing.result("nope"), /has no task nope; it has flaky/);
  });

  it("ends a task that takes too long", async () => {
    const slow = task(
      "slow",
      { timeout: "1s" },
      async (_: object, { signal }) => new Promise<string>((done) => signal.addEventListener("abort", () => done("late"))),
    );
    const run = await simulate(dag("d", { schedule: null }, () => void slow({})));
    assert.match(run.tasks[0]!.error ?? "", /longer than 1 s/);
  }).timeout(5000);
});
