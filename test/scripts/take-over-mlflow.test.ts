import assert from "node:assert/strict";
import { copyFile, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { takeOverMlflow } from "../../scripts/stack/mlflow.ts";
import { withConnection } from "../../scripts/stack/databases.ts";
import { readSettings, type StackSettings } from "../../scripts/stack/settings.ts";
import { databaseUrl, parseDatabaseUrl, sqlAlchemyUrl } from "../../scripts/stack/database-url.ts";
import { newDatabase } from "../database.ts";

/** Uses MLflow's own client on a store: fills it, says what is in it, adds to it. One process for several steps: it takes seconds to start. */
const client = `
import json, math, os, sys
from mlflow import MlflowClient
c = MlflowClient(os.environ["STORE"])
if "fill" in sys.argv:
    e = c.create_experiment("training", artifact_location="mlflow-artifacts:/1", tags={"of": "a name with ü and 'quotes'"})
    for i in range(3):
        run = c.create_run(e, tags={"n": str(i)}).info.run_id
        for step, value in enumerate([0.1, 0.25, math.nan, math.inf]): c.log_metric(run, "map", value, step=step, timestamp=1)
        c.log_param(run, "epochs", str(i))
        c.set_terminated(run)
    c.create_registered_model("YOLOv8_Demo", tags={"a": "b"}, description="what it is")
    for _ in range(2): version = c.create_model_version("YOLOv8_Demo", "mlflow-artifacts:/1/x", run_id=run).version
    c.set_registered_model_alias("YOLOv8_Demo", "champion", version)
    c.delete_run(c.create_run(e).info.run_id)
if "show" in sys.argv:
    out = {"experiments": sorted((e.experiment_id, e.name, e.artifact_location, sorted(e.tags.items())) for e in c.search_experiments())}
    runs = c.search_runs(["1"], run_view_type=3)
    out["runs"] = sorted((r.info.run_id, r.info.status, r.info.lifecycle_stage, r.info.start_time, sorted(r.data.params.items()), r.data.tags.get("n")) for r in runs)
    out["metrics"] = sorted((r.info.run_id, m.step, m.timestamp, repr(m.value)) for r in runs for m in c.get_metric_history(r.info.run_id, "map"))
    m = c.get_registered_model("YOLOv8_Demo")
    out["model"] = [m.name, m.description, m.tags, m.aliases, m.creation_timestamp]
    v = c.get_model_version_by_alias("YOLOv8_Demo", "champion")
    out["champion"] = [v.version, v.run_id, v.source, v.status]
    print(json.dumps(out))
if "add" in sys.argv:
    c.create_experiment("another")
    c.create_run("1")
    print(c.create_model_version("YOLOv8_Demo", "mlflow-artifacts:/1/y").version)
`;

describe("MLflow's SQLite file of an earlier Airloom", function () {
  this.timeout(400_000);
  let folder: string;
  let settings: StackSettings;
  let database: Awaited<ReturnType<typeof newDatabase>>;
  const use = async (store: string, ...what: string[]) =>
    (
      await execa(path.join(settings.root, ".venv/bin/python"), ["-W", "ignore", "-c", client, ...what], {
        env: { STORE: store, MLFLOW_DISABLE_TELEMETRY: "true" },
      })
    ).stdout;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "airloom-mlflow-"));
    await mkdir(path.join(folder, "mlflow"));
    database = await newDatabase();
    settings = readSettings({ AIRLOOM_HOME: folder, DATABASE_URL: database.url });
    const url = databaseUrl(parseDatabaseUrl(database.url), database.name);
    settings = { ...settings, databaseUrls: { ...settings.databaseUrls, mlflow: url } };
  });
  after(async () => {
    await database?.drop();
    await rm(folder, { recursive: true, force: true });
  });

  it("goes into PostgreSQL once, whole, and new rows follow it", async () => {
    const file = path.join(folder, "mlflow/mlflow.db");
    const store = sqlAlchemyUrl(settings.databaseUrls.mlflow);
    const before = JSON.parse(await use(`sqlite:///${file}`, "fill", "show")) as { runs: unknown[]; metrics: unknown[]; champion: unknown[] };
    assert.deepEqual([before.runs.length, before.metrics.length, String(before.champion[0])], [4, 12, "2"]);
    const said: string[] = [];
    await takeOverMlflow(settings, (line) => said.push(line));
    assert.match(said.at(-1)!, /4 runs and 1 registered models are in PostgreSQL now; the old file is mlflow\.db\.taken-over/);
    assert.deepEqual(await readdir(path.dirname(file)), ["mlflow.db.taken-over"]);
    const [shown, version] = (await use(store, "show", "add")).split("\n");
    assert.deepEqual(JSON.parse(shown!), before);
    assert.equal(version, "3");

    // As if it had been killed between the copy and the renaming.
    await rename(`${file}.taken-over`, file);
    await takeOverMlflow(settings, () => undefined);
    const count = async () => withConnection(settings.databaseUrls.mlflow, async (pg) => (await pg.query("select count(*)::int as n from experiments")).rows);
    assert.deepEqual(await count(), [{ n: 3 }]);
    assert.deepEqual(await readdir(path.dirname(file)), ["mlflow.db.taken-over"]);

    // Another file's rows are not mixed in, and it stays where it is.
    await copyFile(`${file}.taken-over`, file);
    const change = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(\"update runs set name = 'other'\"); c.commit()";
    await execa(path.join(settings.root, ".venv/bin/python"), ["-c", change, file]);
    await assert.rejects(
      takeOverMlflow(settings, () => undefined),
      /PostgreSQL holds runs or models already, and rows are not mixed: move .*mlflow\.db away/,
    );
    assert.deepEqual((await readdir(path.dirname(file))).toSorted(), ["mlflow.db", "mlflow.db.taken-over"]);
  });
});
