"""One Node process and the conversation with it, in lines of JSON over an inherited socket."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from airloom_values import iso_ms, run_values

try:
    from airflow.sdk import Connection, Variable
except ImportError:  # Airflow 2
    from airflow.models import Connection, Variable

try:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException
except ImportError:
    from airflow.exceptions import AirflowException, AirflowFailException

HERE = Path(__file__).resolve().parent
# A line longer than this is not a message of ours: it would only fill the worker's memory.
MAX_LINE_BYTES = 64 * 1024 * 1024
# What Node gets between SIGTERM and SIGKILL: time to save what it does.
GRACE_SECONDS = 20.0
LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40}
# Airflow's own secrets are no business of a task's: it asks for connections and variables over the socket.
HIDDEN_ENVIRONMENT = ("AIRFLOW_", "_AIRFLOW", "POSTGRES_", "PGPASSWORD", "DATABASE_URL", "LABELER_", "CVAT_")


class NodeProcess:
    """Runs a part of a bundle and answers what it asks, from its start to its last message."""

    def __init__(self, bundle: str, log: Any, what: str, context: Any):
        self.bundle = bundle
        self.log = log
        self.what = what
        self.context = context
        self.process: subprocess.Popen | None = None

    def run(self, start: dict) -> dict:
        node = os.environ.get("AIRLOOM_NODE") or shutil.which("node")
        if not node or not os.access(node, os.X_OK):
            where = f" at {node} (AIRLOOM_NODE)" if node else ""
            raise AirflowFailException(f"Node was not found on this worker{where}: install Node 20.19 or newer, or set AIRLOOM_NODE to its path")
        bundle = HERE / self.bundle
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
                self._send(ours, {"type": "start", "run": self._run_info(), **start})
                outcome = self._converse(ours)
            finally:
                self.stop()
        if outcome is None:
            code = self.process.returncode
            how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
            raise AirflowException(f"Node {how} before {self.what} had a result; its output is above")
        return outcome

    def _run_info(self) -> dict:
        context = self.context
        ti = context.get("ti") or context.get("task_instance")
        values = run_values(context)
        dag_run = context.get("dag_run")
        conf = getattr(dag_run, "conf", None) or {}
        params = context.get("params")
        map_index = getattr(ti, "map_index", None)
        return {
            "dagId": values["dagId"],
            "taskId": getattr(ti, "task_id", None) or "",
            "runId": values["id"],
            "tryNumber": getattr(ti, "try_number", None) or 1,
            "mapIndex": -1 if map_index is None else map_index,
            "logicalDate": values["logicalDate"],
            "dataIntervalStart": values["dataIntervalStart"],
            "dataIntervalEnd": values["dataIntervalEnd"],
            # Airflow 2 has no run_after.
            "runAfter": iso_ms(getattr(dag_run, "run_after", None) or getattr(dag_run, "execution_date", None)),
            "startedAt": iso_ms(getattr(dag_run, "start_date", None)),
            "clearNumber": getattr(dag_run, "clear_number", None) or 0,
            "runType": values["type"],
            "conf": dict(conf),
            "params": dict(params) if params else {},
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
                            outcome = self._handle(sock, self._parsed(line)) or outcome
                        else:
                            level = 20 if stream is self.process.stdout else 40
                            self.log.log(level, "%s", line.decode("utf-8", "replace"))
                    if outcome and stream is sock:
                        # A process of the task's that still holds its output must not hold the task.
                        self._drain(selector, sock)
                        return outcome
        self.process.wait()
        return outcome

    def _parsed(self, line: bytes) -> dict:
        try:
            return json.loads(line)
        except ValueError:
            raise AirflowException(f"Node's connection broke in the middle of a message, {len(line)} bytes into it") from None

    def _drain(self, selector: Any, sock: socket.socket) -> None:
        deadline = time.monotonic() + 1.0
        open_now = {k.fileobj for k in selector.get_map().values()}
        streams = [s for s in (self.process.stdout, self.process.stderr) if s in open_now]
        if sock in open_now:
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
        ti = self.context.get("ti")
        if name == "getVariable":
            return Variable.get(args["key"], None)
        if name == "setVariable":
            return Variable.set(args["key"], args["value"])
        if name == "getXCom":
            from airloom_values import plain

            return plain(ti.xcom_pull(task_ids=args["taskId"], key=args["key"]))
        if name == "setXCom":
            return ti.xcom_push(key=args["key"], value=args["value"])
        if name == "getConnection":
            return self._connection(args["id"])
        if name == "getRunState":
            from airloom_runs import run_state

            return run_state(args["dagId"], args["runId"])
        if name == "maskSecret":
            return _mask_secret(args["text"])
        from airloom_assets import answer

        return answer(name, args, self.context)

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
            _mask_secret(found.password)
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
            sock.sendall(json.dumps(message, default=str).encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
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


def _mask_secret(secret: str) -> None:
    try:
        from airflow.sdk.log import mask_secret
    except ImportError:
        from airflow.utils.log.secrets_masker import mask_secret
    mask_secret(secret)
