"""The operator's settings: one file, rendered by the chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from .model import Model

if TYPE_CHECKING:
    from pathlib import Path


class _Setting(Model):
    # A misspelt setting must not be silently ignored.
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class RegistrySetting(_Setting):
    """How a registry's public name is reached from inside the cluster."""

    endpoint: str
    insecure: bool = False  # do not verify its certificate


class PackageIndex(_Setting):
    """Where the builder resolves Python packages; empty: uv's default."""

    url: str = ""
    extra_urls: tuple[str, ...] = Field(default=(), alias="extraURLs")


class DockerEngine(_Setting):
    """The engine that `builder: Docker` builds with, reached from the flow's namespace; empty: there is none."""

    url: str = ""  # tcp://docker.example.com:2376
    tls_secret: str = ""  # in the flow's namespace, with ca.pem, cert.pem and key.pem


class LeaderElection(_Setting):
    """The Lease that says which replica acts."""

    enabled: bool = True
    lease_name: str = "flow-operator"
    namespace: str = "flow-operator-system"
    lease_duration_seconds: int = 15
    renew_deadline_seconds: int = 10
    retry_period_seconds: int = 2


class Resources(_Setting):
    """Requests and limits of one sort of pod."""

    resources: dict[str, Any] = Field(default_factory=dict)


class Retries(_Setting):
    """How long a run waits between two attempts."""

    backoff_seconds: float = Field(default=10.0, gt=0)  # after the first failure; doubles with each


class BuilderSettings(Resources):
    """Builder pods: each of them, and how many."""

    at_once: int = Field(default=10, ge=1)  # the rest wait for their turn


class DaskOperator(_Setting):
    """Whether dask-kubernetes' controller is there."""

    present: bool = True


class DaskSettings(_Setting):
    """Who makes a run's Dask cluster, and its default resources."""

    provider: Literal["DaskCluster", "Pods"] = "Pods"
    scheduler_resources: dict[str, Any] = Field(default_factory=dict)
    worker_resources: dict[str, Any] = Field(default_factory=dict)


class Settings(_Setting):
    """Everything an administrator decides."""

    registry: str = ""
    operator_image: str
    runtime_image: str
    registries: dict[str, RegistrySetting] = Field(default_factory=dict)
    package_index: PackageIndex = PackageIndex()
    docker_engine: DockerEngine = DockerEngine()
    ca_bundle: str = ""
    watch_namespaces: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    image_pull_secrets: tuple[str, ...] = ()
    leader_election: LeaderElection = LeaderElection()
    retries: Retries = Retries()
    dask_operator: DaskOperator = DaskOperator()
    builder: BuilderSettings = BuilderSettings()
    runner: Resources = Resources()
    dask: DaskSettings = DaskSettings()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] = "json"

    @property
    def identity(self) -> str:
        """Return what tells operators apart that share a cluster: the Lease that their replicas share."""
        return f"{self.leader_election.namespace}/{self.leader_election.lease_name}"


def load(path: Path) -> Settings:
    """Read the settings file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not YAML, or a setting is unknown or of the wrong type (pydantic names it).
    """
    import yaml

    return Settings.model_validate(yaml.safe_load(path.read_text()) or {})
