"""AWS in a process: moto's server, whose tasks of ECS run the command of their first container as a process.

moto answers as AWS does and runs nothing. Here a task lives as long as its process, ends with its exit code, and is
told to stop by SIGTERM. Nothing of the tests is imported: a pod runs this file as it is, in a flow's image.

    python3 aws.py PORT
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends
from moto.ecs.models import EC2ContainerServiceBackend, ecs_backends
from moto.moto_api import state_manager
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ACCOUNT, REGION = "123456789012", "eu-west-1"
STOP_TIMEOUT = 30.0  # AWS' own default


class Aws:
    """The server, what it was asked, and what it is to get wrong.

    Attributes:
        calls: actions of ECS and their arguments, in order.
        faults: by action, (status, code, message) for the next requests; consumed.
        runs: what a task's process is made of: its command, and its environment. None runs nothing: moto's own.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.faults: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
        self.runs: Callable[[list[str], dict[str, str]], subprocess.Popen[bytes]] | None = start
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server: BaseWSGIServer = make_server(host, port, self._answer, threaded=True, request_handler=_Quiet)
        self._originals = (EC2ContainerServiceBackend.run_task, EC2ContainerServiceBackend.stop_task)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def tasks(self) -> list[Any]:
        """Every task of every cluster, as moto has it."""
        return [task for cluster in self._backend.tasks.values() for task in cluster.values()]

    @property
    def definitions(self) -> list[Any]:
        """Every revision of every family."""
        return [each for family in self._backend.task_definitions.values() for each in family.values()]

    @property
    def _backend(self) -> Any:
        return ecs_backends[ACCOUNT][REGION]

    def create_cluster(self, name: str) -> None:
        """Make a cluster of ECS."""
        self._backend.create_cluster(name)

    def actions(self) -> list[str]:
        """The names of what was asked, in order."""
        return [action for action, _ in self.calls]

    def start(self) -> None:
        """Serve, in a thread."""
        self.install()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def serve(self) -> None:
        """Serve, until the process ends."""
        self.install()
        self._server.serve_forever()

    def install(self) -> None:
        """Have moto's tasks live as long as their processes."""
        # moto would end a task by itself after a few looks.
        state_manager.set_transition("ecs::task", {"progression": "manual", "times": 10**9})
        run_task, stop_task = self._originals

        def run(backend: Any, *args: Any) -> Any:
            network = next((each for each in args if isinstance(each, dict) and "awsvpcConfiguration" in each), None)
            if network is not None:  # moto looks the subnet up: any that it has will do
                network["awsvpcConfiguration"] |= {"subnets": [_subnet()], "securityGroups": []}
            tasks = run_task(backend, *args)
            for task in tasks:
                self._begin(backend, task)
            return tasks

        def stop(backend: Any, cluster: str, arn: str, reason: str) -> Any:
            if self.runs is None:
                return stop_task(backend, cluster, arn, reason)
            task = next(each for each in self.tasks if each.task_arn == arn)
            task.desired_status, task.stopped_reason, task.stop_code = "STOPPED", reason, "UserInitiated"
            process = self.processes[arn]
            process.send_signal(signal.SIGTERM)
            threading.Timer(STOP_TIMEOUT, process.kill).start()
            return task

        EC2ContainerServiceBackend.run_task, EC2ContainerServiceBackend.stop_task = run, stop

    def close(self) -> None:
        """Stop serving, end what is left, forget everything."""
        self._server.shutdown()
        self._server.server_close()
        for process in self.processes.values():
            process.kill()
        EC2ContainerServiceBackend.run_task, EC2ContainerServiceBackend.stop_task = self._originals
        ecs_backends.reset()

    def _begin(self, backend: Any, task: Any) -> None:
        if self.runs is None:
            return
        definition = backend.describe_task_definition(task.task_definition_arn)
        container = definition.container_definitions[0]
        variables = {each["name"]: each["value"] for each in container.get("environment", ())}
        for override in task.overrides.get("containerOverrides", ()):
            if override["name"] == container["name"]:
                variables |= {each["name"]: each["value"] for each in override.get("environment", ())}
        process = self.processes[task.task_arn] = self.runs(container["command"], variables)
        threading.Thread(target=self._wait, args=(task, process), daemon=True).start()

    def _wait(self, task: Any, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        task.containers[0].exitCode = code if code >= 0 else 128 - code
        task.desired_status = "STOPPED"
        if not task.stopped_reason:
            task.stopped_reason, task.stop_code = "Essential container in task exited", "EssentialContainerExited"
        task.last_status = "STOPPED"

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        action = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        if not action:
            return self._tell(environ["PATH_INFO"], start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        self.calls.append((action, json.loads(body or b"{}")))
        if self.faults[action]:
            status, code, message = self.faults[action].pop(0)
            start_response(f"{status} Fault", [("Content-Type", "application/x-amz-json-1.1")])
            return [json.dumps({"__type": code, "message": message}).encode()]
        import io

        environ["wsgi.input"] = io.BytesIO(body)
        answer: Iterable[bytes] = self._moto(environ, start_response)
        return answer

    def _tell(self, path: str, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a test: what was asked, and which cluster is to be made."""
        if path.startswith("/clusters/"):
            self.create_cluster(path.rpartition("/")[2])
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(self.calls).encode()]


def _subnet() -> str:
    return str(next(iter(ec2_backends[ACCOUNT][REGION].get_default_subnets().values())).id)


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        """Say nothing."""


def start(command: list[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """Run a container's command as a process beside us, in the same image."""
    # Of our own environment only what an image has: a task knows nothing of a pod.
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME", "TMPDIR") if name in os.environ}
    return subprocess.Popen([sys.executable, *command[1:]], env={**kept, **variables})


if __name__ == "__main__":
    Aws("0.0.0.0", int(sys.argv[1])).serve()
