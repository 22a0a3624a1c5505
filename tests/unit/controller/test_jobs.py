"""The hands around a Job: its pod is rehearsed, it is made once, and the end is the same after a crash at any write."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flow_operator.api.flow_run import FINISHED
from flow_operator.plan import fence
from tests.support import makers as m
from tests.support.condition_rules import violations
from tests.support.world import World
from tests.unit.controller.test_attempts import EVENTS, happen

Manifest = dict[str, Any]


def a_world() -> World:
    return World(m.a_run(), m.a_ready_deployment(environment=m.a_job_environment()))


def job_controller(world: World) -> None:
    """Make the pod of every Job that has none."""
    for (kind, _), job in list(world.kube.objects.items()):
        if kind == "Job" and not world.pods():
            world.kube.put(m.pod_of(job, "abcde"))


def job_is_over(world: World, condition: str) -> None:
    """Say that every Job is over."""
    for (kind, _), job in list(world.kube.objects.items()):
        if kind == "Job":
            world.kube.put({**job, "status": {"conditions": [{"type": condition, "status": "True"}]}})


async def life(world: World) -> None:
    """Lead a run from its creation to its end."""
    await world.settle()
    world.seconds = 1
    job_controller(world)
    world.kubelet(lambda pod: m.running(pod, "work"))
    await world.settle()
    world.seconds = 3
    said = json.dumps({"state": "Succeeded", "result": 285})
    world.kubelet(lambda pod: m.ended(pod, "work", message=said))
    await world.settle()
    world.kubelet(lambda pod: {**pod, "status": {**pod["status"], "phase": "Succeeded"}})
    job_is_over(world, "Complete")
    await world.settle()


async def test_the_pod_is_rehearsed_before_the_job_is_made() -> None:
    world = a_world()
    await life(world)
    assert world.kube.calls == [
        "replace_status FlowRun SettingUp",
        "rehearse Pod strictly",
        "create Job",
        "replace_status FlowRun Running",
        "replace_status FlowRun Finishing",
        "replace_status FlowRun Succeeded",
        "create Event",
    ]
    assert world.run["status"]["result"] == 285


async def test_a_crash_after_any_write_makes_no_second_job() -> None:
    for number in range(1, 30):
        world = a_world()
        world.kube.crash_after = number
        await life(world)
        assert world.run["status"]["phase"] == "Succeeded"
        assert world.run["status"]["attempt"] == 1
        assert not violations(world.run)
        assert len([each for each in world.kube.calls if each == "create Job"]) == 1
        if world.kube.crash_after is not None:
            assert number > 5, "the crash found writes to follow"
            return
    raise AssertionError("a run writes without end")


async def test_a_pod_that_would_be_refused_keeps_the_job_from_being_made() -> None:
    world = a_world()
    world.kube.refuse["Pod"] = 'pods "x" is forbidden: violates PodSecurity "restricted:latest"'
    await world.step()
    await world.step()
    assert world.run["status"]["diagnosis"]["reason"] == "PodRefused"
    assert ("Job", "squares-1-11111111-1") not in world.kube.objects
    world.kube.refuse.clear()
    world.seconds = 20
    await world.settle()
    assert ("Job", "squares-1-11111111-1") in world.kube.objects


class Cluster(World):
    """A world in which Jobs make pods, and pods go with their Job."""

    made = 0

    def look(self) -> None:
        """Let the Job controller and the garbage collector work before the operator looks."""
        planned, self.kube.crash_after = self.kube.crash_after, None  # those are not the operator's writes
        jobs = {name: job for (kind, name), job in self.kube.objects.items() if kind == "Job"}
        for pod in self.pods():
            job = pod["metadata"]["name"].rpartition("-")[0]
            if job not in jobs and not pod["metadata"].get("deletionTimestamp"):
                self.delete(pod)
        for name, job in jobs.items():
            self._control(name, job)
        self.kube.crash_after = planned
        super().look()

    def _control(self, name: str, job: Manifest) -> None:
        pods = [each for each in self.pods() if each["metadata"]["name"].startswith(f"{name}-")]
        phases = [each["status"]["phase"] for each in pods]
        lost = job.get("made", 0) - len(pods)
        if job.get("status") or any(map(fence.may_run, pods)):
            return
        over = "Complete" if "Succeeded" in phases else "Failed" if phases.count("Failed") + lost > 1 else ""
        if over:
            self.kube.put({**job, "status": {"conditions": [{"type": over, "status": "True"}]}})
            return
        self.made += 1
        pod = m.pod_of(job, str(self.made))
        pod["metadata"] |= {"uid": f"uid-pod-{self.made}", "creationTimestamp": m.at(self.seconds)}
        self.kube.put(pod)
        self.kube.put({**job, "made": job.get("made", 0) + 1})


# A Job itself makes its next pod at once beside one that was deleted by force (docs/weaknesses.md).
HAPPENS = sorted(EVENTS.keys() - {"force"})
MAIN = {"spec": {"containers": [{"name": "main"}]}}  # as the events call it


@settings(max_examples=25, deadline=None)
@given(events=st.lists(st.tuples(st.sampled_from(HAPPENS), st.sampled_from([0.0, 3.0, 25.0, 100.0])), max_size=14))
def test_whatever_happens_a_run_in_jobs_ends_and_never_has_two_runners(events: list[tuple[str, float]]) -> None:
    async def life() -> None:
        environment = m.a_job_environment(template=MAIN, backoffLimit=1)
        world = Cluster(m.a_run(backoffLimit=2), m.a_ready_deployment(environment=environment))
        await world.step()
        for event, seconds in events:
            await happen(world, event, seconds)
        await happen(world, "resume", 0)
        for _ in range(60):
            if world.run["status"]["phase"] in FINISHED:
                break
            await happen(world, "start", 1)
            await happen(world, "succeed", 400)
        assert world.run["status"]["phase"] in FINISHED
        assert world.run["status"].get("attempt", 0) == len(world.run["status"].get("attempts", ()))

    asyncio.run(life())
