"""The calls of ECS that a run needs, with errors of ours and patience for those that pass."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

from flow_operator.flow.errors import EnvironmentFailed
from flow_operator.flow.fargate.border import Passing, border

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Arguments = dict[str, Any]
Answer = TypeVar("Answer")

FIRST_NAP, LONGEST_NAP, GROWTH = 1.0, 10.0, 1.4  # seconds between two looks
PATIENCE = 60.0  # seconds with an AWS that does not answer, before there is a task


class Ecs:
    """ECS of one region.

    Args:
        region: None means what boto3 finds. The endpoint is what it finds too: $AWS_ENDPOINT_URL_ECS, or AWS' own.
        credentials: arguments of boto3's client; empty means what boto3 finds: variables, files, a role.
        wait: waits for so many seconds; True when the run is to stop.
    """

    def __init__(self, *, region: str | None, credentials: Mapping[str, str], wait: Callable[[float], bool]) -> None:
        with border("A client of ECS"):
            import boto3
            from botocore.config import Config

            # Standard mode retries what AWS throttles and what the network loses, with a back-off of its own.
            config = Config(retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=5, read_timeout=20)
            session = boto3.session.Session(region_name=region, **credentials)  # boto3's own remembers credentials
            self._client = session.client("ecs", config=config)
        self.wait = wait

    def definition(self, family: str) -> Arguments | None:
        """Return the newest active definition of a family, None where there is none."""
        from botocore.exceptions import ClientError

        def describe() -> Arguments | None:
            with border(f"ecs:DescribeTaskDefinition of {family!r}"):
                try:
                    found: Arguments = self._client.describe_task_definition(taskDefinition=family)["taskDefinition"]
                except ClientError as error:
                    if error.response.get("Error", {}).get("Code") == "ClientException":  # AWS' word for "no such"
                        return None
                    raise
            return found

        return self._patiently(describe)

    def register(self, definition: Mapping[str, Any]) -> Arguments:
        """Register a definition, as a new revision if its family is known; return it as AWS has it."""

        def register() -> Arguments:
            with border(f"ecs:RegisterTaskDefinition of {definition['family']!r}"):
                found: Arguments = self._client.register_task_definition(**definition)["taskDefinition"]
            return found

        return self._patiently(register)

    def run(self, arguments: Mapping[str, Any]) -> Arguments:
        """Start a task. Sent again with the same clientToken, it starts no second one."""
        action = f"ecs:RunTask of {arguments['taskDefinition']}{_in(arguments.get('cluster'))}"

        def run() -> Arguments:
            with border(action):
                answer: Arguments = self._client.run_task(**arguments)
            return answer

        answer = self._patiently(run)
        if answer.get("tasks"):
            task: Arguments = answer["tasks"][0]
            return task
        failures = answer.get("failures") or [{}]
        said = ", ".join(
            " ".join(str(value) for value in (each.get("reason"), each.get("detail")) if value) for each in failures
        )
        raise EnvironmentFailed(
            "TaskNotStarted",
            f"{action} started nothing: {said or 'AWS does not say why'}.",
            remedy="Often there is no capacity: try again later, or name other subnets in networkConfiguration.",
        )

    def tasks_of(self, cluster: str | None, started_by: str) -> list[Arguments]:
        """Return the tasks that a run has started, those that AWS remembers of the ended ones included."""

        def look() -> list[Arguments]:
            arns: list[str] = []
            for status in ("RUNNING", "STOPPED"):
                with border(f"ecs:ListTasks{_in(cluster)}"):
                    answer = self._client.list_tasks(**_at(cluster), startedBy=started_by, desiredStatus=status)
                arns += [arn for arn in answer.get("taskArns", ()) if arn not in arns]
            if not arns:
                return []
            with border(f"ecs:DescribeTasks{_in(cluster)}"):
                found: list[Arguments] = self._client.describe_tasks(**_at(cluster), tasks=arns[:100])["tasks"]
            return found

        return self._patiently(look)

    def task(self, cluster: str | None, arn: str) -> Arguments | None:
        """Return a task as it is now, None if AWS does not know it."""
        with border(f"ecs:DescribeTasks of {arn}"):
            found: list[Arguments] = self._client.describe_tasks(**_at(cluster), tasks=[arn])["tasks"]
        return found[0] if found else None

    def stop(self, cluster: str | None, arn: str, reason: str) -> None:
        """Have a task stopped; it is over only when it says STOPPED."""
        with border(f"ecs:StopTask of {arn}"):
            self._client.stop_task(**_at(cluster), task=arn, reason=reason[:1024])

    def _patiently(self, call: Callable[[], Answer]) -> Answer:
        """Ask again while AWS puts it off, for a minute beside what boto3 tries by itself."""
        waited, nap = 0.0, FIRST_NAP
        while True:
            try:
                return call()
            except Passing as error:
                if waited >= PATIENCE:
                    raise
                print(f"flow-operator: {error.message}; trying again", file=sys.stderr, flush=True)
            if self.wait(nap):
                raise KeyboardInterrupt("stopped before there was a task")
            waited, nap = waited + nap, min(nap * 2, LONGEST_NAP)


def _at(cluster: str | None) -> dict[str, str]:
    return {"cluster": cluster} if cluster else {}


def _in(cluster: str | None) -> str:
    return f" in cluster {cluster!r}" if cluster else ""
