"""Whose turn it is to build: so many at once, who waited longest is next, and nobody for ever."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

from flow_operator.controller.store import Store
from flow_operator.plan import deployment as deployment_plan
from flow_operator.plan import turns
from flow_operator.plan.types import ObservedDeployment, Plan
from tests.support import makers as m
from tests.support.condition_rules import violations

Manifest = dict[str, Any]


def named(name: str, labels: tuple[str, ...] = ()) -> Manifest:
    out = m.a_deployment(**({"environment": {"labels": list(labels)}} if labels else {}))
    out["metadata"] |= {"name": name, "uid": f"uid-{name}"}
    return out


def decide(deployment: Manifest, *others: Manifest, at_once: int = 1, after: float = 0) -> Plan:
    seen = ObservedDeployment(builds=others)
    settings = m.settings(builder={"atOnce": at_once})
    plan = deployment_plan.decide(deployment, seen, settings, m.NOW + timedelta(seconds=after))
    told = m.with_status(deployment, plan.status)
    assert not violations(told), violations(told)
    return plan


def told(deployment: Manifest, *others: Manifest, at_once: int = 1, after: float = 0) -> Manifest:
    return m.with_status(deployment, decide(deployment, *others, at_once=at_once, after=after).status)


def begins(plan: Plan) -> bool:
    return any(each["kind"] == "Pod" for each in plan.create)


def reason(deployment: Manifest) -> str:
    return next(str(each["reason"]) for each in deployment["status"]["conditions"] if each["type"] == "Ready")


def test_further_builds_wait_and_say_so() -> None:
    first = told(named("a"))
    plan = decide(named("b"), first)
    assert not plan.create
    assert plan.again_after == 3
    waiting = m.with_status(named("b"), plan.status)
    assert reason(waiting) == "Queued"
    assert decide(waiting, first, after=60).status is None
    assert begins(decide(named("b"), first, at_once=2))


def test_who_waited_longest_is_next() -> None:
    building = told(named("a"))
    older, younger = told(named("z"), building, after=1), told(named("b"), building, after=2)
    assert not begins(decide(younger, older, younger, after=3))
    assert not begins(decide(named("c"), older, younger, after=3))
    assert begins(decide(older, older, younger, after=3))
    assert begins(decide(younger, older, younger, at_once=2, after=3))


def test_what_is_being_deleted_keeps_nobody_waiting() -> None:
    """Nobody looks at it again, so it would be Building for as long as somebody's finalizer holds it."""
    going = told(named("a"))
    going["metadata"] |= {"deletionTimestamp": m.at(1), "finalizers": ["example.com/archive"]}
    assert begins(decide(named("b"), going, after=3))


def test_what_has_begun_goes_on() -> None:
    """Its pod may not be there yet: status is told first, and the operator may have been killed between the two."""
    first, second = told(named("a")), told(named("b"))
    assert begins(decide(first, first, second))
    assert begins(decide(second, first, second))


def test_an_upgrade_builds_one_after_the_other_in_the_order_they_came() -> None:
    world = {name: named(name) for name in "dbac"}
    order = []
    for second in range(20):
        for name in world:
            plan = decide(world[name], *world.values(), at_once=2, after=second)
            if begins(plan) and name not in order:
                order.append(name)
            world[name] = m.with_status(world[name], plan.status)
            assert sum(reason(each) == "Building" for each in world.values() if "status" in each) <= 2
        if second % 3 == 2 and (done := next((each for each in order if reason(world[each]) == "Building"), None)):
            world[done] = ready(world[done])
    assert sorted(order) == ["a", "b", "c", "d"]
    assert order[:2] == ["d", "b"]


def ready(deployment: Manifest) -> Manifest:
    return {**deployment, "status": copy.deepcopy(m.a_ready_deployment()["status"])}


def test_builds_of_other_operators_are_not_counted() -> None:
    theirs = named("theirs", labels=("gpu",))
    theirs["status"] = told(named("a"))["status"]
    assert begins(decide(named("b"), theirs))


def test_a_long_queue_is_looked_at_seldom() -> None:
    assert [turns.look_again(waits, 10) for waits in (1, 100, 1000)] == [2.1, 12.0, 30.0]


def test_the_store_has_them_at_hand() -> None:
    store = Store()
    building = told(named("a"))
    store.put(building)
    store.put(named("b"))
    assert [each["metadata"]["name"] for each in store.builds()] == ["a"]
    newer = ready(building)
    newer["metadata"] = {**newer["metadata"], "resourceVersion": "9"}
    store.put(newer)
    assert store.builds() == []
    store.put(building | {"metadata": building["metadata"] | {"resourceVersion": "10"}})
    store.remove(building)
    assert store.builds() == []
