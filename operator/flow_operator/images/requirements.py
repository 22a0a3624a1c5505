"""Requirement lines and locks as values: what a user may write, and what uv answers. Lock files: see locks.py."""

from __future__ import annotations

import hashlib
import platform
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from flow_operator.images.errors import BadRequestError, DependencyHasNoWheelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_HASH = re.compile(r"--hash=(\S+)")
_ONE_LINE = re.compile(r"\\\n\s*")


@dataclass(frozen=True)
class Pin:
    """One package of a lock."""

    requirement: Requirement
    hashes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name, in the one spelling."""
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        """Its version, or its URL."""
        return self.requirement.url or str(self.requirement.specifier).lstrip("=")

    def applies(self, python: str, machine: str) -> bool:
        """Whether its marker holds on Linux with a Python minor version."""
        marker = self.requirement.marker
        return marker is None or marker.evaluate(_environment(python, machine))

    def chosen(self) -> Pin:
        """Without what led to it: marker and extras."""
        url = self.requirement.url
        return Pin(Requirement(f"{self.name} @ {url}" if url else f"{self.name}=={self.version}"), self.hashes)

    def __str__(self) -> str:
        return " ".join([str(self.requirement), *(f"--hash={one}" for one in self.hashes)])


@dataclass(frozen=True)
class Lock:
    """A resolved set of packages, in one order."""

    pins: tuple[Pin, ...]

    @property
    def text(self) -> str:
        """What uv installs from."""
        return "".join(f"{pin}\n" for pin in self.pins)

    @property
    def digest(self) -> str:
        """The lock's name."""
        return f"sha256:{hashlib.sha256(self.text.encode()).hexdigest()}"

    def versions(self) -> dict[str, str]:
        """Versions by name."""
        return dict(self._versions)

    @cached_property
    def _versions(self) -> dict[str, str]:
        return {pin.name: pin.version for pin in self.pins}

    def without(self, versions: Mapping[str, str]) -> Lock:
        """The packages that are not there already in the same version."""
        return Lock(tuple(pin for pin in self.pins if versions.get(pin.name) != pin.version))

    def on(self, python: str, machine: str = "") -> Lock:
        """The packages one Python minor version needs on Linux: equal ones, wherever they were read, are one lock."""
        pins = (pin.chosen() for pin in self.pins if pin.applies(python, machine or platform.machine()))
        return Lock(tuple(sorted(pins, key=str)))


def parse_lock(text: str) -> Lock:
    """Read `uv pip compile`'s output, whatever its order, comments and line breaks."""
    lines = (line.strip() for line in _ONE_LINE.sub(" ", text).splitlines())
    pins = (_pin(line) for line in lines if line and not line.startswith(("#", "-")))
    return Lock(tuple(sorted(pins, key=lambda pin: (pin.name, str(pin)))))


def parse_requirements(lines: Iterable[str]) -> tuple[str, ...]:
    """A user's lines, checked and in one order: names, versions, markers and URLs of wheels, no options, no files."""
    return tuple(sorted({str(_requirement(line)) for line in lines if line.strip()}))


def is_wheel_url(url: str) -> bool:
    """Whether a URL is that of a wheel on a server."""
    parts = urlsplit(url)
    # "${": uv would put the builder's environment, index credentials included, into somebody's URL.
    return parts.scheme in ("https", "http") and parts.path.endswith(".whl") and "${" not in url


def all_pinned(requirements: Iterable[str]) -> bool:
    """Whether every line names exactly one version, so that resolving again could only find the same."""
    return all(re.search(r"===?[^*,;]+$", line.partition(";")[0].strip()) for line in requirements)


def _pin(line: str) -> Pin:
    requirement = Requirement(line.partition(" --hash=")[0])
    return Pin(requirement, tuple(sorted(_HASH.findall(line))))


def _requirement(line: str) -> Requirement:
    try:
        requirement = Requirement(line.strip())
    except InvalidRequirement as error:
        reason = str(error).partition("\n")[0]
        raise BadRequestError(
            f"pythonDependencies has {line!r}, which is no requirement: {reason}.",
            remedy="Write package names with versions (pandas>=2), one per item; options and files are not read.",
        ) from None
    if requirement.url:
        _check_url(line, requirement.url)
    return requirement


def _check_url(line: str, url: str) -> None:
    if not is_wheel_url(url):
        raise DependencyHasNoWheelError(f"pythonDependencies has {line!r}: a URL must be that of a wheel, by https.")


def _environment(python: str, machine: str) -> dict[str, str]:
    linux = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": machine}
    cpython = {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    return {**_defaults(), **linux, **cpython, "python_version": python, "python_full_version": f"{python}.0"}


def _defaults() -> dict[str, str]:
    return {key: str(value) for key, value in default_environment().items()}
