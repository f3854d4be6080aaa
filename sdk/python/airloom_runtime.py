"""Runs Airloom's Node tasks from Airflow: the operators, and the values that are known only when a DAG runs.

Works on Airflow 2.11 and 3.x. The scheduler and the DAG processor only import it; Node is needed on workers alone.
A task's Node process talks to its operator in lines of JSON over an inherited socket; stdout and stderr stay the user's.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

try:
    from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, Connection, Param, Variable
    from airflow.sdk.bases.sensor import PokeReturnValue
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models import BaseOperator, Connection, Param, Variable
    from airflow.sensors.base import BaseSensorOperator, PokeReturnValue

try:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
except ImportError:
    from airflow.exceptions import AirflowException, AirflowFailException, AirflowSkipException

try:
    from airflow.sdk.log import mask_secret
except ImportError:
    from airflow.utils.log.secrets_masker import mask_secret

__all__ = ["DAG", "NodeSensor", "NodeTask", "Param", "conf", "datetime", "result", "text", "timedelta", "timezone"]

HERE = Path(__file__).resolve().parent
# A line longer than this is not a message of ours: it would only fill the worker's memory.
MAX_LINE_BYTES = 64 * 1024 * 1024
# What Node gets between SIGTERM and SIGKILL.
GRACE_SECONDS = 4.0
LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40}
# Airflow's own secrets are no business of a task's: it asks for connections and variables over the socket.
HIDDEN_ENVIRONMENT = ("AIRFLOW_", "_AIRFLOW", "POSTGRES_", "DATABASE_URL", "LABELER_", "CVAT_")


class Expression:
    """A value that is known only when the DAG runs."""

    def __init__(self, *parts: Any):
        self.parts = parts

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self.parts!r}"


class conf(Expression):
    """What the person who triggered the run chose: conf("labels", 0)."""

    def resolve(self, context: Any) -> Any:
        return _walk(dict(context["params"]), self.parts, "the run's conf")


class result(Expression):
    """A task's result or a part of it: result("ingest_images", "id")."""

    def resolve(self, context: Any) -> Any:
        task_id, *path = self.parts
        value = context["ti"].xcom_pull(task_ids=task_id)
        return None if value is None else _walk(value, path, f"the result of {task_id}")


class text(Expression):
    """Text with other values in it."""

    def resolve(self, context: Any) -> Any:
        return "".join(_as_text(_resolve(part, context)) for part in self.parts)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _walk(value: Any, path: Any, what: str) -> Any:
    for i, part in enumerate(path):
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            place = ".".join(str(p) for p in path[: i + 1])
            raise AirflowFailException(f"{what} has no {place}") from None
    return value


def _resolve(value: Any, context: Any) -> Any:
    if isinstance(value, Expression):
        return value.resolve(context)
    if isinstance(value, dict):
        return {key: _resolve(part, context) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_resolve(part, context) for part in value]
    return value


class _NodeProcess:
    """One Node process, from its start to its last message."""

    def __init__(self, operator: Any, kind: str, context: Any):
        self.operator = operator
        self.log = operator.log
        self.kind = kind
        self.context = context
        self.process: subprocess.Popen | None = None

    def run(self) -> dict:
        node = os.environ.get("AIRLOOM_NODE") or shutil.which("node")
        if not node:
            raise AirflowFailException("Node was not found on this worker: install Node 20.19 or newer, or set AIRLOOM_NODE to its path")
        bundle = HERE / self.operator.bundle
        if not bundle.is_file():
            raise AirflowFailException(f"{bundle} is missing on this worker: run compile-dags, and copy the whole folder")
        ours, theirs = socket.socketpair()
        environment = {k: v for k, v in os.environ.items() if not k.startswith(HIDDEN_ENVIRONMENT)}
        environment["AIRLOOM_FD"] = str(theirs.fileno())
        with ours:
            with theirs:
                self.process = subprocess.Popen(
                    [node, "--enable-source-maps", str(bundle)],
                    env=environment,
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            try:
                self._send(ours, self._start_message())
                outcome = self._converse(ours)
            finally:
                self.stop()
        if outcome is None:
            code = self.process.returncode
            how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
            raise AirflowException(f"Node {how} before the task {self.operator.task_id} had a result; its output is above")
        return outcome

    def _start_message(self) -> dict:
        context, ti = self.context, self.context["ti"]
        logical_date = context.get("logical_date")
        return {
            "type": "start",
            "taskId": self.operator.task_id,
            "kind": self.kind,
            "input": self.operator.inputs,
            "run": {
                "dagId": ti.dag_id,
                "taskId": ti.task_id,
                "runId": ti.run_id,
                "tryNumber": ti.try_number,
                "mapIndex": -1 if ti.map_index is None else ti.map_index,
                "logicalDate": logical_date.isoformat() if logical_date else None,
            },
        }

    def _converse(self, sock: socket.socket) -> dict | None:
        """Answers what Node asks and logs what it prints, until its last message or its end."""
        outcome = None
        buffers: dict[Any, bytes] = {}
        with selectors.DefaultSelector() as selector:
            for stream in (sock, self.process.stdout, self.process.stderr):
                selector.register(stream, selectors.EVENT_READ)
                buffers[stream] = b""
            while selector.get_map():
                for key, _ in selector.select():
                    stream = key.fileobj
                    chunk = os.read(stream.fileno(), 65536)
                    *lines, rest = (buffers[stream] + chunk).split(b"\n")
                    if len(rest) > MAX_LINE_BYTES:
                        raise AirflowException(f"Node sent a line of over {MAX_LINE_BYTES} bytes")
                    buffers[stream] = rest
                    if not chunk:
                        selector.unregister(stream)
                        if rest:
                            lines.append(rest)
                    for line in lines:
                        if stream is sock:
                            outcome = self._handle(sock, json.loads(line)) or outcome
                        else:
                            level = 20 if stream is self.process.stdout else 40
                            self.log.log(level, "%s", line.decode("utf-8", "replace"))
                    if outcome and stream is sock:
                        # A process of the task's that still holds its output must not hold the task.
                        self._drain(selector, sock)
                        return outcome
        self.process.wait()
        return outcome

    def _drain(self, selector: Any, sock: socket.socket) -> None:
        deadline = time.monotonic() + 1.0
        streams = [s for s in (self.process.stdout, self.process.stderr) if s in {k.fileobj for k in selector.get_map().values()}]
        if sock in {k.fileobj for k in selector.get_map().values()}:
            selector.unregister(sock)
        while streams and time.monotonic() < deadline:
            for key, _ in selector.select(timeout=0.1):
                chunk = os.read(key.fileobj.fileno(), 65536)
                if not chunk:
                    selector.unregister(key.fileobj)
                    streams.remove(key.fileobj)
                    continue
                for line in chunk.splitlines():
                    self.log.log(20 if key.fileobj is self.process.stdout else 40, "%s", line.decode("utf-8", "replace"))

    def _handle(self, sock: socket.socket, message: dict) -> dict | None:
        kind = message["type"]
        if kind == "log":
            fields = message.get("fields") or {}
            suffix = "".join(f" {key}={json.dumps(value, ensure_ascii=False)}" for key, value in fields.items())
            self.log.log(LEVELS.get(message["level"], 20), "%s%s", message["message"], suffix)
            return None
        if kind == "request":
            try:
                reply = {"id": message["id"], "value": self._answer(message["name"], message.get("args") or {})}
            except Exception as error:  # The task decides what a failed request means.
                reply = {"id": message["id"], "error": f"{type(error).__name__}: {error}"}
            self._send(sock, reply)
            return None
        return message

    def _answer(self, name: str, args: dict) -> Any:
        ti = self.context["ti"]
        if name == "getVariable":
            value = Variable.get(args["key"], None)
            return value
        if name == "setVariable":
            return Variable.set(args["key"], args["value"])
        if name == "getXCom":
            return ti.xcom_pull(task_ids=args["taskId"], key=args["key"])
        if name == "setXCom":
            return ti.xcom_push(key=args["key"], value=args["value"])
        if name == "getConnection":
            return self._connection(args["id"])
        raise ValueError(f"unknown request {name}")

    @staticmethod
    def _connection(connection_id: str) -> dict | None:
        try:
            get = getattr(Connection, "get", None) or Connection.get_connection_from_secrets
            found = get(connection_id)
        except Exception as error:
            if "NotFound" in type(error).__name__ or "isn't defined" in str(error):
                return None
            raise
        if found.password:
            mask_secret(found.password)
        return {
            "type": found.conn_type,
            "host": found.host,
            "port": found.port,
            "login": found.login,
            "password": found.password,
            "schema": found.schema,
            "extra": found.extra_dejson,
        }

    @staticmethod
    def _send(sock: socket.socket, message: dict) -> None:
        try:
            sock.sendall(json.dumps(message).encode() + b"\n")
        except BrokenPipeError:
            pass  # Node has ended; the conversation will find that out.

    def stop(self) -> None:
        """Ends the process and all that it started: SIGTERM, then SIGKILL for the whole group."""
        process = self.process
        if process is None:
            return
        if process.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self.log.warning("Node did not end within %s s of SIGTERM: killing it", GRACE_SECONDS)
        self._signal(signal.SIGKILL)
        process.wait()

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass


class _NodeOperator:
    """What tasks and sensors share."""

    template_fields = ("inputs",)
    template_fields_renderers = {"inputs": "json"}

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        # Values are put in as they are: text that looks like a Jinja template is only text.
        self.inputs = _resolve(self.inputs, context)

    def on_kill(self) -> None:
        if getattr(self, "_node", None):
            self._node.stop()

    def _run(self, kind: str, context: Any) -> dict:
        self._node = _NodeProcess(self, kind, context)
        outcome = self._node.run()
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

    def __init__(self, *, bundle: str, inputs: dict | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.bundle = bundle
        self.inputs = inputs or {}

    def execute(self, context: Any) -> Any:
        return self._run("task", context).get("value")


class NodeSensor(_NodeOperator, BaseSensorOperator):
    """A sensor whose look is a function in a Node bundle. It reschedules, so that waiting holds no slot."""

    def __init__(self, *, bundle: str, inputs: dict | None = None, **kwargs: Any):
        super().__init__(mode="reschedule", **kwargs)
        self.bundle = bundle
        self.inputs = inputs or {}

    def poke(self, context: Any) -> PokeReturnValue:
        outcome = self._run("sensor", context)
        if outcome["type"] == "pending":
            self.log.info("Not yet: %s", outcome["message"])
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=outcome.get("value"))
