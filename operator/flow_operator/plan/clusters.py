"""The Dask cluster of a run behind one small interface: what to make, whether it works, what to change.

Two providers: `DaskClusters` leaves scheduler and workers to dask-kubernetes, `Pods` makes them itself (docs/dask.md).
What either has made goes when the attempt has ended; that needs no opinion (plan/clean_up.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import dask_health, names

if TYPE_CHECKING:
    from datetime import datetime

    from ..api import wire
    from ..api.flow_deployment import DaskKubernetesEnvironment, Diagnosis
    from ..api.settings import Settings
    from .pinned import Pinned
    from .types import Ask, Manifest, ObservedRun, Ref


@dataclass(frozen=True)
class Attempt:
    """The attempt of a run whose cluster it is."""

    run: Manifest
    pinned: Pinned
    number: int

    @property
    def dask(self) -> DaskKubernetesEnvironment:
        """Return the environment."""
        assert self.pinned.dask is not None, "only a daskKubernetes run has a cluster"  # noqa: S101
        return self.pinned.dask

    @property
    def namespace(self) -> str:
        """Return the namespace of everything."""
        return str(self.run["metadata"]["namespace"])

    @property
    def named(self) -> tuple[str, str, int]:
        """Return what names are made of: run, UID, attempt."""
        return self.run["metadata"]["name"], self.run["metadata"]["uid"], self.number

    @property
    def scheduler_host(self) -> str:
        """Return the name under which the scheduler is found."""
        return f"{names.scheduler_service(*self.named)}.{self.namespace}.svc"


@dataclass(frozen=True)
class Counts:
    """Workers there should be, and workers that work."""

    desired: int
    ready: int | None  # None: not known yet


@dataclass(frozen=True)
class Change:
    """What to do about a cluster that works."""

    create: tuple[Manifest, ...] = ()
    delete: tuple[Ref, ...] = ()
    retire: int = 0  # workers, of the scheduler's choice
    again_after: float | None = None


class Provider:
    """Who makes scheduler and workers of a run, and looks after them."""

    def children(self, of: Attempt, settings: Settings) -> list[Manifest]:
        """Return what is made with the runner pod."""
        raise NotImplementedError

    def executor(self, of: Attempt) -> wire.ExecutorSpec:
        """Return what the runner is told."""
        raise NotImplementedError

    def runner_spec(self, of: Attempt) -> Manifest:  # noqa: ARG002
        """Return what the runner pod's spec has besides."""
        return {}

    def runner_container(self) -> Manifest:
        """Return what the flow's container has besides."""
        return {}

    def broken(self, seen: ObservedRun) -> Diagnosis | None:
        """Return why the cluster will never work, or None."""
        return dask_health.broken(seen)

    def waiting(self, seen: ObservedRun, now: datetime) -> Diagnosis | None:
        """Return what the cluster waits for, or None where all is well."""
        return dask_health.waiting(seen, now)

    def usable(self, seen: ObservedRun, wanted: DaskKubernetesEnvironment, now: datetime) -> bool:
        """Return whether the flow can begin: there is a scheduler, and a worker unless none was asked for."""
        raise NotImplementedError

    def count(self, seen: ObservedRun, wanted: DaskKubernetesEnvironment, now: datetime) -> Counts:
        """Return how many workers there should be and are."""
        raise NotImplementedError

    def ask(self, of: Attempt, runner: Manifest) -> Ask | None:  # noqa: ARG002
        """Return the scheduler to listen to while the flow runs, None where nobody needs to."""
        return None

    def change(self, of: Attempt, settings: Settings, seen: ObservedRun, now: datetime) -> Change:  # noqa: ARG002
        """Return what to do about the workers while the flow runs."""
        return Change()
