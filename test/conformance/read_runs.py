"""Prints every run of the Airflow in the PostgreSQL at DATABASE_URL as JSON: its state, and the state, tries and XComs of its task instances."""

import json
import os

import psycopg2

database = psycopg2.connect(os.environ["DATABASE_URL"])
database.set_session(readonly=True, isolation_level="REPEATABLE READ")


def rows(statement: str) -> list[tuple]:
    with database.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


runs: dict = {}
for dag_id, state in rows("select dag_id, state from dag_run"):
    runs[dag_id] = {"state": state, "instances": {}}


def name(task_id: str, map_index: int) -> str:
    return task_id if map_index < 0 else f"{task_id}[{map_index}]"


columns = {name for (name,) in rows("select column_name from information_schema.columns where table_name = 'task_instance'")}
# Airflow 3.4 keeps them in another way.
index = "map_index" if "map_index" in columns else "region_index"
for dag_id, task_id, map_index, state, tries in rows(f"select dag_id, task_id, {index}, state, try_number from task_instance"):
    if dag_id in runs:
        runs[dag_id]["instances"][name(task_id, map_index)] = {"state": state or "none", "tries": tries, "xcoms": {}}
xcoms = (
    "select dag_id, task_id, map_index, key, value from xcom"
    if "map_index" in columns
    else "select t.dag_id, t.task_id, t.region_index, x.key, x.value from xcom_v2 x join task_instance t on t.id = x.task_instance_id"
)
for dag_id, task_id, map_index, key, value in rows(xcoms):
    instance = runs.get(dag_id, {}).get("instances", {}).get(name(task_id, map_index))
    if instance is not None and key != "skipmixin_key":
        instance["xcoms"][key] = value
print(json.dumps(runs))
