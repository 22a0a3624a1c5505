"""A schedule through the hands: no tick is started twice, by nobody, after no crash."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flow_operator.api import labels
from flow_operator.controller.store import Key, key_of
from flow_operator.controller.watches import Watches
from tests.support import makers as m
from tests.support.condition_rules import violations
from tests.support.world import World

Manifest = dict[str, Any]
DEPLOYMENT = Key("FlowDeployment", "team-a", "squares")


def a_world(**schedule: Any) -> World:
    deployment = m.a_ready_deployment(storage={"bytes": {}}, schedule={"cron": ["* * * * *"], **schedule})
    deployment["metadata"]["creationTimestamp"] = m.at(0)
    return World(deployment, key=DEPLOYMENT)


async def ready(world: World) -> None:
    """Build and check the deployment of a world."""
    await world.settle()
    world.kubelet(lambda pod: m.ended(pod, "check", message='{"flow": {"name": "squares", "parameters": []}}'))
    await world.settle()


def runs(world: World) -> list[Manifest]:
    return [each for (kind, _), each in world.kube.objects.items() if kind == "FlowRun"]


def deployment(world: World) -> Manifest:
    return world.kube.objects["FlowDeployment", "squares"]


def end(world: World, run: Manifest, phase: str = "Succeeded") -> None:
    world.kube.put({**run, "status": {"phase": phase}})


async def test_a_tick_costs_a_run_and_two_writes_about_it() -> None:
    world = a_world()
    await ready(world)
    before = len(world.kube.calls)
    world.seconds = 60
    await world.settle()
    assert world.kube.calls[before:] == ["create FlowRun", "replace_status FlowDeployment", "create Event"]
    end(world, runs(world)[0])
    await world.settle()
    assert world.kube.calls[before + 3 :] == ["replace_status FlowDeployment"]
    assert "active" not in deployment(world)["status"]
    assert not violations(deployment(world))


async def test_between_two_ticks_nothing_is_asked_and_nothing_written() -> None:
    world = a_world()
    await ready(world)
    world.seconds = 60
    await world.settle()
    before = len(world.kube.calls)
    for seconds in (61, 80, 119):
        world.seconds = seconds
        await world.step()
    assert len(world.kube.calls) == before


async def test_a_crash_after_any_write_starts_every_tick_once() -> None:
    for number in range(1, 40):
        world = a_world(successfulRunsHistoryLimit=1)
        await ready(world)
        writes = len(world.kube.writes)
        world.kube.crash_after = writes + number
        seen: set[str] = set()
        for minute in (1, 2, 3):
            world.seconds = 60 * minute
            await world.settle()
            for each in runs(world):
                seen.add(each["metadata"]["annotations"][labels.SCHEDULED_AT])
                if not each.get("status"):
                    end(world, each)
            await world.settle()
        assert seen == {m.at(60), m.at(120), m.at(180)}
        assert world.kube.calls.count("create FlowRun") == 3
        assert len(runs(world)) == 1, "the history limit holds"
        if world.kube.crash_after is not None:
            assert number > 8, "the crash found writes to follow"
            return
    raise AssertionError("a schedule writes without end")


async def test_two_operators_at_once_start_no_tick_twice() -> None:
    world = a_world()
    await ready(world)
    other = World(key=DEPLOYMENT)
    other.kube = world.kube
    other.start()
    for minute in range(1, 21):
        world.seconds = other.seconds = 60 * minute + 0.01
        world.look()
        other.look()
        await asyncio.gather(
            world.reconciler.reconcile(DEPLOYMENT), other.reconciler.reconcile(DEPLOYMENT), return_exceptions=True
        )
        for each in runs(world):
            end(world, each)
        await world.settle()
    assert world.kube.calls.count("create FlowRun") == 20
    assert deployment(world)["status"]["lastScheduleTime"] == m.at(1200)


async def test_a_strangers_run_of_that_name_is_refused_in_words() -> None:
    world = a_world()
    await ready(world)
    world.seconds = 60
    stranger = m.a_run()
    stranger["metadata"] |= {"name": "squares-29923921", "uid": "stranger"}
    world.kube.put(stranger)
    await world.step()
    await world.step()
    said = next(each for each in deployment(world)["status"]["conditions"] if each["type"] == "Scheduled")
    assert said["reason"] == "RunRefused"
    assert "squares-29923921 exists and belongs to somebody else" in said["message"]
    ready_now = next(each for each in deployment(world)["status"]["conditions"] if each["type"] == "Ready")
    assert ready_now["status"] == "True", "the image is there"
    world.seconds = 120
    await world.settle()
    assert [each["metadata"]["name"] for each in runs(world)] == ["squares-29923921", "squares-29923922"]


@pytest.mark.parametrize("forged", [{"ownerReferences": []}, {"namespace": "team-b"}, {"annotations": {}}])
async def test_a_run_that_only_carries_the_label_is_nobodys_history(forged: Manifest) -> None:
    world = a_world(successfulRunsHistoryLimit=0)
    await ready(world)
    world.seconds = 60
    await world.settle()
    (run,) = runs(world)
    liar = {**run, "metadata": {**run["metadata"], "name": "liar", "uid": "liar", **forged}}
    world.kube.put({**liar, "status": {"phase": "Succeeded"}})
    end(world, run)
    await world.settle()
    assert [each["metadata"]["name"] for each in runs(world)] == ["liar"]


async def test_news_of_a_scheduled_run_is_news_for_its_deployment() -> None:
    world = a_world()
    await ready(world)
    world.seconds = 60
    await world.settle()
    watches = Watches(world.store, world.queue, m.settings())
    for each in runs(world):
        end(world, each)
        watches.deliver("MODIFIED", world.kube.objects["FlowRun", each["metadata"]["name"]])
    (run,) = runs(world)
    assert {await world.queue.take(), await world.queue.take()} == {DEPLOYMENT, key_of(run)}


async def test_replace_stops_the_earlier_run_first_and_the_two_never_run_together() -> None:
    world = a_world(concurrencyPolicy="Replace")
    world.kube.grace_ends = m.at(150)
    await ready(world)

    async def settle() -> None:
        for _ in range(3):
            await world.settle()
            for each in runs(world):
                world.key = key_of(each)
                await world.settle()
            world.key = DEPLOYMENT

    def runners() -> list[Manifest]:
        return [each for each in world.pods() if each["metadata"]["labels"][labels.COMPONENT] == labels.RUNNER]

    world.seconds = 60
    await settle()
    (first,) = runners()
    world.kube.put(m.running(first, since=61))
    await settle()
    world.seconds = 120
    await settle()
    (dying,) = runners()
    assert dying["metadata"]["name"] == first["metadata"]["name"]
    assert dying["metadata"]["deletionTimestamp"]
    assert [each["status"]["phase"] for each in runs(world)] == ["Running", "Pending"]
    world.kube.put(m.ended(dying, code=79, message='{"state": "Failed", "reason": "Stopped"}'))
    await settle()
    assert [each["status"]["phase"] for each in runs(world)] == ["Cancelled", "SettingUp"]
    assert not [text for each in runs(world) for text in violations(each)]


@pytest.mark.parametrize(("policy", "told"), [("Replace", 2), ("Allow", 1)])
async def test_only_where_runs_replace_each_other_is_one_the_others_news(policy: str, told: int) -> None:
    world = a_world(concurrencyPolicy=policy)
    await ready(world)
    for minute in (1, 2):
        world.seconds = 60 * minute
        await world.settle()
    world.start()
    world.look()
    later = max(runs(world), key=lambda each: str(each["metadata"]["name"]))
    Watches(world.store, world.queue, m.settings()).tell(later)
    assert world.queue.depth == 1 + told, "the deployment, and runs"
