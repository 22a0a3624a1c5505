"""The image that is pushed: the base's config and layers with ours on top. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flow_operator.api import wire
from flow_operator.images.blobs import BytesBlob
from flow_operator.images.dependencies import SHARED
from flow_operator.images.oci import CONFIG, MANIFEST, Descriptor, Manifest, canonical
from flow_operator.images.python_version import PYTHON_LABEL
from flow_operator.images.runtime import RUNTIME_LABEL, Runtime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flow_operator.images.base import Base
    from flow_operator.images.layers import Layer

LOCK_ANNOTATION = "flow-operator.io/lock"
VERSION_ANNOTATION = "flow-operator.io/version."  # followed by python, flow-operator, dask, distributed, cloudpickle

_EPOCH = "1970-01-01T00:00:00Z"
_DOCKER_ONLY = ("container", "container_config", "docker_version", "id", "parent", "throwaway")


@dataclass(frozen=True)
class Image:
    """Everything an upload needs."""

    base: Base
    layers: tuple[Layer, ...]
    config: BytesBlob
    manifest: Manifest


def compose(
    base: Base,
    layers: tuple[Layer, ...],
    env: Mapping[str, str],
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> Image:
    """The image of layers on a base. Equal arguments give equal digests."""
    config = BytesBlob(canonical(_config(base, layers, env, labels)))
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": Descriptor(mediaType=CONFIG, digest=config.digest, size=config.size),
        "layers": [*base.layers, *(layer.descriptor for layer in layers)],
        "annotations": {**_origin(base), **annotations},
    }
    return Image(base, layers, config, Manifest(canonical(document), MANIFEST))


def _origin(base: Base) -> dict[str, str]:
    return {
        "org.opencontainers.image.base.name": base.name,
        "org.opencontainers.image.base.digest": base.digest,
    }


def _config(base: Base, layers: tuple[Layer, ...], env: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, Any]:
    config = {key: value for key, value in base.config.items() if key not in _DOCKER_ONLY}
    created = config.get("created") or _EPOCH
    said = config.get("config") or {}
    settings = {
        **said,
        "Env": environment(said.get("Env") or [], env),
        "Labels": {**(said.get("Labels") or {}), **labels},
    }
    return {
        **config,
        "created": created,
        "architecture": base.architecture,
        "os": "linux",
        "config": settings,
        "history": [*(config.get("history") or []), *(_step(layer, created) for layer in layers)],
        "rootfs": {"type": "layers", "diff_ids": _diff_ids(config, layers)},
    }


def _diff_ids(config: Mapping[str, Any], layers: tuple[Layer, ...]) -> list[str]:
    return [*config["rootfs"]["diff_ids"], *(layer.diff_id for layer in layers)]


def _step(layer: Layer, created: str) -> dict[str, str]:
    return {"created": created, "created_by": "flow-operator", "comment": f"{layer.kind} layer"}


def environment(base: list[str], env: Mapping[str, str]) -> list[str]:
    """A base's environment with a request's on top, and our directories first on PYTHONPATH."""
    variables = dict(line.partition("=")[::2] for line in base)
    variables.update(sorted(env.items()))
    variables["PYTHONPATH"] = python_path(variables.get("PYTHONPATH", ""))
    return [f"{name}={value}" for name, value in variables.items()]


def python_path(existing: str) -> str:
    """Dependencies, runtime, then what was there; nothing twice."""
    places = [*wire.PYTHONPATH.split(":"), *existing.split(":")]
    return ":".join(dict.fromkeys(place for place in places if place))


def labels_for(python: str, runtime: Runtime, config: Mapping[str, Any]) -> dict[str, str]:
    """What an image says of itself, so that it can be a base too: its Python and its runtime's versions."""
    said = (config.get("config") or {}).get("Labels") or {}
    versions = {**runtime.versions, "flow-operator": runtime.release}
    pins = " ".join(f"{name}=={version}" for name, version in sorted(versions.items()))
    return {PYTHON_LABEL: python, RUNTIME_LABEL: said.get(RUNTIME_LABEL) or pins}


def annotations_for(repository: str, python: str, runtime: Runtime, lock: str) -> dict[str, str]:
    """What the manifest says of an image, for whoever does not run it: versions, and the lock of the dependencies."""
    versions = {"flow-operator": runtime.release, "python": python}
    versions |= {name: runtime.versions[name] for name in SHARED if name in runtime.versions}
    said = {f"{VERSION_ANNOTATION}{name}": version for name, version in versions.items() if version}
    said["org.opencontainers.image.title"] = repository.rpartition("/")[2]
    return {**said, LOCK_ANNOTATION: lock} if lock else said
