"""Times the execution of compiled DAG files against the same DAGs written by hand, and counts the DAG versions of many parses.

    parse_dags.py FOLDER
"""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))


def by_hand(tasks: int) -> str:
    return f'''
from datetime import timedelta
from airflow.sdk import DAG, Param
from airflow.providers.standard.operators.python import PythonOperator

def start(count): return {{"n": count, "items": ["a"]}}
def step(n, items): return {{"n": n + 1, "items": items}}

with DAG("by_hand_{tasks}", description="DAG.", doc_md="DAG.", schedule=None, catchup=False, tags=["bench"],
         default_args={{"retries": 0, "retry_delay": timedelta(seconds=30)}},
         params={{"count": Param(3, type="number", minimum=1, description="How many.")}}):
    last = PythonOperator(task_id="start", python_callable=start, op_kwargs={{"count": "{{{{ params.count }}}}"}})
    for i in range(1, {tasks}):
        task = PythonOperator(task_id=f"step_{{i}}", python_callable=step, retries=1,
                              op_kwargs={{"n": f"{{{{{{{{ ti.xcom_pull(task_ids='step_{{i - 1}}')['n'] }}}}}}}}", "items": "x"}})
        last >> task
        last = task
'''


def run(code) -> float:
    started = time.perf_counter()
    exec(code, {"__name__": "bench"})
    return time.perf_counter() - started


def serialized_hash() -> str:
    from airflow.serialization.serialized_objects import DagSerialization

    namespace: dict = {"__name__": "bench"}
    exec(compile((folder / "ours_100.py").read_text(), str(folder / "ours_100.py"), "exec"), namespace)
    import gc

    dag = next(obj for obj in gc.get_objects() if type(obj).__name__ == "DAG" and getattr(obj, "dag_id", "") == "ours_100")
    data = DagSerialization.to_dict(dag)
    data["dag"].pop("fileloc", None)
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()


if len(sys.argv) > 2:
    print(serialized_hash())
    sys.exit()

for tasks in (1, 100, 1000):
    ours = compile((folder / f"ours_{tasks}.py").read_text(), "ours", "exec")
    theirs = compile(by_hand(tasks), "by_hand", "exec")
    rounds = 5 if tasks == 1000 else 40
    run(ours), run(theirs)
    pairs = [(run(ours), run(theirs)) for _ in range(rounds)]
    own, hand = (statistics.median(pair[i] for pair in pairs) * 1000 for i in (0, 1))
    print(f"Airflow executes a DAG file of {tasks:>5} tasks:                 {own:7.2f} ms, by hand {hand:7.2f} ms, ratio {own / hand:.2f}   (mark: 1.1)")

hashes = {serialized_hash() for _ in range(1000)}
for seed in range(5):
    env = {**os.environ, "PYTHONHASHSEED": str(seed)}
    hashes.add(subprocess.run([sys.executable, __file__, str(folder), "hash"], env=env, capture_output=True, text=True, check=True).stdout.split()[-1])
print(f"1,000 parses, and 5 in processes with other hash seeds:         {len(hashes)} DAG version   (mark: 1)")
