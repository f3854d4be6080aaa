"""What the DAGs written by hand import: the same names from Airflow 2.11 and 3.x."""

from datetime import datetime, timedelta, timezone  # noqa: F401

try:
    from airflow.sdk import DAG, Asset, AssetAlias, Label, Param, TaskGroup, chain, cross_downstream, task, task_group  # noqa: F401
    from airflow.sdk.bases.sensor import PokeReturnValue  # noqa: F401
    from airflow.sdk.timezone import parse  # noqa: F401
except ImportError:
    from airflow import DAG  # noqa: F401
    from airflow.datasets import Dataset as Asset, DatasetAlias as AssetAlias  # noqa: F401
    from airflow.decorators import task, task_group  # noqa: F401
    from airflow.models import Param  # noqa: F401
    from airflow.models.baseoperator import chain, cross_downstream  # noqa: F401
    from airflow.sensors.base import PokeReturnValue  # noqa: F401
    from airflow.utils.edgemodifier import Label  # noqa: F401
    from airflow.utils.task_group import TaskGroup  # noqa: F401

try:
    from airflow.sdk import CronDataIntervalTimetable, CronTriggerTimetable  # noqa: F401
except ImportError:
    from airflow.timetables.interval import CronDataIntervalTimetable  # noqa: F401
    from airflow.timetables.trigger import CronTriggerTimetable  # noqa: F401

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
DEFAULTS = {"retries": 0, "retry_delay": timedelta(seconds=30)}
