"""Assets (Airflow 2: datasets) and their events."""

from __future__ import annotations

from typing import Any

try:
    from airflow.sdk import Asset, AssetAlias, AssetAll, AssetAny
except ImportError:  # Airflow 2
    from airflow.datasets import Dataset, DatasetAlias as AssetAlias, DatasetAll as AssetAll, DatasetAny as AssetAny

    def Asset(name: str, uri: str | None = None, group: str | None = None, extra: dict | None = None) -> Dataset:
        return Dataset(uri or name, extra)

    def AssetOrTimeSchedule(timetable: Any, assets: Any) -> Any:
        from airflow.timetables.datasets import DatasetOrTimeSchedule

        return DatasetOrTimeSchedule(timetable=timetable, datasets=assets)


def answer(name: str, args: dict, context: Any) -> Any:
    """What a task asks about assets."""
    if name == "emit":
        return _emit(args, context["outlet_events"])
    if name == "triggeringEvents":
        found = context.get("triggering_asset_events") or context.get("triggering_dataset_events") or {}
        return {_name(key): [_event(event) for event in found[key]] for key in found}
    if name == "inletEvents":
        return [_event(event) for event in context["inlet_events"][_asset(args["inlet"])]]
    raise ValueError(f"unknown request {name}")


def _emit(args: dict, outlet_events: Any) -> None:
    outlet = args["outlet"]
    if outlet["kind"] == "alias":
        outlet_events[AssetAlias(outlet["name"])].add(_asset(args["to"]), extra=args.get("extra") or {})
    else:
        outlet_events[_asset(outlet)].extra = args.get("extra") or {}


def _asset(given: dict) -> Any:
    if given["kind"] == "alias":
        return AssetAlias(given["name"])
    return Asset(given["name"], uri=given.get("uri")) if given.get("uri") else Asset(given["name"])


def _name(key: Any) -> str:
    return getattr(key, "name", None) or getattr(key, "uri", None) or str(key)


def _event(event: Any) -> dict:
    asset = getattr(event, "asset", None) or getattr(event, "dataset", None)
    task_id = getattr(event, "source_task_id", None)
    timestamp = getattr(event, "timestamp", None)
    return {
        "asset": _name(asset),
        "uri": getattr(asset, "uri", None) or getattr(event, "uri", "") or "",
        "extra": dict(event.extra or {}),
        "source": {"dagId": event.source_dag_id, "taskId": task_id, "runId": event.source_run_id} if task_id else None,
        "timestamp": timestamp.isoformat() if timestamp else "",
    }
