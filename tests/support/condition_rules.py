"""What must hold for the status of every object a test touches (docs/status.md publishes the table)."""

from __future__ import annotations

from typing import Any

FINISHED = ("Succeeded", "Failed", "Cancelled")
UNSUCCESSFUL = ("Failed", "Cancelled")


def violations(manifest: dict[str, Any]) -> list[str]:
    """Return the rules an object breaks, in sentences."""
    status = manifest.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions", ())}
    return [text for text, broken in _rules(manifest, status, conditions) if broken]


def _rules(
    manifest: dict[str, Any], status: dict[str, Any], by_type: dict[str, dict[str, Any]]
) -> list[tuple[str, bool]]:
    def is_(kind: str, value: str) -> bool:
        return by_type.get(kind, {}).get("status") == value

    phase = status.get("phase")
    is_run = manifest["kind"] == "FlowRun"
    ready = by_type.get("Ready")
    generation = manifest["metadata"]["generation"]
    explained = {"Reconciling", "Stalled"} & set(by_type)
    return [
        ("Ready must be present", ready is None),
        ("observedGeneration must be the object's", status.get("observedGeneration") != generation),
        ("Ready and Reconciling exclude each other", is_("Ready", "True") and "Reconciling" in by_type),
        ("Ready and Stalled exclude each other", is_("Ready", "True") and "Stalled" in by_type),
        ("Reconciling and Stalled exclude each other", "Reconciling" in by_type and "Stalled" in by_type),
        ("Not Ready means Reconciling or Stalled", is_("Ready", "False") and not explained),
        ("Reconciling is there only while True", "Reconciling" in by_type and not is_("Reconciling", "True")),
        ("Stalled is there only while True", "Stalled" in by_type and not is_("Stalled", "True")),
        ("every condition has a reason", any(not each.get("reason") for each in by_type.values())),
        ("every condition has a time", any(not each.get("lastTransitionTime") for each in by_type.values())),
        ("phase Succeeded means Succeeded=True", phase == "Succeeded" and not is_("Succeeded", "True")),
        ("not successful means Succeeded=False", phase in UNSUCCESSFUL and not is_("Succeeded", "False")),
        ("a run that did not succeed is Stalled", phase in UNSUCCESSFUL and "Stalled" not in by_type),
        ("a run that did not succeed has a diagnosis", phase in UNSUCCESSFUL and not status.get("diagnosis")),
        ("a finished run has a completionTime", phase in FINISHED and not status.get("completionTime")),
        ("an unfinished run has none", phase is not None and phase not in FINISHED and "completionTime" in status),
        ("phase Suspended means Suspended=True", (phase == "Suspended") != is_("Suspended", "True") and is_run),
        ("a run that retries says when", (phase == "Retrying") != ("nextAttemptTime" in status)),
        ("between two attempts nothing is set up", phase in ("Retrying", "Suspended") and "SetUp" in by_type),
        ("what is over has an outcome", any(not each.get("outcome") for each in status.get("attempts", ()))),
        ("a finished run ends nothing any more", phase in FINISHED and "ending" in status),
        ("phase Running means Started=True", phase == "Running" and not is_("Started", "True")),
        ("a diagnosis has a remedy", bool(status.get("diagnosis")) and not status["diagnosis"].get("remedy")),
    ]  # fmt: skip
