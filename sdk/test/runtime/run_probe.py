"""Runs the probe DAG in this process with a real Airflow, and prints states and results as one line of JSON."""

import json
import sys

sys.path.append(sys.argv[1])
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db  # noqa: E402
from airflow.models.dagbundle import DagBundleModel  # noqa: E402
from airflow.models.dagrun import DagRun  # noqa: E402
from airflow.models.taskinstance import TaskInstance  # noqa: E402
from airflow.models.xcom import XComModel  # noqa: E402
from airflow.utils import timezone  # noqa: E402
from airflow.utils.session import create_session  # noqa: E402

conf = json.loads(sys.argv[2])
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
with create_session() as session:
    session.merge(DagBundleModel(name="dags-folder"))
sync_bag_to_db(bag, "dags-folder", None)
for run_id, state in {"is_queued": "queued", "has_failed": "failed", "was_deleted": "running"}.items():
    with create_session() as session:
        now = timezone.utcnow()
        # A test may run this several times on one database.
        session.query(DagRun).filter_by(dag_id="probe", run_id=run_id).delete()
        session.add(DagRun(dag_id="probe", run_id=run_id, run_type="manual", state=state, run_after=now, start_date=now))
with create_session() as session:
    session.query(DagRun).filter_by(run_id="was_deleted").delete()
run = bag.dags["probe"].test(run_conf=conf)
with create_session() as session:
    states = {ti.task_id: {"state": str(ti.state), "tries": ti.try_number} for ti in session.query(TaskInstance).filter_by(run_id=run.run_id)}
    xcoms = {f"{x.task_id}.{x.key}": XComModel.deserialize_value(x) for x in session.query(XComModel).filter_by(run_id=run.run_id)}
print("RESULT " + json.dumps({"states": states, "xcoms": xcoms}))
