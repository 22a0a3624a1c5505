"""What this host keeps between builds, so that a base and a kept layer are not fetched again.

Two kinds of files below one folder: contents (manifests, configs) by their digest, and notes, such as "this tag had
that digest". A content is verified whenever it is read. A note is only ever a reason to ask less: whoever follows one
checks it with the registry (a base, by one HEAD) or survives that it is wrong (a kept layer, which is made again).
Files are written beside their place and moved there, so any number of processes may share the folder. What cannot be
read, or written, is as if it were not there. Delete the folder whenever you like.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flow_operator.images.oci import canonical, sha256

if TYPE_CHECKING:
    from collections.abc import Mapping

CACHE_DIR_ENV = "FLOW_OPERATOR_CACHE_DIR"


class HostCache:
    """Contents and notes in one folder; without a folder, nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def content(self, digest: str) -> bytes | None:
        """The bytes with this digest, if they are here and undamaged."""
        data = self._read("contents", digest.removeprefix("sha256:"))
        return data if data is not None and sha256(data) == digest else None

    def keep(self, data: bytes) -> None:
        """Keep bytes under their digest."""
        self._write(data, "contents", sha256(data).removeprefix("sha256:"))

    def note(self, *names: str) -> str:
        """What was noted under these names; empty where nothing was."""
        try:
            found, text = json.loads(self._read("notes", _file_name(names)) or b"null")
        except (ValueError, TypeError):
            return ""
        return text if found == list(names) and isinstance(text, str) else ""

    def keep_note(self, text: str, *names: str) -> None:
        """Note something, in place of what was noted before."""
        if self.note(*names) != text:
            self._write(canonical([names, text]), "notes", _file_name(names))

    def _read(self, kind: str, name: str) -> bytes | None:
        if self.folder is None:
            return None
        try:
            return (self.folder / kind / name).read_bytes()
        except OSError:
            return None

    def _write(self, data: bytes, kind: str, name: str) -> None:
        """Move a whole file into its place. No room, or no permission, costs a request in the next build."""
        if self.folder is None:
            return
        folder = self.folder / kind
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, half_done = tempfile.mkstemp(dir=folder, prefix=".")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                Path(half_done).replace(folder / name)
            except OSError:
                Path(half_done).unlink(missing_ok=True)
                raise


def host_cache(environ: Mapping[str, str] = os.environ) -> HostCache:
    """The cache of `$FLOW_OPERATOR_CACHE_DIR`, else of the user's cache folder; none without either."""
    told, home = environ.get(CACHE_DIR_ENV), environ.get("HOME")
    if told:
        return HostCache(Path(told))
    caches = environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home else "")
    return HostCache(Path(caches, "flow-operator", "images") if caches else None)


def _file_name(names: tuple[str, ...]) -> str:
    return hashlib.sha256(canonical(names)).hexdigest()
