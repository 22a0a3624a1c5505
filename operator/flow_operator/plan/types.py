"""The values decisions are made of and end in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Ref:
    """An object to act on, as the API server names it."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str | None = None
    grace: int | None = None  # seconds of a deletion; None: the object's own

    @classmethod
    def of(cls, manifest: Manifest) -> Ref:
        """Return the reference of an object, with its UID: a namesake made later is not it."""
        meta = manifest["metadata"]
        return cls(manifest["apiVersion"], manifest["kind"], meta["namespace"], meta["name"], meta.get("uid"))


@dataclass(frozen=True)
class Announcement:
    """A Kubernetes Event to be: its reason is a condition's reason."""

    type: str  # Normal or Warning
    reason: str
    message: str


@dataclass(frozen=True)
class Ask:
    """A scheduler to listen to."""

    address: str  # of its HTTP server
    target: bool  # whether how many workers it would like is of interest


@dataclass(frozen=True)
class Heard:
    """What a run's scheduler has said. Nobody knows more of it than this."""

    since: datetime  # it has been asked
    at: datetime | None = None  # it last answered
    workers: frozenset[str] = frozenset()  # names of those that have registered
    target: int | None = None  # workers it would like
    most_wanted: int | None = None  # the highest target in the last seconds; None: not listened to for long enough
    retired: frozenset[str] = frozenset()  # names of those that it has let go for us


@dataclass(frozen=True)
class Plan:
    """What to do about one object: tell first, then do. Every part may be repeated without harm."""

    status: Manifest | None = None  # the whole new status; None: leave it
    create: tuple[Manifest, ...] = ()
    delete: tuple[Ref, ...] = ()
    ask: Ask | None = None  # a scheduler to listen to from now on; None: to none
    retire: int = 0  # workers that it is asked to let go
    unblock: tuple[Ref, ...] = ()  # take kopf's finalizer off: whoever put it on has had its time
    hold: str = ""  # a finalizer to put on the object itself, before anything is created
    release: tuple[Ref, ...] = ()  # take our finalizers off: what they waited for is done
    announce: tuple[Announcement, ...] = ()
    again_after: float | None = None  # seconds until to look again without an event


@dataclass(frozen=True)
class ObservedRun:
    """What the watches delivered about one run."""

    deployment: Manifest | None = None
    runner: Manifest | None = None  # the runner pod of the current attempt
    runner_gone: bool = False  # it was there and was deleted
    vanished: Manifest | None = None  # as it was last, where it was deleted before its flow was seen to end
    runners: tuple[Manifest, ...] = ()  # runner pods of all attempts
    job: Manifest | None = None  # that makes the runner pod of the current attempt, where it is a Job's
    jobs: tuple[Manifest, ...] = ()  # of all attempts
    fallback: Manifest | None = None  # the pod that runs on_exit of the current attempt, where its runner pod could not
    fallbacks: tuple[Manifest, ...] = ()  # such pods of all attempts
    cluster: Manifest | None = None
    autoscaler: Manifest | None = None
    earlier: tuple[Manifest, ...] = ()  # clusters of earlier attempts that are not gone yet
    dask_pods: tuple[Manifest, ...] = ()  # of the current attempt, as all that follows
    dask_deployments: tuple[Manifest, ...] = ()
    services: tuple[Manifest, ...] = ()  # of the scheduler, where it is ours
    workers: tuple[Manifest, ...] = ()  # worker pods that are the run's own
    heard: Heard | None = None  # what the scheduler has said
    refused: str | None = None  # why the API server refused a child of ours
    scale_up: str | None = None  # when an autoscaler said that it brings a node for a pod; asked only where it matters
    replaced_by: str | None = None  # a later run of its schedule that wants it cancelled
    replaces: str | None = None  # an earlier one that has not ended yet


@dataclass(frozen=True)
class ObservedDeployment:
    """What the watches delivered about one deployment."""

    referenced: Mapping[str, Manifest | None] = field(default_factory=dict)  # users' ConfigMaps that the spec names
    builders: tuple[Manifest, ...] = ()
    checks: tuple[Manifest, ...] = ()
    config_maps: tuple[Manifest, ...] = ()
    ca_bundle: str | None = None
    runs: tuple[Manifest, ...] = ()  # FlowRuns of its ticks: the schedule's, and those somebody filled in
    run_refused: str | None = None  # why the API server refused the last of them
    pinned_config_maps: frozenset[str] = field(default_factory=frozenset)  # code that unfinished runs mount
    refused: str | None = None
    builds: tuple[Manifest, ...] = ()  # deployments that build, or wait for their turn
    unpullable: Manifest | None = None  # the diagnosis of an unfinished run that cannot pull this very image
