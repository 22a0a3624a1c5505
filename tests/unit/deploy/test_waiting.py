"""Waiting for a FlowDeployment: at once where a person must act, with patience where a cluster may heal by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from flow_operator.deploy import waiting
from flow_operator.flow.errors import DeployFailed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from flow_operator.kube.api import Api

Manifest = dict[str, Any]
META = {"name": "squares", "namespace": "team-a", "uid": "uid-1", "generation": 2}
APPLIED = {"metadata": META}


def seen(ready: str, reason: str, generation: int = 2) -> Manifest:
    stalled = "True" if ready == "False" and reason != "Building" else "False"
    conditions = [
        {"type": "Ready", "status": ready, "reason": reason, "message": f"{reason}."},
        {"type": "Stalled", "status": stalled, "reason": reason, "message": f"{reason}."},
    ]
    return {"metadata": META, "status": {"observedGeneration": generation, "conditions": conditions}}


class Told:
    """An API server that tells versions of the FlowDeployment, seconds after each other, and then is silent."""

    def __init__(self, *versions: tuple[float, Manifest]) -> None:
        self.versions = versions

    async def watch(self, *_which: str) -> AsyncGenerator[Manifest, None]:
        for pause, each in self.versions:
            await asyncio.sleep(pause)
            yield each
        await asyncio.sleep(3600)


async def wait(*versions: tuple[float, Manifest], patience: float = 10) -> Manifest:
    api: Api = Told(*versions)  # type: ignore[assignment]
    return await waiting.until_ready(api, APPLIED, patience, lambda _line: None)


@pytest.fixture(autouse=True)
def a_short_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PASSES", 0.05)


READY = seen("True", "Ready")


async def test_ready_of_this_generation_is_the_end() -> None:
    assert await wait((0, seen("True", "Ready", 1)), (0, seen("False", "Building")), (0, READY)) is READY


async def test_what_a_person_must_mend_ends_it_at_once() -> None:
    with pytest.raises(DeployFailed) as failed:
        await wait((0, seen("False", "ImportFailed")), (0, READY))
    assert failed.value.reason == "ImportFailed"


@pytest.mark.parametrize("reason", sorted(waiting.PASSING))
async def test_what_may_pass_is_given_time(reason: str) -> None:
    assert await wait((0, seen("False", reason)), (0.01, READY)) is READY


async def test_what_does_not_pass_ends_it_with_its_reason() -> None:
    with pytest.raises(DeployFailed) as failed:
        await wait((0, seen("False", "Unschedulable")), (3600, READY))
    assert failed.value.reason == "Unschedulable"


async def test_what_comes_back_again_and_again_has_its_time_once() -> None:
    stalled, again = seen("False", "PodRefused"), seen("False", "Building")
    with pytest.raises(DeployFailed) as failed:
        await wait(*[(0.01, each) for _ in range(20) for each in (stalled, again)])
    assert failed.value.reason == "PodRefused"


async def test_after_it_has_passed_a_long_build_has_all_the_time_there_is() -> None:
    assert await wait((0, seen("False", "NotStarted")), (0, seen("False", "Building")), (0.1, READY)) is READY


async def test_the_time_is_over() -> None:
    with pytest.raises(DeployFailed, match="not ready after 0 s: Building"):
        await wait((0, seen("False", "Building")), patience=0.02)
