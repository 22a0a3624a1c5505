"""Kubernetes' own words in files of the user's: read once, when the environment is made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from flow_operator.api import shapes

if TYPE_CHECKING:
    import os

# Where the kinds that have one keep their PodSpec.
_PODS = {"Pod": ("spec",), "PodTemplate": ("template", "spec")}
_TEMPLATED = ("spec", "template", "spec")


def job(argument: str, file: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the Job in a file as `spec.environment.kubernetesJob` of a FlowDeployment.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no YAML, no Job with a container, or has a part of another shape.
    """
    document = _document(argument, file)
    spec = document.get("spec") if document.get("kind") == "Job" else document
    if not isinstance(spec, dict) or not _at(spec, ("template", "spec", "containers")):
        raise ValueError(f"{argument}: {file} is no Job with a container: there is none in template.spec.containers")
    _check(argument, file, shapes.fault_of_job(spec, "spec"))
    if any(spec.get(each, 1) != 1 for each in ("parallelism", "completions")):
        raise ValueError(f"{argument}: {file}: a run is one execution: parallelism and completions must be 1")
    metadata = document.get("metadata") if document.get("kind") == "Job" else None
    _check(argument, file, None if isinstance(metadata or {}, dict) else "metadata must be an object")
    kept = {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)} if metadata else {}
    return {"jobSpec": spec, **({"metadata": kept} if kept else {})}


def pod_spec(argument: str, file: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the PodSpec in a file: the document itself, or what a Pod, a Job or another workload has.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no YAML, no PodSpec, or has a part of another shape.
    """
    document = _document(argument, file)
    kind = document.get("kind")
    spec = _at(document, _PODS.get(str(kind), _TEMPLATED)) if kind else document
    if not isinstance(spec, dict):
        raise ValueError(f"{argument}: {file} is neither a PodSpec nor an object that has one")
    _check(argument, file, shapes.fault_of_pod(spec, "spec"))
    return spec


def _check(argument: str, file: str | os.PathLike[str], fault: str | None) -> None:
    if fault:
        raise ValueError(f"{argument}: {file}: {fault}")


def _document(argument: str, file: str | os.PathLike[str]) -> dict[str, Any]:
    from pathlib import Path

    import yaml  # dask's own dependency

    try:
        found = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        json.dumps(found, allow_nan=False)
    except FileNotFoundError:
        raise FileNotFoundError(f"{argument}: there is no file {str(file)!r}") from None
    except OSError as error:
        raise ValueError(f"{argument}: {file} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"{argument}: {file} is not YAML of one document: {said}") from None
    except (TypeError, ValueError) as error:  # a date, say, which JSON has not
        raise ValueError(f"{argument}: {file} has a value that must be quoted: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{argument}: {file} holds no object, but {type(found).__name__}")
    return found


def _at(document: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document
