"""A connection for code that is not asynchronous, and what it says where there is none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flow_operator.kube.api import Api, connect
from flow_operator.kube.errors import Forbidden, KubeError, NoSuchKind, NotConfigured, NotFound, Unavailable
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
    assert [line async for line in api.logs("team-a", "pod", "main")] == ["one", "", "two"]
    with pytest.raises(KubeError, match="waiting to start"):
        _ = [line async for line in api.logs("team-a", "pod", "flow-hooks")]
