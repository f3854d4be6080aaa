import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { hostname } from "node:os";
import { Skip, TerminalError } from "airloom";
import { atomicWrite } from "@airloom/dataset-platform/store/atomic-write.ts";
import { readdir } from "node:fs/promises";
import path from "node:path";
import { registryUrl } from "../platform/registry-url.ts";
import { withRegistry } from "../platform/registry.ts";
import { labelingRun, type LabelingPlace, openPlace } from "./labeling-place.ts";
import { connectionOf } from "./task-context.ts";

describe("choosing a batch", () => {
  let place: LabelingPlace;
  beforeEach(async () => (place = await openPlace()));
  afterEach(() => place.close());
  const runOf = (runId: string, options = {}) => labelingRun(place, { runId, ...options });
  const sourceOf = async (id: string) => (await place.registry.db.selectFrom("batches").selectAll().where("id", "=", id).executeTakeFirstOrThrow()).source_id;

  it("keeps apart two DAGs whose runs have one name, and two tasks of one run", async () => {
    await place.add(3, "gate");
    await place.add(4, "yard");
    const name = "scheduled__2026-01-01T00:00:00+00:00";
    const gate = await runOf(name, { dagId: "label_gate" }).select("gate");
    const yard = await runOf(name, { dagId: "label_yard" }).select("yard");
    assert.deepEqual([gate.images, yard.images, await sourceOf(yard.id)], [3, 4, "yard"]);
    await place.add(1, "roof");
    const roof = await runOf(name, { dagId: "label_gate" }).select("roof", 10);
    assert.equal(await sourceOf(roof.id), "roof", "one task of a run that asks for another source got the first one's batch");
  });

  it("gives a run that was deleted, and triggered again under its name, no batch that was stored", async () => {
    await place.add(1);
    const first = await runOf("r").select();
    await place.registry.db.updateTable("batches").set({ state: "pulled", ended_at: new Date() }).execute();
    await place.registry.db.updateTable("images").set({ state: "excluded", state_why: "done", batch_id: null }).execute();
    assert.deepEqual(await runOf("r").select("manual_upload", 10, { tryNumber: 2 }), first, "a run that was cleared keeps its batch");
    await place.add(2);
    assert.deepEqual(await runOf("r").select(), first, "so does a first try that Airflow runs once more");
    const second = await runOf("r").select("manual_upload", 10, { runAfter: "2026-01-02T00:00:00.000Z" });
    assert.deepEqual([second.images, second.id === first.id], [2, false]);
  });

  it("adopts the batch of a run that was deleted or ended, not of one that goes on, nor where Airflow cannot be asked", async () => {
    await place.add(1);
    const { id } = await runOf("r1").select();
    const never = () => {
      throw new Error("Airflow is away");
    };
    const unsure = runOf("r2", { runStates: never });
    await assert.rejects(unsure.select(), Skip);
    assert.match(unsure.lines.join("\n"), /Airflow does not say how run r1 of labeling_pipeline stands.*Airflow is away/);
    for (const state of ["queued", "running"]) await assert.rejects(runOf("r2", { runStates: { "labeling_pipeline/r1": state } }).select(), Skip);
    let holder = "r1";
    for (const state of ["success", "failed", undefined]) {
      const next = `after-${state}`;
      assert.equal((await runOf(next, { runStates: state && { [`labeling_pipeline/${holder}`]: state } }).select()).id, id);
      holder = next;
    }
  });

  it("says, where there is nothing, which pictures are where", async () => {
    await place.add(2);
    await place.add(3, "cam_b");
    const { id } = await runOf("r1").select();
    await assert.rejects(runOf("r2", { runStates: { "labeling_pipeline/r1": "running" } }).select(), (error: Error) => {
      assert.ok(error instanceof Skip);
      assert.match(error.message, /^there are no new images of source "manual_upload" to label: put pictures into .* and trigger the pipeline again; /);
      assert.match(error.message, new RegExp(`2 pictures of this source are in batch ${id} of run r1 of labeling_pipeline, which still goes on`));
      assert.match(error.message, /pictures of other sources wait: cam_b \(3\)/);
      return true;
    });
  });

  it("adopts the batch of a local run whose process has ended, and no other local one's, nor Airflow's from a local run", async () => {
    await place.add(1);
    const local = "local__2026-01-01T00:00:00.000Z";
    const { id } = await runOf(local).select();
    await assert.rejects(runOf("r2").select(), Skip, "its process lives: it is this one");
    const child = spawn(process.execPath, ["-e", ""], { stdio: "ignore" });
    await once(child, "exit");
    const folder = path.join(place.storage.private, "local-runs");
    const [note] = await readdir(folder);
    await atomicWrite(path.join(folder, note!), JSON.stringify({ host: hostname(), pid: child.pid }));
    assert.equal((await runOf("r2").select()).id, id);
    await assert.rejects(runOf("local__2026-01-02T00:00:00.000Z").select(), Skip, "a local run took a batch of Airflow's");
  });

  it("needs to know where the registry is, and says where to write it", async () => {
    const nowhere = { ...place.context(), getConnection: async () => undefined };
    await assert.rejects(
      withRegistry(nowhere, async () => undefined),
      (error: Error) => error instanceof TerminalError && /no connection "airloom_registry".*AIRLOOM_REGISTRY_URL/.test(error.message),
    );
    process.env["AIRLOOM_REGISTRY_URL"] = place.registryUrl;
    try {
      assert.equal(await withRegistry(nowhere, async () => "open"), "open");
    } finally {
      delete process.env["AIRLOOM_REGISTRY_URL"];
    }
  });
});

describe("the registry's URL of an Airflow connection", () => {
  it("keeps every character of a password, and an IPv6 host", () => {
    const connection = { type: "postgres", host: "db.local", port: 15432, login: "air/loom", password: "p@s:s/w#o?r%d é", schema: "airloom", extra: {} };
    assert.equal(registryUrl(connection), "postgresql://air%2Floom:p%40s%3As%2Fw%23o%3Fr%25d%20%C3%A9@db.local:15432/airloom");
    assert.deepEqual(connectionOf(registryUrl(connection)), connection);
    assert.equal(registryUrl({ ...connection, host: "::1", login: null, password: null, port: null }), "postgresql://[::1]:5432/airloom");
    assert.equal(new URL(registryUrl({ ...connection, extra: { sslmode: "require", other: 1 } })).search, "?sslmode=require");
  });
});
