"""The shape of what users write in Kubernetes' own words, as far as it is read here; the rest is the API server's.

The CRDs say the same of a resource. This says it of what comes from a flow's Python, and of files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# What each has, and the lists of objects in it.
POD_LISTS = ("containers", "initContainers", "volumes", "imagePullSecrets")
CONTAINER_LISTS = ("env", "volumeMounts")
METADATA_OBJECTS = ("labels", "annotations")


def fault_of_pod(spec: Any, place: str) -> str | None:
    """Return which part of a PodSpec has another shape than Kubernetes gives it, None where none has."""
    return next(_of_pod(spec, place), None)


def fault_of_job(spec: Any, place: str) -> str | None:
    """Return which part of a JobSpec has another shape than Kubernetes gives it, None where none has."""
    return next(_of_job(spec, place), None)


def _of_job(spec: Any, place: str) -> Iterator[str]:
    yield from _object(spec, place)
    template, place = spec.get("template") or {}, f"{place}.template"
    yield from _object(template, place)
    metadata = template.get("metadata") or {}
    yield from _object(metadata, f"{place}.metadata")
    for key in METADATA_OBJECTS:
        yield from _object(metadata.get(key) or {}, f"{place}.metadata.{key}")
    yield from _list(metadata, "finalizers", f"{place}.metadata")
    yield from _of_pod(template.get("spec") or {}, f"{place}.spec")


def _of_pod(spec: Any, place: str) -> Iterator[str]:
    yield from _object(spec, place)
    for key in POD_LISTS:
        yield from _objects(spec, key, place)
    for key in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(key) or ()):
            yield from _object(container.get("securityContext") or {}, f"{place}.{key}[{index}].securityContext")
            for each in CONTAINER_LISTS:
                yield from _objects(container, each, f"{place}.{key}[{index}]")


def _objects(owner: dict[str, Any], key: str, place: str) -> Iterator[str]:
    yield from _list(owner, key, place)
    for index, each in enumerate(owner.get(key) or ()):
        yield from _object(each, f"{place}.{key}[{index}]")


def _list(owner: dict[str, Any], key: str, place: str) -> Iterator[str]:
    if not isinstance(owner.get(key) or [], list):
        yield f"{place}.{key} must be a list"


def _object(value: Any, place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place} must be an object"
