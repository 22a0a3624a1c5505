"""What is announced of callbacks: an Event for each outcome, in the pod or in one of its own."""

from __future__ import annotations

from typing import Any

from .types import Announcement

_NOT_DECLARED = "not declared"
_REASONS = {
    "Succeeded": "CallbackSucceeded",
    "Failed": "CallbackFailed",
    "Skipped": "CallbackSkipped",
    "Lost": "CallbackLost",
}
_WHERE = {"Pod": "in the runner pod", "Fallback": "in a pod of its own"}


def announcements(old: dict[str, Any], new: dict[str, Any]) -> tuple[Announcement, ...]:
    """Return the Events about callbacks between two statuses of a run."""
    known = [_outcome(each, old) for each in old.get("hooks", ())]
    news = [each for each in new.get("hooks", ()) if _outcome(each, new) not in known]
    return tuple(_announcement(each) for each in news if each["state"] in _REASONS and not _undeclared(each))


def _outcome(hook: dict[str, Any], status: dict[str, Any]) -> tuple[Any, ...]:
    return status.get("attempt"), hook["name"], hook["state"]


def _undeclared(hook: dict[str, Any]) -> bool:
    return bool(hook["state"] == "Skipped" and hook.get("message") == _NOT_DECLARED)


def _announcement(hook: dict[str, Any]) -> Announcement:
    state, name = hook["state"], hook["name"]
    kind = "Normal" if state in ("Succeeded", "Skipped") else "Warning"
    said = f"{name} {state.lower()} {_WHERE[hook.get('where', 'Pod')]}" if state in ("Succeeded", "Failed") else ""
    said = said or f"{name} was {state.lower()}"
    return Announcement(kind, _REASONS[state], f"{said}: {hook['message']}" if hook.get("message") else f"{said}.")
