"""What a person sees while something takes time: lines on standard error, livelier on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Progress = Callable[[str], None]

_active: ContextVar[Progress | None] = ContextVar("flow_operator_progress", default=None)


@contextmanager
def telling(progress: Progress | None = None) -> Iterator[Progress]:
    """Yield a function that tells lines: the given one, else that of the block around this one, else a new one."""
    already = progress or _active.get()
    with _given(already) if already else _lively() if sys.stderr.isatty() else _given(plain) as tell:
        token = _active.set(tell)
        try:
            yield tell
        finally:
            _active.reset(token)


def plain(line: str) -> None:
    """Tell a line where there is no terminal: in a log, a notebook, CI."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _given(progress: Progress) -> Iterator[Progress]:
    yield progress


@contextmanager
def _lively() -> Iterator[Progress]:
    """Keep what was told, and a spinner beside what is being done."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True, highlight=False)
    with console.status("…") as status:

        def tell(line: str) -> None:
            console.print(f"[dim]{escape(line)}[/dim]")
            status.update(escape(line))

        yield tell
