"""How other runs of DAGs stand."""

from __future__ import annotations

from typing import Any


def run_state(dag_id: str, run_id: str) -> str | None:
    """A run's state, None if there is no such run. Raises where Airflow cannot say: that must not look as if the run were gone."""
    try:
        from airflow.sdk.execution_time import task_runner
        from airflow.sdk.execution_time.comms import GetDagRunState
    except ImportError:  # Airflow 2
        from airflow.models import DagRun

        found = DagRun.find(dag_id=dag_id, run_id=run_id)
        return _text(found[0].state) if found else None
    comms = task_runner.SUPERVISOR_COMMS
    _check_answers(comms)
    try:
        return _text(comms.send(GetDagRunState(dag_id=dag_id, run_id=run_id)).state)
    except Exception as error:
        if _says_not_found(error):
            return None
        raise


def _text(state: Any) -> str:
    return str(getattr(state, "value", state))


def _check_answers(comms: Any) -> None:
    """Refuses where the question would never be answered: the DAG processor, where callbacks of DAGs run, knows no such message."""
    decoder = getattr(comms, "body_decoder", None)
    if decoder is None:
        return
    try:
        decoder.validate_python({"type": "DagRunStateResult", "state": "running"})
    except ValueError:
        raise RuntimeError("Airflow does not say how runs stand to a callback that runs in the DAG processor") from None


def _says_not_found(error: Exception) -> bool:
    """Whether the API server looked and found nothing; a 404 alone may be one for the address."""
    answer = getattr(error, "error", None)
    if answer is not None:  # AirflowRuntimeError, from the supervisor
        kind, detail = _text(answer.error), answer.detail or {}
        status, body = detail.get("status_code"), detail.get("detail")
        if kind == "DAGRUN_NOT_FOUND":
            return True
    else:  # ServerResponseError, in `airflow dags test`, where there is no supervisor between
        response = getattr(error, "response", None)
        status, body = getattr(response, "status_code", None), {"detail": getattr(error, "detail", None)}
    reason = body.get("detail") if isinstance(body, dict) else None
    return status == 404 and isinstance(reason, dict) and reason.get("reason") == "not_found"
