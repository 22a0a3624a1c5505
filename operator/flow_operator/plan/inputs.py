"""What a deployment's image is made of, and the hash that decides whether to build."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..api import labels, wire
from ..api.flow_deployment import DockerStorage, Environment, FlowDeploymentSpec
from . import materials, names, pods

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..api.settings import Settings
    from .types import Manifest

# Part of every inputs hash: raise it when the same inputs would give another image.
LAYOUT = "3"


@dataclass(frozen=True)
class Code:
    """The flow's bytes and the name of the file they become under /flows."""

    file: str
    data: bytes

    @property
    def sha256(self) -> str:
        """Return the digest the builder checks."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Material:
    """What else goes to the builder: a file of the user's own, or the lock."""

    path: str  # in the image; of the lock, what its owner calls it
    data: bytes
    config_map: str = ""  # where it came from; "" where the spec itself has it

    @property
    def sha256(self) -> str:
        """Return the digest the builder checks, and the key in our own copy."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Inputs:
    """Everything an image is made of. Two deployments with one hash have one image."""

    flow: wire.FlowRef
    code: Code | None  # None: it is in an image that was built elsewhere, or on a volume
    docker: DockerStorage | None  # None: nothing is built
    image: str  # what is run where nothing is built
    base_image: str = ""
    repository: str = ""
    files: tuple[Material, ...] = ()
    lock: Material | None = None
    architecture: str = ""  # of the nodes that runs go to, where the spec names it; else the builder's own
    python: str = ""  # the author's minor version, where it is known
    rebuild: str = ""

    @property
    def hash(self) -> str:
        """Return the hash that decides whether to build."""
        return names.digest(
            LAYOUT, self._storage(), self.image, self.base_image, self.repository,
            self.flow["location"], self.flow["attribute"], self.code.sha256 if self.code else "",
            *(part for each in self.materials for part in (each.path, each.sha256)),
            self.architecture, self.rebuild,
        )  # fmt: skip

    def _storage(self) -> str:
        """What is set, less where bytes come from: they count themselves, and so does no field of a later release."""
        if self.docker is None:
            return "none"
        kept = self.docker.model_dump(
            mode="json", by_alias=True, exclude_defaults=True, exclude={"files", "dependency_lock"}
        )
        return pods.compact(kept)

    @property
    def materials(self) -> tuple[Material, ...]:
        """Return what is copied for the builder besides the code."""
        return (*self.files, *((self.lock,) if self.lock else ()))

    @property
    def mounted(self) -> bool:
        """Return whether the code is mounted: it is ours to bring, and in no image."""
        return self.code is not None and self.docker is None


def flow_ref(spec: FlowDeploymentSpec) -> wire.FlowRef:
    """Return where the flow is found inside a pod."""
    flow = spec.flow
    if elsewhere := flow.image or flow.file:
        location, _, attribute = elsewhere.location.partition(":")
        return {"location": location, "attribute": attribute}
    if flow.pickle:
        return {"location": f"{wire.FLOWS_DIR}/{flow.pickle.file}", "attribute": ""}
    file, _, attribute = flow.entrypoint.partition(":")
    return {"location": f"{wire.FLOWS_DIR}/{file}", "attribute": attribute}


def pull_secrets(spec: FlowDeploymentSpec, environment: Environment | None, settings: Settings) -> list[str]:
    """Return the names of the Secrets a pod of the flow's image pulls with."""
    docker, dask = spec.storage and spec.storage.docker, environment and environment.dask_kubernetes
    own = spec.flow.image.pull_secret if spec.flow.image else docker and docker.push_secret
    private = dask and dask.private_registry
    return list(dict.fromkeys([*(each for each in (own, private) if each), *settings.image_pull_secrets]))


def inputs_of(
    deployment: Manifest, spec: FlowDeploymentSpec, found: Mapping[str, Manifest | None], settings: Settings
) -> Inputs:
    """Return what a deployment's image is made of, defaults filled in.

    Raises:
        MaterialMissing: a ConfigMap that the spec names, or a key in it, is not there.
    """
    meta = deployment["metadata"]
    flow, rebuild = flow_ref(spec), meta.get("annotations", {}).get(labels.REBUILD, "")
    if spec.flow.image:
        return Inputs(flow, None, None, spec.flow.image.reference, rebuild=rebuild)
    if spec.flow.file:
        return Inputs(flow, None, None, settings.runtime_image, rebuild=rebuild)
    code, python = _code(spec, flow, found), spec.flow.pickle.python if spec.flow.pickle else ""
    if spec.storage and spec.storage.bytes is not None:
        return Inputs(flow, code, None, settings.runtime_image, python=python, rebuild=rebuild)
    docker = (spec.storage and spec.storage.docker) or DockerStorage()
    prefix = (docker.registry_url or settings.registry).strip("/")
    name = docker.image_name or f"{meta['namespace']}-{meta['name']}".replace(".", "-")
    return Inputs(
        flow=flow,
        code=code,
        docker=docker,
        image="",
        base_image=docker.base_image or settings.runtime_image,
        repository=f"{prefix}/{name}" if prefix else "",
        files=_files(docker, found),
        lock=_lock(docker, found),
        architecture=spec.runner.node_selector.get("kubernetes.io/arch", ""),
        python=python,
        rebuild=rebuild,
    )


def _code(spec: FlowDeploymentSpec, flow: wire.FlowRef, found: Mapping[str, Manifest | None]) -> Code:
    file = flow["location"].rpartition("/")[2]
    if spec.flow.pickle:
        return Code(file, _decoded(spec.flow.pickle.data))
    source = spec.flow.source
    assert source is not None, "the API server admits exactly one"  # noqa: S101
    if source.config_map:
        field = "spec.flow.source.configMap"
        return Code(file, materials.value(field, found, source.config_map.name, source.config_map.key))
    return Code(file, (source.inline or "").encode())


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data)
    except ValueError:  # the pattern of the CRD holds the letters, not the padding
        field = "spec.flow.pickle.data"
        raise materials.MaterialMissing(field, f"{field} is not base64: its length does not fit.") from None


def _files(docker: DockerStorage, found: Mapping[str, Manifest | None]) -> tuple[Material, ...]:
    return tuple(
        Material(
            each.path,
            materials.value("spec.storage.docker.files", found, each.config_map.name, each.config_map.key),
            each.config_map.name,
        )
        for each in sorted(docker.files, key=lambda each: each.path)
    )


def _lock(docker: DockerStorage, found: Mapping[str, Manifest | None]) -> Material | None:
    lock, field = docker.dependency_lock, "spec.storage.docker.dependencyLock"
    if lock is None:
        return None
    if lock.config_map:
        name, key = lock.config_map.name, lock.config_map.key
        return Material(key, materials.value(f"{field}.configMap", found, name, key), name)
    return Material("dependencyLock", (lock.inline or "").encode())


def tag_of(inputs: Inputs) -> str:
    """Return the tag to push: the one asked for, or a hash of the inputs."""
    return (inputs.docker and inputs.docker.image_tag) or f"i-{inputs.hash[:16]}"
