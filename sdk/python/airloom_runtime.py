"""Runs Airloom's Node tasks from Airflow: what the generated DAG files import.

Works on Airflow 2.11 and 3.x. The scheduler and the DAG processor only import it; Node is needed on workers alone.
"""

from __future__ import annotations

import importlib
import linecache
import logging
from datetime import datetime, timedelta, timezone
from typing import Any

from airloom_process import AirflowException, AirflowFailException, NodeProcess
from airloom_values import Expression, conf, item, jinja, plain, resolved, result, run, text, xcom, zipped

try:
    from airflow.sdk import DAG as AirflowDAG, BaseOperator, BaseSensorOperator, Param, TaskGroup
    from airflow.sdk.bases.sensor import PokeReturnValue
    from airflow.sdk.bases.skipmixin import SkipMixin
except ImportError:  # Airflow 2, and 3.0, where it is not there
    try:
        from airflow.sdk import DAG as AirflowDAG, BaseOperator, BaseSensorOperator, Param, TaskGroup
        from airflow.sdk.bases.sensor import PokeReturnValue
    except ImportError:
        from airflow import DAG as AirflowDAG
        from airflow.models import BaseOperator, Param
        from airflow.sensors.base import BaseSensorOperator, PokeReturnValue
        from airflow.utils.task_group import TaskGroup
    try:
        from airflow.models.skipmixin import SkipMixin
    except ImportError:
        from airflow.providers.standard.utils.skipmixin import SkipMixin

try:
    from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException
except ImportError:
    from airflow.exceptions import AirflowSensorTimeout, AirflowSkipException

# Tasks in it run through Airflow's coordinator where [sdk] queue_to_coordinator names one for it (airloom_coordinator.py).
NODE_QUEUE = "airloom-node"

__all__ = [
    "NODE_QUEUE",
    "DAG",
    "Expression",
    "Items",
    "NodeBranch",
    "NodeSensor",
    "NodeShortCircuit",
    "NodeTask",
    "Param",
    "TaskGroup",
    "WaitForTrigger",
    "conf",
    "datetime",
    "item",
    "jinja",
    "mapped_group",
    "node_callback",
    "result",
    "run",
    "text",
    "timedelta",
    "timezone",
    "xcom",
    "zipped",
]

# What few DAGs need is imported by those that do: every import is paid for at each parse of a DAG file.
ELSEWHERE = {
    **{name: ("airloom_assets",) for name in ("Asset", "AssetAlias", "AssetAll", "AssetAny")},
    **{name: ("airflow.sdk",) for name in ("AssetWatcher", "AsyncCallback", "DeadlineAlert", "DeadlineReference")},
    "Label": ("airflow.sdk", "airflow.utils.edgemodifier"),
    **{name: ("airloom_containers",) for name in ("NodeContainer", "NodePod")},
    "AssetOrTimeSchedule": ("airflow.sdk", "airflow.timetables.assets", "airloom_assets"),
    "CronDataIntervalTimetable": ("airflow.sdk", "airflow.timetables.interval"),
    "CronTriggerTimetable": ("airflow.sdk", "airflow.timetables.trigger"),
    "MultipleCronTriggerTimetable": ("airflow.sdk", "airflow.timetables.trigger"),
}


def __getattr__(name: str) -> Any:
    for place in ELSEWHERE.get(name, ()):
        try:
            return getattr(importlib.import_module(place), name)
        except (ImportError, AttributeError):
            continue
    raise AttributeError(f"this Airflow has no {name}; compile the DAG with --target for the version that you run")


class DAG(AirflowDAG):
    """Airflow's DAG. A mistake within it is reported with its place in TypeScript: Airflow shows only the end of a traceback."""

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        super().__exit__(kind, error, traceback)
        place = _place_in_typescript(traceback)
        if error is not None and place:
            raise AirflowException(f"{place}: {error}") from error


def _place_in_typescript(traceback: Any) -> str | None:
    """The comment of the line of a generated file in which something went wrong."""
    while traceback is not None:
        code, line = traceback.tb_frame.f_code, traceback.tb_lineno
        while code.co_name == "<module>" and line > 0:
            text = linecache.getline(code.co_filename, line)
            if "  # " in text and text.rstrip().rpartition(":")[2].isdigit():
                return text.rpartition("  # ")[2].strip()
            line -= 1
        traceback = traceback.tb_next
    return None


class _Rendered:
    """Values are put in as they are: text that looks like a Jinja template is only text."""

    def render_template(self, content: Any, context: Any, jinja_env: Any = None, seen_oids: Any = None) -> Any:
        return resolved(content, context)


class _NodeOperator(_Rendered):
    """What all tasks with a TypeScript function share."""

    # What a task is mapped over is resolved by Airflow before it runs.
    template_fields = ("inputs",)
    template_fields_renderers = {"inputs": "json"}

    def _set_up(self, bundle: str, inputs: dict | None, axes: list | None, each: tuple) -> None:
        self.bundle = bundle
        self.inputs = inputs or {}
        self.axes = axes or []
        self.each, self.each_2, self.each_3, self.each_4 = each

    def on_kill(self) -> None:
        if getattr(self, "_node", None):
            self._node.stop()

    def _given(self) -> dict:
        """The input: what stays the same, and what this instance is mapped over."""
        given = dict(self.inputs)
        for axis, value in zip(self.axes, (self.each, self.each_2, self.each_3, self.each_4)):
            given.update(plain(value) if axis is None else {axis: plain(value)})
        # The name of a mapped instance is rendered from these once it has run.
        self.inputs = given
        return given

    def _run(self, kind: str, context: Any) -> dict:
        given = self._given()
        self._node = NodeProcess(self.bundle, self.log, f"the task {self.task_id}", context)
        return self._settled(self._node.run({"taskId": self.task_id, "kind": kind, "input": given}))

    def _settled(self, outcome: dict) -> dict:
        """A skip or a failure as Airflow's exception; anything else as it is."""
        if outcome["type"] == "skipped":
            self.log.info("Skipped: %s", outcome["message"])
            raise AirflowSkipException(outcome["message"])
        if outcome["type"] == "failed":
            failure = AirflowFailException if outcome["terminal"] else AirflowException
            self.log.error("%s", outcome.get("stack") or outcome["message"])
            raise failure(outcome["message"])
        return outcome


class NodeTask(_NodeOperator, BaseOperator):
    """A task whose body is a function in a Node bundle."""

    def __init__(self, *, bundle, inputs=None, axes=None, each=None, each_2=None, each_3=None, each_4=None, **kwargs):
        super().__init__(**kwargs)
        self._set_up(bundle, inputs, axes, (each, each_2, each_3, each_4))

    def execute(self, context: Any) -> Any:
        return self._run("task", context).get("value")


def _skip_in_mapped_group(context: Any, task_ids: list) -> None:
    """Airflow itself skips nothing after a branch within a mapped group: it looks for the decision of an unmapped task."""
    ti, dag = context["ti"], context["task"].dag
    group = context["task"].get_closest_mapped_task_group()
    if group is None or ti.map_index < 0:
        return
    within = [task_id for task_id in task_ids if dag.get_task(task_id).get_closest_mapped_task_group() is group]
    if not within:
        return
    try:
        from airflow.sdk.exceptions import DownstreamTasksSkipped
    except ImportError:
        from airflow.exceptions import DownstreamTasksSkipped
    raise DownstreamTasksSkipped(tasks=[(task_id, ti.map_index) for task_id in within])


class NodeBranch(_NodeOperator, BaseOperator, SkipMixin):
    """A task that chooses which of its arms run; the first tasks of the others are skipped."""

    inherits_from_skipmixin = True

    def __init__(self, *, bundle, arms, inputs=None, axes=None, each=None, each_2=None, each_3=None, each_4=None, **kwargs):
        super().__init__(**kwargs)
        self.arms = arms
        self._set_up(bundle, inputs, axes, (each, each_2, each_3, each_4))

    def execute(self, context: Any) -> Any:
        keys = self._run("branch", context).get("value")
        wrong = [key for key in keys if key not in self.arms]
        if wrong:
            raise AirflowFailException(f"the branch {self.task_id} chose {wrong}; its arms are {list(self.arms)}")
        context["ti"].xcom_push(key="return_value", value=keys)
        chosen = [task_id for key in keys for task_id in self.arms[key]]
        self.skip_all_except(context["ti"], chosen)
        followed = {*chosen, *(after for task_id in chosen for after in self.dag.get_task(task_id).get_flat_relative_ids(upstream=False))}
        _skip_in_mapped_group(context, [task_id for task_id in self.downstream_task_ids if task_id not in followed])
        return keys


class NodeShortCircuit(_NodeOperator, BaseOperator, SkipMixin):
    """A task that skips all that comes after it unless its function returns true."""

    inherits_from_skipmixin = True

    def __init__(
        self, *, bundle, ignore_downstream_trigger_rules=True, inputs=None, axes=None, each=None, each_2=None, each_3=None, each_4=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.ignore_downstream_trigger_rules = ignore_downstream_trigger_rules
        self._set_up(bundle, inputs, axes, (each, each_2, each_3, each_4))

    def execute(self, context: Any) -> Any:
        goes_on = bool(self._run("shortCircuit", context).get("value"))
        ti, task = context["ti"], context["task"]
        if goes_on or not task.downstream_task_ids:
            return goes_on
        ti.xcom_push(key="return_value", value=goes_on)
        if self.ignore_downstream_trigger_rules:
            after = [t for t in task.get_flat_relatives(upstream=False) if not t.is_teardown]
        else:
            after = [t for t in task.get_direct_relatives(upstream=False) if not t.is_teardown]
        self.log.info("Goes no further: skipping %s", [t.task_id for t in after])
        self._skip(context, after)
        _skip_in_mapped_group(context, [t.task_id for t in after])
        return goes_on

    def _skip(self, context: Any, tasks: list) -> None:
        import inspect

        # Airflow 2 also wants the run.
        wanted = inspect.signature(self.skip).parameters
        given = {"ti": context["ti"], "dag_run": context.get("dag_run"), "execution_date": None, "tasks": tasks, "map_index": context["ti"].map_index}
        if "execution_date" in wanted:
            given["execution_date"] = context["dag_run"].execution_date
        self.skip(**{name: given[name] for name in wanted if name in given})


class NodeSensor(_NodeOperator, BaseSensorOperator):
    """A sensor whose look is a function in a Node bundle. Between two looks it holds no slot, unless it is told to poke."""

    def __init__(
        self, *, bundle, waiting="reschedule", inputs=None, axes=None, each=None, each_2=None, each_3=None, each_4=None, **kwargs
    ):
        super().__init__(mode="poke" if waiting == "poke" else "reschedule", **kwargs)
        self.waiting = waiting
        self._set_up(bundle, inputs, axes, (each, each_2, each_3, each_4))

    def execute(self, context: Any) -> Any:
        return self._look_or_defer(context, datetime.now(timezone.utc)) if self.waiting == "defer" else super().execute(context)

    def poke(self, context: Any) -> PokeReturnValue:
        outcome = self._run("sensor", context)
        if outcome["type"] == "pending":
            self.log.info("Not yet: %s", outcome["message"])
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=outcome.get("value"))

    def look_again(self, context: Any, since: str, event: Any = None) -> Any:
        return self._look_or_defer(context, datetime.fromisoformat(since))

    def _look_or_defer(self, context: Any, since: datetime) -> Any:
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger

        found = self.poke(context)
        if found.is_done:
            return found.xcom_value
        now = datetime.now(timezone.utc)
        if (now - since).total_seconds() > self.timeout:
            message = f"The sensor waited for more than {self.timeout} s"
            raise AirflowSkipException(message) if self.soft_fail else AirflowSensorTimeout(message)
        pause = self.poke_interval if isinstance(self.poke_interval, timedelta) else timedelta(seconds=self.poke_interval)
        self.defer(trigger=DateTimeTrigger(moment=now + pause), method_name="look_again", kwargs={"since": since.isoformat()})


class Items(_Rendered, BaseOperator):
    """Gives a list that a later task is mapped over; runs without Node."""

    template_fields = ("values",)

    def __init__(self, *, values: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.values = values

    def execute(self, context: Any) -> list:
        if not isinstance(self.values, list):
            raise AirflowFailException(f"{self.task_id} got {type(self.values).__name__}, not a list: a task is mapped over lists")
        return self.values


class WaitForTrigger(_Rendered, BaseOperator):
    """Waits for a trigger in the triggerer, holding no slot; its result is the trigger's event."""

    template_fields = ("trigger_args",)

    def __init__(self, *, trigger_class: str, trigger_args: dict | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.trigger_class = trigger_class
        self.trigger_args = trigger_args or {}

    def execute(self, context: Any) -> None:
        module, _, name = self.trigger_class.rpartition(".")
        self.defer(trigger=getattr(importlib.import_module(module), name)(**self.trigger_args), method_name="execute_complete")

    def execute_complete(self, context: Any, event: Any = None) -> Any:
        if isinstance(event, dict) and event.get("status") in ("error", "failed", "timeout"):
            raise AirflowException(f"the trigger ended with {event}")
        return event.isoformat() if hasattr(event, "isoformat") else event


class node_callback:
    """A callback whose body is a TypeScript function of the bundle. Its own failure is only logged."""

    def __init__(self, bundle: str, task_id: str | None, event: str, index: int):
        self.bundle, self.task_id, self.event, self.index = bundle, task_id, event, index
        self.__name__ = f"{task_id or 'dag'}_{event}_{index}"

    def __call__(self, context: Any) -> None:
        log = logging.getLogger("airflow.task")
        error = context.get("exception") or context.get("reason")
        ti = context.get("ti")
        state = getattr(ti, "state", None) if self.task_id else getattr(context.get("dag_run"), "state", None)
        start = {
            "taskId": self.task_id or "",
            "kind": "callback",
            "input": {
                "event": self.event,
                "index": self.index,
                "state": str(getattr(state, "value", None) or state or self.event),
                "error": None if error is None else str(error),
            },
        }
        try:
            outcome = NodeProcess(self.bundle, log, f"the {self.event} callback of {self.task_id or 'the DAG'}", context).run(start)
            if outcome["type"] == "failed":
                log.error("The %s callback failed: %s", self.event, outcome.get("stack") or outcome["message"])
        except Exception:
            log.exception("The %s callback of %s failed", self.event, self.task_id or "the DAG")


def mapped_group(group_id: str, over: Any, **kwargs: Any) -> TaskGroup:
    """A task group that runs once for each element of `over`; item(group_id) is the element."""
    try:
        from airflow.sdk.definitions._internal.expandinput import DictOfListsExpandInput
        from airflow.sdk.definitions.taskgroup import MappedTaskGroup
    except ImportError:  # Airflow 2
        from airflow.models.expandinput import DictOfListsExpandInput
        from airflow.utils.task_group import MappedTaskGroup
    return MappedTaskGroup(group_id=group_id, expand_input=DictOfListsExpandInput({"item": over}), **kwargs)
