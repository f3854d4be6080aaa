"""Values that are known only when a DAG runs. Airflow resolves them in the template fields of any operator."""

from __future__ import annotations

import json
from datetime import timezone
from typing import Any

try:
    from airflow.sdk.definitions._internal.mixins import ResolveMixin
    from airflow.sdk.definitions.xcom_arg import XComArg
except ImportError:  # Airflow 2
    from airflow.models.xcom_arg import XComArg
    from airflow.utils.mixins import ResolveMixin

try:
    from airflow.sdk.exceptions import AirflowFailException
except ImportError:
    from airflow.exceptions import AirflowFailException


class Expression(ResolveMixin):
    """A value that is known only when the DAG runs."""

    def __init__(self, *parts: Any):
        self.parts = parts

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.parts))})"

    def iter_references(self) -> Any:
        # What comes before a task is written out in the DAG file.
        return iter(())

    def resolve(self, context: Any, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


class conf(Expression):
    """What the person who triggered the run chose: conf("labels", 0)."""

    def resolve(self, context: Any, *_: Any, **__: Any) -> Any:
        return walk(dict(context["params"]), self.parts, "the run's conf")


class result(Expression):
    """A task's result or a part of it: result("ingest_images", "id"). Of a mapped task: the list of its results."""

    key = "return_value"

    def resolve(self, context: Any, *_: Any, **__: Any) -> Any:
        task_id, *path = self.parts
        operator = context["task"].dag.get_task(task_id)
        try:
            value = _collected(operator, self.key, context)
            value = XComArg(operator, self.key).resolve(context) if value is None else value
        except Exception as error:
            if type(error).__name__ != "XComNotFound":
                raise
            value = None
        return None if value is None else walk(plain(value), path, f"the result of {task_id}")


def _collected(operator: Any, key: str, context: Any) -> list | None:
    """What the instances of a mapped group's task pushed, for a task outside the group; None for any other task.

    Airflow itself gives nothing at all where one of them pushed nothing; of a mapped task it gives what there is.
    """
    group = operator.get_closest_mapped_task_group()
    if group is None or context["task"].get_closest_mapped_task_group() is group:
        return None
    try:
        from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence
    except ImportError:  # Airflow 2
        return None
    return list(LazyXComSequence(xcom_arg=XComArg(operator, key), ti=context["ti"]))


class xcom(result):
    """What a task pushed under a key of its own: xcom("train", "epochs")."""

    def resolve(self, context: Any, *_: Any, **__: Any) -> Any:
        task_id, key, *path = self.parts
        found = result(task_id, *path)
        found.key = key
        return found.resolve(context)


class run(Expression):
    """Something of the run itself: run("logicalDate")."""

    def resolve(self, context: Any, *_: Any, **__: Any) -> Any:
        return walk(run_values(context), self.parts, "the run")


class item(Expression):
    """The element that a mapped group stands for: item("per_image", "sha256")."""

    def resolve(self, context: Any, *_: Any, **__: Any) -> Any:
        group_id, *path = self.parts
        group = context["task"].dag.task_group_dict[group_id]
        given = group._expand_input.resolve(context)
        # Airflow 2 and 3 both give the values with something beside them.
        values = given[0] if isinstance(given, tuple) else given
        return walk(plain(values["item"]), path, f"the element of {group_id}")


class jinja(Expression):
    """Text that Airflow renders. All other text stays as it is."""

    def resolve(self, context: Any, *_: Any, **__: Any) -> Any:
        return context["task"].get_template_env().from_string(self.parts[0]).render(**context)


class text(Expression):
    """Text with other values in it."""

    def resolve(self, context: Any, *_: Any, **__: Any) -> Any:
        return "".join(as_text(resolved(part, context)) for part in self.parts)


class zipped(Expression):
    """Lists side by side, one dictionary for each index, as long as the shortest: zipped({"a": …, "b": …})."""

    def resolve(self, context: Any, *_: Any, **__: Any) -> Any:
        lists = resolved(self.parts[0], context)
        for name, values in lists.items():
            if not isinstance(values, list):
                raise AirflowFailException(f"{name} is {type(values).__name__}, not a list: a task is mapped over lists")
        return [dict(zip(lists, values)) for values in zip(*lists.values())]


def run_values(context: Any) -> dict:
    dag_run = context.get("dag_run")
    moments = {
        "logicalDate": context.get("logical_date"),
        "dataIntervalStart": context.get("data_interval_start"),
        "dataIntervalEnd": context.get("data_interval_end"),
    }
    iso = {name: moment.isoformat() if moment else None for name, moment in moments.items()}
    run_type = getattr(dag_run, "run_type", "manual")
    dag = context.get("dag")
    return {
        "id": context.get("run_id") or getattr(dag_run, "run_id", ""),
        **iso,
        "ds": moments["logicalDate"].strftime("%Y-%m-%d") if moments["logicalDate"] else None,
        "type": str(getattr(run_type, "value", run_type)),
        "dagId": getattr(dag_run, "dag_id", None) or getattr(dag, "dag_id", ""),
    }


def iso_ms(moment: Any) -> str | None:
    """A moment in UTC and milliseconds, the same text as the coordinator's tasks have."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds") if moment else None


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def plain(value: Any) -> Any:
    """Airflow gives the results of a mapped task as a sequence that reads from its database."""
    if value is None or isinstance(value, (str, bytes, dict, list, int, float, bool)):
        return value
    if hasattr(value, "__iter__") and hasattr(value, "__getitem__"):
        return list(value)
    return value


def walk(value: Any, path: Any, what: str) -> Any:
    for i, part in enumerate(path):
        if value is None and i > 0:
            return None
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            place = ".".join(str(p) for p in path[: i + 1])
            raise AirflowFailException(f"{what} has no {place}") from None
    return value


def resolved(value: Any, context: Any) -> Any:
    if isinstance(value, Expression):
        return value.resolve(context)
    if isinstance(value, dict):
        return {key: resolved(part, context) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolved(part, context) for part in value]
    if isinstance(value, ResolveMixin):
        return plain(value.resolve(context))
    return value
