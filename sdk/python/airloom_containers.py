"""Runs a Node task in a container or a Kubernetes pod, by the operators of Airflow's Docker and Kubernetes providers.

The image holds Node and the folder of compiled DAGs. A task there has its input and gives its result; Variables, Connections and
XComs of others are Airflow's, and out of its reach.
"""

from __future__ import annotations

import json
from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.docker.operators.docker import DockerOperator

from airloom_process import AirflowException, NodeProcess
from airloom_runtime import _NodeOperator

# What Node writes before its outcome; everything else on its output is the task's own.
MARK = "AIRLOOM_OUTCOME "
# Where the pod operator looks for a result.
RESULT_FILE = "/airflow/xcom/return.json"


class _Elsewhere(_NodeOperator):
    """What both share: the start message as an environment variable, and the outcome that comes back."""

    def on_kill(self) -> None:
        # The provider's operator ends its container or pod.
        super(_NodeOperator, self).on_kill()

    def _start(self, context: Any) -> str:
        run = NodeProcess(self.bundle, self.log, self.task_id, context)._run_info()
        return json.dumps({"type": "start", "taskId": self.task_id, "kind": "task", "input": self._given(), "run": run})


class NodeContainer(_Elsewhere, DockerOperator):
    """A task whose function runs in a container of an image."""

    template_fields = ("inputs", *DockerOperator.template_fields)

    def __init__(
        self, *, bundle, image, folder="/airloom", inputs=None, axes=None, each=None, each_2=None, each_3=None, each_4=None, **kwargs
    ):
        super().__init__(image=image, command=["node", "--enable-source-maps", f"{folder}/{bundle}"], xcom_all=True, **kwargs)
        self._set_up(bundle, inputs, axes, (each, each_2, each_3, each_4))

    def execute(self, context: Any) -> Any:
        self.environment = {**self.environment, "AIRLOOM_START": self._start(context)}
        lines = super().execute(context) or []
        found = [line for line in lines if line.startswith(MARK)]
        if not found:
            raise AirflowException(f"the container of {self.task_id} ended before it had a result; its output is above")
        return self._settled(json.loads(found[-1][len(MARK) :])).get("value")


class NodePod(_Elsewhere, KubernetesPodOperator):
    """A task whose function runs in a Kubernetes pod of an image."""

    template_fields = ("inputs", *KubernetesPodOperator.template_fields)

    def __init__(
        self, *, bundle, image, folder="/airloom", inputs=None, axes=None, each=None, each_2=None, each_3=None, each_4=None, **kwargs
    ):
        command = ["node", "--enable-source-maps", f"{folder}/{bundle}"]
        super().__init__(image=image, cmds=command, do_xcom_push=True, **kwargs)
        self._set_up(bundle, inputs, axes, (each, each_2, each_3, each_4))

    def execute(self, context: Any) -> Any:
        from kubernetes.client import models

        own = {"AIRLOOM_START": self._start(context), "AIRLOOM_OUTCOME_FILE": RESULT_FILE}
        self.env_vars = [*(self.env_vars or []), *(models.V1EnvVar(name=name, value=value) for name, value in own.items())]
        outcome = super().execute(context)
        if not isinstance(outcome, dict) or "type" not in outcome:
            raise AirflowException(f"the pod of {self.task_id} ended before it had a result; its output is above")
        return self._settled(outcome).get("value")
