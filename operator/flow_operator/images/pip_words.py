"""What pip's failures mean: the same reasons as uv's in `uv.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_operator.images.engine_border import kind_of, plain
from flow_operator.images.errors import (
    BaseImageHasNoPythonError,
    BuildError,
    DependencyConflictError,
    DependencyFailedError,
    DependencyHashMismatchError,
    DependencyNotFoundError,
    EngineDiskFullError,
    IndexUnreachableError,
)
from flow_operator.images.install import NO_PIP

if TYPE_CHECKING:
    from collections.abc import Sequence

# The first words that are found name the failure; small letters. Order: causes before their consequences.
_FAILURES: tuple[tuple[type[BuildError], tuple[str, ...]], ...] = (
    (EngineDiskFullError, ("no space left on device", "disk quota exceeded")),
    (
        IndexUnreachableError,
        (
            "failed to establish a new connection",
            "name resolution",
            "certificate_verify_failed",
            "read timed out",
            "connection to",
            "proxyerror",
            "could not fetch url",
        ),
    ),
    (DependencyHashMismatchError, ("do not match the hashes",)),
    (DependencyConflictError, ("resolutionimpossible", "conflicting dependencies")),
    (DependencyNotFoundError, ("no matching distribution found", "could not find a version that satisfies")),
)
_COMPILE_REMEDY = "Install what it needs to compile with extraCommands, or choose a version with a wheel."
_NO_PIP_REMEDY = "Use a base whose python3 has pip, or install it with extraCommands."


def pip_error(output: Sequence[str]) -> BuildError:
    """The error for the last lines of the dependencies' step."""
    words = "\n".join(output)
    if NO_PIP in words:
        return BaseImageHasNoPythonError("The image's Python has no pip.", remedy=_NO_PIP_REMEDY)
    kind = kind_of(words, _FAILURES) or DependencyFailedError
    said = plain(" ".join(line for line in output if line.startswith("ERROR:")) or words)
    message = f"pip cannot install pythonDependencies: {said.replace('ERROR: ', '')}."
    compiling = kind is DependencyFailedError and ("wheel" in words or "subprocess-exited" in words)
    return kind(message, remedy=_COMPILE_REMEDY) if compiling else kind(message)
