"""Which Python a base image has, and which C library: what packages must be chosen for."""

from __future__ import annotations

import re
import tarfile
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any

from flow_operator.images.errors import BaseImageHasNoPythonError
from flow_operator.images.oci import LAYER_ZSTD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flow_operator.images.base import Base
    from flow_operator.images.oci import Descriptor

PYTHON_LABEL = "flow-operator.io/python"
OLDEST = (3, 11)

_RELEASE = re.compile(r"3\.\d{1,2}\.\d{1,3}")
_MINOR = re.compile(r"3\.\d{1,2}(?=\.|$)")
_INTERPRETER = re.compile(r"(?:\./)?usr/(?:local/)?bin/python(3\.\d{1,2})")


def python_of(base: Base) -> str:
    """The minor version of a base's Python: its label, its environment, or what its layers hold."""
    minor = _declared(base.config) or _found(base)
    if not minor:
        raise BaseImageHasNoPythonError(f"{base.name} has no Python.")
    if tuple(map(int, minor.split("."))) < OLDEST:
        raise BaseImageHasNoPythonError(f"{base.name} has Python {minor}; flows need 3.11 or newer.")
    return minor


def another_python(base: object, python: str, author: str) -> str:
    """What to tell where a base has another minor version than the flow was written with; else empty."""
    if not author or author == python:
        return ""
    return f"Warning: {base} has Python {python}, and the flow was written with {author}."


def release_of(config: dict[str, Any]) -> str:
    """The exact version of a base's Python, where it says so (official images do); else empty."""
    label, variable = _said(config)
    minor = _declared(config)
    return next((said for said in (label, variable) if _RELEASE.fullmatch(said) and said.startswith(f"{minor}.")), "")


def libc_of(config: dict[str, Any]) -> str:
    """`musl` for Alpine, which says so in its history; `gnu` for everything else."""
    history = " ".join(str(step.get("created_by", "")) for step in config.get("history") or ())
    return "musl" if "alpine-minirootfs" in history or "apk add" in history else "gnu"


def _declared(config: dict[str, Any]) -> str:
    label, variable = _said(config)
    match = _MINOR.match(label or variable)
    return match.group() if match else ""


def _said(config: dict[str, Any]) -> tuple[str, str]:
    """What the label and the variable say, whatever that is."""
    settings = config.get("config") or {}
    environment = dict(line.partition("=")[::2] for line in settings.get("Env") or ())
    return str((settings.get("Labels") or {}).get(PYTHON_LABEL) or ""), environment.get("PYTHON_VERSION", "")


def _found(base: Base) -> str:
    """The interpreter of the topmost layer that has one; of several, the youngest."""
    for layer in reversed(base.layers):
        if layer["mediaType"] == LAYER_ZSTD:
            continue  # the standard library cannot read it: such a base declares its Python
        minors = base.repository.connection.retries.run(partial(_minors_in, base, layer))
        if minors:
            return max(minors, key=lambda minor: int(minor.partition(".")[2]))
    return ""


def _minors_in(base: Base, layer: Descriptor) -> list[str]:
    with base.repository.stream(layer) as pieces:
        return list(_interpreters(pieces))


def _interpreters(pieces: Iterable[bytes]) -> Iterator[str]:
    try:
        with tarfile.open(fileobj=_Reader(pieces), mode="r|*") as tar:  # type: ignore[call-overload]
            names = (_INTERPRETER.fullmatch(member.name) for member in tar)
            yield from (match.group(1) for match in names if match)
    except (tarfile.TarError, EOFError, zlib.error):
        return  # empty or foreign layers hold no Python


class _Reader:
    """What tarfile needs of a file: `read`."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = b""

    def read(self, size: int) -> bytes:
        while len(self._left) < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._left += piece
        data, self._left = self._left[:size], self._left[size:]
        return data
