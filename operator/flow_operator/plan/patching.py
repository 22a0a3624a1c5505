"""What is added to a pod of the user's own making. Adding it again changes nothing, and what is missing is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .types import Manifest

# Names that no user's own volume has by chance.
VOLUMES = {"tmp": "flow-operator-tmp", "hooks": "flow-operator-hooks", "code": "flow-operator-code"}


def variables(own: Iterable[Manifest] | None, ours: Iterable[Manifest]) -> list[Manifest]:
    """Return the user's environment variables, then ours; of one name ours takes effect."""
    return _joined(own, ours, "name")


def mounts(own: Iterable[Manifest] | None, ours: Iterable[Manifest]) -> list[Manifest]:
    """Return our mounts, then the user's; at one path the user's counts."""
    return _joined(ours, own, "mountPath")


def volumes(own: Iterable[Manifest] | None, ours: Iterable[Manifest]) -> list[Manifest]:
    """Return our volumes, then the user's; of one name the user's counts."""
    return _joined(ours, own, "name")


def renamed(volumes: list[Manifest], mounts: list[Manifest]) -> tuple[list[Manifest], list[Manifest]]:
    """Return volumes and mounts of ours under the names that they have in a user's pod."""
    return tuple([{**each, "name": VOLUMES[each["name"]]} for each in part] for part in (volumes, mounts))  # type: ignore[return-value]


def pull_secrets(own: Iterable[Manifest] | None, names: Iterable[str]) -> list[Manifest]:
    """Return the user's pull secrets, then those the flow's image needs: that image is ours to choose."""
    return _joined(({"name": each} for each in names), own, "name", last_first=True)


def _joined(
    first: Iterable[Manifest] | None, last: Iterable[Manifest] | None, key: str, *, last_first: bool = False
) -> list[Manifest]:
    """Return two lists as one, less what the last one has too."""
    kept: list[Any] = list(last or ())
    taken = [each.get(key) for each in kept]  # no set: whatever a user wrote there
    rest = [each for each in first or () if each.get(key) not in taken]
    return [*kept, *rest] if last_first else [*rest, *kept]
