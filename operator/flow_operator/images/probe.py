"""What an image's Python says of itself, asked in a container."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flow_operator.images.errors import BaseImageHasNoPythonError
from flow_operator.images.python_version import OLDEST

if TYPE_CHECKING:
    from flow_operator.images.engine import Ran

_PROGRAM = "import json, platform, sys; print(json.dumps([platform.python_version(), platform.libc_ver()[0]]))"
PROBE = ("python3", "-I", "-S", "-c", _PROGRAM)


@dataclass(frozen=True)
class Found:
    """A Python in an image."""

    release: str  # "3.12.4"
    libc: str  # "gnu" or "musl"

    @property
    def python(self) -> str:
        """The minor version: "3.12"."""
        return ".".join(self.release.split(".")[:2])


def found(image: str, ran: Ran) -> Found:
    """Read the probe's answer."""
    try:
        release, libc = json.loads(ran.out)
    except ValueError:
        raise BaseImageHasNoPythonError(f"{image} has no Python that runs.") from None
    python = Found(release, "gnu" if libc == "glibc" else "musl")
    if tuple(map(int, python.python.split("."))) < OLDEST:
        raise BaseImageHasNoPythonError(f"{image} has Python {python.python}; flows need 3.11 or newer.")
    return python
