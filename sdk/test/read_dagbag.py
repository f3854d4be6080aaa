"""Prints what a real Airflow makes of a folder of DAG files, as one line of JSON."""

import json
import sys

from airflow.dag_processing.dagbag import DagBag


def seconds(delta):
    return None if delta is None else delta.total_seconds()


sys.path.append(sys.argv[1])
bag = DagBag(sys.argv[1])
dags = {}
for dag_id, dag in bag.dags.items():
    dags[dag_id] = {
        "params": {name: dag.params[name] if name != "needed" else None for name in dag.params},
        "schedule": dag.schedule,
        "edges": sorted([a, b] for a, task in dag.task_dict.items() for b in task.downstream_task_ids),
        "tasks": {
            task_id: {
                "retries": task.retries,
                "retry_delay": seconds(task.retry_delay),
                "timeout": seconds(task.execution_timeout),
                "trigger_rule": str(getattr(task.trigger_rule, "value", task.trigger_rule)),
                "pool": task.pool,
                "kind": type(task).__name__,
            }
            for task_id, task in dag.task_dict.items()
        },
    }
print(json.dumps({"errors": bag.import_errors, "dags": dags}))
