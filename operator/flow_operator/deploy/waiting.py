"""Waiting until the cluster has made up its mind about a FlowDeployment."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from flow_operator.api import conditions as words
from flow_operator.api.labels import API_VERSION
from flow_operator.flow.errors import DeployFailed
from flow_operator.kube.errors import Unauthorized, Unavailable
from flow_operator.plan.conditions import find, is_true

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from flow_operator.deploy.progress import Progress
    from flow_operator.kube.api import Api

Manifest = dict[str, Any]

PATIENCE = 600.0  # seconds; a first build with large dependencies takes minutes
PAUSE = 1.0
# Of these, no person may be needed: a node or a registry comes back, a new namespace has its account a moment later.
PASSING = frozenset({"ImagePullFailed", "NotStarted", "PodRefused", "Unschedulable"})
PASSES = 60.0  # seconds from the first word of one of them
SILENCE = "See whether the operator runs: kubectl get pods --all-namespaces -l app.kubernetes.io/name=flow-operator."


async def until_ready(api: Api, applied: Manifest, patience: float, tell: Progress) -> Manifest:
    """Return the FlowDeployment once this generation of it is Ready.

    Raises:
        DeployFailed: it is Stalled, for a minute where that may pass by itself; it is gone, or the time is over.
    """
    seen = applied
    told = ""
    clock = asyncio.get_running_loop().time
    end, passed = clock() + patience, math.inf
    try:
        async with asyncio.timeout_at(end) as limit, aclosing(_versions(api, applied)) as versions:
            async for seen in versions:
                message = _message(seen, applied)
                if message and message != told:
                    tell(message)
                    told = message
                if _is_about(seen, applied) and is_true(seen["status"], words.READY):
                    return seen
                why = _stalled(seen, applied)
                if why and why.reason not in PASSING:
                    raise why
                if why:
                    passed = min(passed, clock() + PASSES)
                limit.reschedule(min(end, passed) if why else end)
    except TimeoutError:
        pass
    raise _stalled(seen, applied) or _not_in_time(seen, applied, patience)


async def _versions(api: Api, applied: Manifest) -> AsyncGenerator[Manifest, None]:
    meta = applied["metadata"]
    while True:
        try:
            watch = api.watch(API_VERSION, "FlowDeployment", meta["namespace"], meta["name"])
            async with aclosing(watch) as objects:
                async for seen in objects:
                    if seen is None or seen["metadata"]["uid"] != meta["uid"]:
                        raise DeployFailed(
                            f"FlowDeployment {meta['name']} was deleted while it was waited for.",
                            remedy="Deploy again.",
                            reason="Deleted",
                        )
                    yield seen
        except Unauthorized:
            raise
        except Unavailable:  # it was applied: an answer that is lost on the way is no reason to give up
            await asyncio.sleep(PAUSE)


def _stalled(seen: Manifest, applied: Manifest) -> DeployFailed | None:
    """Return what is to be said of it where it is Stalled."""
    status = seen.get("status") or {}
    if not _is_about(seen, applied) or not is_true(status, words.STALLED):
        return None
    name = seen["metadata"]["name"]
    diagnosis = status.get("diagnosis") or {}
    stalled = find(status, words.STALLED) or {}
    return DeployFailed(
        f"FlowDeployment {name} is not ready: {diagnosis.get('message') or stalled.get('message', '')}",
        remedy=diagnosis.get("remedy") or f"See kubectl flow explain {name}.",
        reason=diagnosis.get("reason") or stalled.get("reason", "Stalled"),
    )


def _is_about(seen: Manifest, applied: Manifest) -> bool:
    """Whether the status speaks of what was applied, or of something later."""
    observed = (seen.get("status") or {}).get("observedGeneration")
    return observed is not None and bool(observed >= applied["metadata"]["generation"])


def _message(seen: Manifest, applied: Manifest) -> str:
    if not _is_about(seen, applied):
        return ""
    ready = find(seen.get("status") or {}, words.READY) or {}
    return str(ready.get("message", ""))


def _not_in_time(seen: Manifest, applied: Manifest, patience: float) -> DeployFailed:
    name = applied["metadata"]["name"]
    if not _is_about(seen, applied):
        return DeployFailed(
            f"The operator has not looked at FlowDeployment {name} for {patience:.0f} s.", remedy=SILENCE
        )
    return DeployFailed(
        f"FlowDeployment {name} was not ready after {patience:.0f} s: {_message(seen, applied)}",
        remedy=f"It goes on: see kubectl flow status {name}, or wait longer with wait=SECONDS.",
    )
