"""Where the flow's code is in a pod of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import wire
from . import pods

if TYPE_CHECKING:
    from .pinned import Pinned
    from .types import Manifest


def code_mount(pinned: Pinned) -> tuple[list[Manifest], list[Manifest]]:
    """Return volumes and mounts of the code: none where it is in the image."""
    if not pinned.code:
        return [], []
    return (
        [pods.config_map_volume("code", pinned.code)],
        [{"name": "code", "mountPath": wire.FLOWS_DIR, "readOnly": True}],
    )
