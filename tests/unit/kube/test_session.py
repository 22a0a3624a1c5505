"""A connection for code that is not asynchronous, and what it says where there is none."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flow_operator.kube.api import Api, connect
from flow_operator.kube.errors import (
    Forbidden,
    KubeError,
    NoSuchKind,
    NotConfigured,
    NotFound,
    Unauthorized,
    Unavailable,
)
from flow_operator.kube.session import connected
from tests.support import makers

if TYPE_CHECKING:
    from tests.support.api_server import ApiServer

GROUP = "flow-operator.io/v1alpha1"


def test_a_session_knows_the_namespace_of_its_context_and_calls(server: ApiServer, kubeconfig: str) -> None:
    server.put(makers.a_run())
    with connected(kubeconfig=kubeconfig) as session:
        assert session.namespace == "team-a"
        run = session.call(session.api.get(GROUP, "FlowRun", session.namespace, "squares-1"))
        assert run["spec"]["deployment"] == "squares"
        found = session.collect(session.api.list(GROUP, "FlowRun", session.namespace))
        assert [each["kind"] for each in found] == ["FlowRun"]


async def test_a_session_works_where_a_loop_runs_already(server: ApiServer, kubeconfig: str) -> None:
    server.put(makers.a_run())
    with connected(kubeconfig=kubeconfig) as session:  # as in a notebook
        assert session.call(session.api.get(GROUP, "FlowRun", "team-a", "squares-1"))["kind"] == "FlowRun"


def test_what_an_error_leaves_running_is_ended(server: ApiServer, kubeconfig: str) -> None:
    ended: list[bool] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def fail() -> None:
        asyncio.get_running_loop().left = asyncio.create_task(wait())  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        raise KeyError("broken")

    with pytest.raises(KeyError), connected(kubeconfig=kubeconfig) as session:
        session.call(fail())
    assert ended == [True]


@pytest.mark.parametrize(
    ("content", "context", "said"),
    [
        (None, None, "there is no kubeconfig at"),
        ("{", None, "cannot be used"),
        ("apiVersion: v1\nkind: Config\n", None, "cannot be used"),
        ("- a list\n", None, "cannot be used"),
        ("ours", "elsewhere", "has no context 'elsewhere'"),
    ],
)
def test_a_kubeconfig_that_is_no_use(
    server: ApiServer, tmp_path: Path, content: str | None, context: str | None, said: str
) -> None:
    file = tmp_path / "kubeconfig"
    if content == "ours":
        server.kubeconfig(tmp_path)
    elif content is not None:
        file.write_text(content)
    with pytest.raises(NotConfigured, match=said), connected(kubeconfig=str(file), context=context):
        pass


def test_a_server_that_is_not_there(server: ApiServer, kubeconfig: str) -> None:
    content = Path(kubeconfig).read_text().replace(server.url, "http://127.0.0.1:9")
    Path(kubeconfig).write_text(content)
    with connected(kubeconfig=kubeconfig) as session, pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
        session.call(session.api.get(GROUP, "FlowRun", "team-a", "x"))


@pytest.mark.parametrize(
    ("prepare", "error"),
    [
        (lambda _: None, NotFound),
        (lambda server: server.forbidden.add(("GET", "flowruns")), Forbidden),
        (lambda server: server.unknown.add("flowruns"), NoSuchKind),
    ],
)
def test_answers_that_are_no(server: ApiServer, kubeconfig: str, prepare: Any, error: type[KubeError]) -> None:
    prepare(server)
    with connected(kubeconfig=kubeconfig) as session, pytest.raises(error) as raised:
        session.call(session.api.get(GROUP, "FlowRun", "team-a", "x"))
    assert raised.type is error


@pytest.fixture
async def api(kubeconfig: str) -> Any:
    made = await connect(kubeconfig=kubeconfig)
    yield made
    await made.close()


async def test_changes_begin_with_what_is_there_and_go_on(server: ApiServer, api: Api) -> None:
    labels = {"metadata": {**makers.a_run()["metadata"], "labels": {"mine": "yes"}}}
    server.put({**makers.a_run(), **labels})
    other = makers.a_run()
    other["metadata"]["name"] = "other"
    changes = api.changes(GROUP, "FlowRun", "team-a", labelSelector="mine=yes")
    seen = [await anext(changes)]
    server.put(other)
    server.change("FlowRun", "team-a", "squares-1", status={"phase": "Running"})
    seen.append(await anext(changes))
    server.remove("flowruns", "team-a", "squares-1")
    seen.append(await anext(changes))
    await changes.aclose()  # type: ignore[attr-defined]
    assert [(kind, each["metadata"]["name"]) for kind, each in seen] == [
        ("ADDED", "squares-1"),
        ("MODIFIED", "squares-1"),
        ("DELETED", "squares-1"),
    ]


async def test_logs_come_line_by_line(server: ApiServer, api: Api) -> None:
    server.logs["pod", "main"] = ["one", "", "two"]
    lines = [line async for line in api.logs("team-a", "pod", "main")]
    assert [line.split(" ", 1)[1] for line in lines] == ["one", "", "two"]
    assert lines == sorted(lines), "each has its time before it"
    with pytest.raises(KubeError, match="waiting to start"):
        _ = [line async for line in api.logs("team-a", "pod", "flow-hooks")]


PLUGIN = """#!/bin/sh
count=$(( $(cat {folder}/count 2>/dev/null || echo 0) + 1 )); echo $count > {folder}/count
version=client.authentication.k8s.io/v1
echo '{{"apiVersion": "'$version'", "kind": "ExecCredential", "status": {{"token": "t'$count'"}}}}'
"""


@pytest.fixture
def plugin(server: ApiServer, kubeconfig: str, tmp_path: Path) -> str:
    """A kubeconfig whose plug-in gives another token whenever it is asked: t1, t2, …"""
    program = tmp_path / "plugin"
    program.write_text(PLUGIN.format(folder=tmp_path))
    program.chmod(0o755)
    content = json.loads(Path(kubeconfig).read_text())
    how = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program), "interactiveMode": "Never"}
    content["users"] = [{"name": "me", "user": {"exec": how}}]
    Path(kubeconfig).write_text(json.dumps(content))
    return kubeconfig


async def test_a_token_that_has_expired_is_asked_for_again(server: ApiServer, plugin: str) -> None:
    server.put(makers.a_run())
    server.logs["pod", "main"] = ["one"]
    server.tokens = {"t1"}
    api = await connect(kubeconfig=plugin)
    assert await api.get(GROUP, "FlowRun", "team-a", "squares-1")
    server.tokens = {"t2"}
    found = await asyncio.gather(*(api.get(GROUP, "FlowRun", "team-a", "squares-1") for _ in range(5)))
    assert len(found) == 5, "five requests, one new token"
    server.tokens = {"t3"}
    assert [line async for line in api.logs("team-a", "pod", "main")]
    server.tokens = {"t4"}
    changes = api.changes(GROUP, "FlowRun", "team-a")
    assert (await anext(changes))[0] == "ADDED"
    await changes.aclose()  # type: ignore[attr-defined]
    server.tokens = set()
    with pytest.raises(Unauthorized):
        await api.get(GROUP, "FlowRun", "team-a", "squares-1")
    await api.close()


async def test_a_token_that_stays_the_same_is_not_tried_twice(server: ApiServer, kubeconfig: str) -> None:
    api = await connect(kubeconfig=kubeconfig)
    server.tokens = set()
    with pytest.raises(Unauthorized):
        await api.get(GROUP, "FlowRun", "team-a", "squares-1")
    assert len(server.requests) == 1
    os.unlink(kubeconfig)  # noqa: PTH108
    with pytest.raises(Unauthorized):
        await api.get(GROUP, "FlowRun", "team-a", "squares-1")
    await api.close()
