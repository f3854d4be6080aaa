"""Runs Airloom's Node tasks through Airflow's own coordinator (3.3 and newer), without a Python process for each task.

    [sdk]
    coordinators = {"airloom": {"classpath": "airloom_coordinator.NodeCoordinator"}}
    queue_to_coordinator = {"airloom-node": "airloom"}

The folder of this file must be on PYTHONPATH of the scheduler (LocalExecutor) or the workers.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import attrs
from airflow.sdk.coordinators._subprocess import SubprocessCoordinator

HERE = Path(__file__).resolve().parent
# The version of the supervisor's messages that the bundles speak.
SCHEMA_VERSION = "2026-06-16"


@attrs.define(kw_only=True)
class NodeCoordinator(SubprocessCoordinator):
    """Starts a DAG's bundle with Node for each of its tasks.

    :param folder: where the compiled DAGs are; the folder of this file by default.
    :param node: the path of Node; AIRLOOM_NODE, or what the PATH has, by default.
    """

    folder: str | None = None
    node: str | None = None

    def _build_execute_task_command(self, *, what):
        node = self.node or os.environ.get("AIRLOOM_NODE") or shutil.which("node")
        if not node:
            raise FileNotFoundError("Node was not found on this worker: install Node 20.19 or newer, or set AIRLOOM_NODE to its path")
        bundle = Path(self.folder or HERE) / f"{what.dag_id}.mjs"
        if not bundle.is_file():
            raise FileNotFoundError(f"{bundle} is missing on this worker: run compile-dags, and copy the whole folder")
        return [node, "--enable-source-maps", str(bundle)], SCHEMA_VERSION
