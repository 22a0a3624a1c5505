"""A directory that uv installed, as entries of a layer: without anything that knows where or when that was."""

from __future__ import annotations

import csv
import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from flow_operator.images.bytecode import compile_for, is_portable
from flow_operator.images.layers import Entry
from flow_operator.images.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flow_operator.images.requirements import Lock
    from flow_operator.images.uv import Target, Uv

# Of an installation, not of a package.
_LEFT_OUT = {".lock", "CACHEDIR.TAG"}
_METADATA_LEFT_OUT = {"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}
_SHEBANG = re.compile(rb"\A#!(?:[^\n]*python[0-9.]*|/bin/sh\n'''exec' [^\n]*\n' ''')(?=\n)")
_PORTABLE = b"#!/usr/bin/env python3"


def install(uv: Uv, lock: Lock, target: Target, directory: Path, progress: Progress = silent) -> None:
    """Unpack a lock's wheels, with bytecode where a Python is here that can make it."""
    uv.install(lock.text, target, directory)
    compile_for(target, uv, directory, progress)


def package_entries(directory: Path, destination: str) -> Iterator[Entry]:
    """The files of an installation, under their destination in the image."""
    for folder, _, names in os.walk(directory):
        for name in names:
            file = Path(folder, name)
            relative = file.relative_to(directory)
            if not _left_out(relative) and (file.suffix != ".pyc" or is_portable(file)):
                executable = bool(file.stat().st_mode & 0o100)
                yield Entry(f"{destination}/{relative.as_posix()}", _content(file, relative), executable)


def _left_out(relative: Path) -> bool:
    metadata = _in_metadata(relative) and relative.name in _METADATA_LEFT_OUT
    return metadata or relative.as_posix() in _LEFT_OUT


def _recorded(relative: Path) -> bool:
    return relative.suffix != ".pyc" and not _left_out(relative)


def _in_metadata(relative: Path) -> bool:
    return len(relative.parts) == 2 and relative.parts[0].endswith(".dist-info")


def _content(file: Path, relative: Path) -> Path | bytes:
    if relative.parts[0] == "bin":
        return portable_script(file.read_bytes())
    if _in_metadata(relative) and relative.name == "RECORD":
        return portable_record(file.read_text())
    return file


def portable_script(data: bytes) -> bytes:
    """A script that runs under whatever python3 is found, not under the builder's; programs stay as they are."""
    return _SHEBANG.sub(_PORTABLE, data, count=1)


def portable_record(text: str) -> bytes:
    """A wheel's RECORD in one order, without the files that were left out or rewritten."""
    rows = sorted(row for row in csv.reader(io.StringIO(text)) if row and _recorded(Path(row[0])))
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(_unhashed(row) if _is_script(row[0]) else row for row in rows)
    return out.getvalue().encode()


def _is_script(path: str) -> bool:
    return Path(path).parts[0] == "bin"


def _unhashed(row: list[str]) -> list[str]:
    return [row[0], "", ""]
