"""`kubectl flow`: deploy flows, run them, and see what becomes of them. One module for each command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Be the program; exits."""
    from .program import run

    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
