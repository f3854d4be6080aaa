"""Prints every run of an Airflow's SQLite database as JSON: its state, and the state, tries and XComs of its task instances."""

import json
import sqlite3
import sys

database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=60)
runs: dict = {}
for dag_id, state in database.execute("select dag_id, state from dag_run"):
    runs[dag_id] = {"state": state, "instances": {}}


def name(task_id: str, map_index: int) -> str:
    return task_id if map_index < 0 else f"{task_id}[{map_index}]"


columns = {row[1] for row in database.execute("pragma table_info(task_instance)")}
# Airflow 3.4 keeps them in another way.
index = "map_index" if "map_index" in columns else "region_index"
for dag_id, task_id, map_index, state, tries in database.execute(f"select dag_id, task_id, {index}, state, try_number from task_instance"):
    if dag_id in runs:
        runs[dag_id]["instances"][name(task_id, map_index)] = {"state": state or "none", "tries": tries, "xcoms": {}}
xcoms = (
    "select dag_id, task_id, map_index, key, value from xcom"
    if "map_index" in columns
    else "select t.dag_id, t.task_id, t.region_index, x.key, x.value from xcom_v2 x join task_instance t on t.id = x.task_instance_id"
)
for dag_id, task_id, map_index, key, value in database.execute(xcoms):
    instance = runs.get(dag_id, {}).get("instances", {}).get(name(task_id, map_index))
    if instance is not None and key != "skipmixin_key":
        instance["xcoms"][key] = json.loads(value) if isinstance(value, (str, bytes)) else value
print(json.dumps(runs))
