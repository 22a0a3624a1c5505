"""uv as a subprocess: how it is called, and what its failures mean."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uv

from flow_operator.images.errors import (
    BuilderDiskFullError,
    BuildError,
    DependencyConflictError,
    DependencyFailedError,
    DependencyHashMismatchError,
    DependencyHasNoWheelError,
    DependencyNotFoundError,
    IndexUnreachableError,
)

if TYPE_CHECKING:
    from pathlib import Path

_ALONE = ("--no-config", "--no-python-downloads", "--color=never")
_QUIETLY = ("--quiet", *_ALONE)
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "ppc64le": "ppc64le", "s390x": "s390x", "386": "i686"}

# The first words that are found name the failure. Order: causes before their consequences.
_FAILURES: dict[type[BuildError], tuple[str, ...]] = {
    BuilderDiskFullError: ("No space left on device", "Disk quota exceeded"),
    DependencyHashMismatchError: ("Hash mismatch for",),
    IndexUnreachableError: ("Failed to fetch", "error sending request", "dns error", "invalid peer certificate"),
    DependencyHasNoWheelError: ("no usable wheels", "no wheels with a matching", "only has source distributions"),
    DependencyNotFoundError: ("was not found in", "there is no version of", "there are no versions of"),
    DependencyConflictError: ("we can conclude that",),
}
_CREDENTIAL = re.compile(r"://[^/@\s]+@")
_QUERY = re.compile(r"(https?://[^\s?#`']+)\?[^\s`')]*")


@dataclass(frozen=True)
class Target:
    """What packages are chosen for."""

    python: str  # minor version: "3.12"
    architecture: str  # GOARCH: "amd64"
    libc: str = "gnu"  # or "musl"
    release: str = ""  # "3.12.4", where the image says it: bytecode is made by the same

    @property
    def machine(self) -> str:
        """The architecture as markers and wheels have it."""
        return _MACHINES.get(self.architecture, self.architecture)

    def options(self) -> list[str]:
        """uv's words for it. `gnu` is manylinux_2_28 there: Debian 10, RHEL 8 and everything younger."""
        platform = f"{self.machine}-unknown-linux-{self.libc}"
        return ["--python-version", self.python, "--python-platform", platform]


# Python fills its table of sysconfig when it is first asked, and shows a second thread the half of it (seen once).
_FINDING = threading.Lock()


class Uv:
    """uv, working in one directory."""

    def __init__(self, work: Path) -> None:
        self.work = work

    def compile(self, requirements: str, constraints: str, preferences: str, target: Target) -> str:
        """The lock text of requirements. Preferred versions are taken where nothing speaks against them."""
        lock = self.work / "requirements.lock"
        lock.write_text(preferences)  # uv keeps what it finds in its output file
        files = [self._file("requirements.in", requirements), "-c", self._file("constraints.in", constraints)]
        options = ["--generate-hashes", "--no-header", "--no-annotate", "--output-file", str(lock)]
        self._pip("compile", *files, *options, *_wheels_for(target))
        return lock.read_text()

    def install(self, lock: str, target: Target, directory: Path) -> None:
        """Unpack the wheels of a lock, and nothing else, into a directory."""
        files = ["-r", self._file("install.lock", lock), "--target", str(directory)]
        self._pip("install", *files, "--no-deps", "--require-hashes", *_wheels_for(target))

    def export(self, lock: str, project: str, requires: str) -> str:
        """A uv.lock as lines with hashes and markers: what a project needs, without its groups and extras."""
        folder = self.work / "export"
        folder.mkdir(exist_ok=True)
        (folder / "uv.lock").write_text(lock)
        # As much of a project as uv asks for; frozen, it is not compared with the lock.
        head = f'[project]\nname = {json.dumps(project)}\nversion = "0"\nrequires-python = {json.dumps(requires)}\n'
        (folder / "pyproject.toml").write_text(head)
        options = ["--frozen", "--offline", "--no-emit-project", "--no-default-groups", "--no-annotate", "--no-header"]
        return self._run("export", "--format", "requirements.txt", *options, "--project", str(folder), *_QUIETLY)

    def find_python(self, version: str) -> str:
        """A CPython of this version that is installed here; empty where there is none."""
        try:
            found = self._run("python", "find", f"cpython@{version}", "--no-project", *_ALONE)
        except BuildError:
            return ""
        return found.strip()

    def _file(self, name: str, text: str) -> str:
        path = self.work / name
        path.write_text(text)
        return str(path)

    def _pip(self, *arguments: str) -> None:
        self._run("pip", *arguments, "--python", sys.executable, *_QUIETLY)

    def _run(self, *arguments: str) -> str:
        with _FINDING:
            command = [uv.find_uv_bin(), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=self._environment(), cwd=self.work)
        if done.returncode != 0:
            raise uv_error(done.stderr)
        return done.stdout

    def _environment(self) -> dict[str, str]:
        """The pod's environment (its index settings are uv's own); a cache of our own where HOME is read-only."""
        if "UV_CACHE_DIR" in os.environ or os.access(os.environ.get("HOME", "/"), os.W_OK):
            return dict(os.environ)
        return {**os.environ, "UV_CACHE_DIR": str(self.work / "uv-cache")}


def uv_error(stderr: str) -> BuildError:
    """What uv's failure means, in its own words, without credentials."""
    words = without_secrets(" ".join(stderr.split()))
    kinds = (kind for kind, signs in _FAILURES.items() if any(sign in words for sign in signs))
    return next(kinds, DependencyFailedError)(_shortened(words))


def without_secrets(words: str) -> str:
    """Text whose URLs have neither a credential nor a query."""
    return _QUERY.sub(r"\1", _CREDENTIAL.sub("://", words))


def _shortened(words: str) -> str:
    words = words.removeprefix("error: No solution found when resolving dependencies cause: ").removeprefix("error: ")
    words = words.partition(" hint: ")[0]
    return words if len(words) <= 600 else f"{words[:600]}…"


def _wheels_for(target: Target) -> list[str]:
    return ["--only-binary", ":all:", *target.options()]
