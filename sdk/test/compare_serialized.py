"""Compares what a real Airflow makes of compiled DAGs and of the same DAGs written by hand:

    compare_serialized.py EXAMPLES_FOLDER COMPILED_FOLDER VERSION [NAME…]

Prints one line of JSON: for each example its differences, [] for none, or why it was left out. Only what says *which* code a
task runs may differ (its class, its arguments); all else that Airflow's scheduler, API and UI read must be the same.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

try:
    from airflow.serialization.serialized_objects import DagSerialization

    to_dict = DagSerialization.to_dict
except ImportError:
    from airflow.serialization.serialized_objects import SerializedDAG

    to_dict = SerializedDAG.to_dict

# What says which code runs, and how it looks in the graph.
CODE = {
    "_task_type", "task_type", "_task_module", "_operator_name", "template_fields", "template_fields_renderers", "template_ext", "ui_color", "ui_fgcolor",
    "_operator_extra_links", "operator_extra_links", "inputs", "each", "each_2", "each_3", "each_4", "values", "trigger_args", "op_args", "op_kwargs",
    "python_callable_name", "templates_dict", "command", "cmds", "arguments", "environment", "env_vars", "is_setup_defaults", "_is_sensor", "is_sensor", "language", "_logger_name",
}  # fmt: skip
FILE = {"fileloc", "relative_fileloc", "_processor_dags_folder"}
# Airflow 2 keeps the source of a callback; that there is one is compared apart.
CALLBACKS = {f"on_{event}_callback" for event in ("execute", "success", "failure", "retry", "skipped")}
OURS = {"NodeTask", "NodeSensor", "NodeBranch", "NodeShortCircuit", "Items", "WaitForTrigger", "NodeContainer", "NodePod"}
# An expression of ours and a Jinja template mean the same: both are resolved when the task runs.
RESOLVED = {"env": 1, "conf": 1}


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.parent.name.replace("-", "_") + "_" + path.stem.replace("-", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    from_module = [value for value in vars(module).values() if type(value).__name__ == "DAG" and hasattr(value, "dag_id")]
    if from_module:
        return from_module[0]
    # `with DAG(…):` keeps no name; Airflow's own way to find such a DAG differs by version.
    import gc

    name = path.parent.name.replace("-", "_") if path.name == "by-hand.py" else path.stem
    return next(obj for obj in gc.get_objects() if type(obj).__name__ == "DAG" and getattr(obj, "dag_id", "") == name and made_in(obj, path))


def made_in(dag: Any, path: Path) -> bool:
    return Path(dag.fileloc).resolve() == path.resolve()


def plain(value: Any) -> Any:
    """Sets and Airflow's encodings as values that compare."""
    if isinstance(value, dict):
        if set(value) == {"__type", "__var"}:
            inner = plain(value["__var"])
            return sorted(inner, key=str) if value["__type"] in ("set", "tuple") and isinstance(inner, list) else inner
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value


def task_facts(task: dict, by_hand: bool) -> dict:
    task = plain(task)
    ours = (task.get("task_type") or task.get("_task_type")) in OURS or (by_hand and ".decorators." in task.get("_task_module", ""))
    facts = {key: value for key, value in task.items() if not (ours and key in CODE) and key not in CALLBACKS and value not in ({}, [])}
    if ours:
        # A sensor of ours is one of Airflow's: it says so by its mode and times.
        facts.pop("inherits_from_skipmixin", None)
    # @task keeps what it is mapped over beside its arguments, under another name.
    if "op_kwargs_expand_input" in facts:
        facts["expand_input"] = facts.pop("op_kwargs_expand_input")
    if "partial_kwargs" in facts:
        facts["partial_kwargs"] = {
            key: value
            for key, value in facts["partial_kwargs"].items()
            if key not in CODE | CALLBACKS | {"bundle", "axes", "arms", "python_callable", "multiple_outputs", "task_group", "dag", "default_args"} and value not in (None, False, {}, [])
        }
    if "expand_input" in facts and ours:
        given = facts["expand_input"]
        lists = given["value"]
        # The inputs' names are our code's; what they go over is Airflow's.
        facts["expand_input"] = {"type": given["type"], "value": sorted(json.dumps(v, sort_keys=True) for v in lists.values())}
        facts.pop("_expand_input_attr", None)
        facts.pop("_disallow_kwargs_override", None)
    for key in RESOLVED:
        if key in facts:
            facts[key] = "resolved at run time"
    return facts


def facts_of(dag: Any, by_hand: bool) -> dict:
    data = to_dict(dag)["dag"]
    facts = {key: plain(value) for key, value in data.items() if key not in FILE | {"tasks"}}
    tasks = [task.get("__var", task) for task in data["tasks"]]
    # A callback of ours is one function, whatever it is called; how many there are counts.
    facts["tasks"] = {task.get("task_id") or plain(task)["task_id"]: task_facts(task, by_hand) for task in tasks}
    callbacks = {}
    for task_id in dag.task_ids:
        task = dag.get_task(task_id)
        for event in ("execute", "success", "failure", "retry", "skipped"):
            found = getattr(task, f"on_{event}_callback", None)
            if found:
                callbacks[f"{task_id}.{event}"] = len(found) if isinstance(found, (list, tuple)) else 1
    facts["callbacks"] = callbacks
    return facts


def differences(ours: Any, theirs: Any, path: str = "") -> list[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = sorted(set(ours) | set(theirs))
        return [d for key in keys for d in differences(ours.get(key, "—"), theirs.get(key, "—"), f"{path}.{key}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [d for i, pair in enumerate(zip(ours, theirs)) for d in differences(*pair, f"{path}[{i}]")]
    return [] if ours == theirs else [f"{path}: compiled {json.dumps(ours, default=str)}, by hand {json.dumps(theirs, default=str)}"]


def main() -> None:
    examples, compiled, version, *names = sys.argv[1:]
    sys.path[:0] = [examples, compiled]
    providers = "--providers" in names
    result: dict[str, Any] = {}
    for folder in sorted(Path(examples).iterdir()):
        if not folder.is_dir() or folder.name.startswith("_"):
            continue
        by_hand = folder / "by-hand.py"
        first = by_hand.read_text().split("\n", 1)[0]
        need = first.removeprefix("# needs ") if first.startswith("# needs ") else "2.11"
        if need == "providers" and not providers:
            result[folder.name] = "needs providers"
            continue
        if need != "providers" and tuple(map(int, version.split("."))) < tuple(map(int, need.split("."))):
            result[folder.name] = f"needs {need}"
            continue
        try:
            theirs = facts_of(load(by_hand), True)
            ours = facts_of(load(Path(compiled) / f"{folder.name.replace('-', '_')}.py"), False)
            result[folder.name] = differences(ours, theirs)
        except Exception as error:
            import traceback

            result[folder.name] = [f"{type(error).__name__}: {error}", traceback.format_exc()[-300:]]
    sys.stdout.flush()
    os.write(1, ("\n" + json.dumps(result) + "\n").encode())


main()
