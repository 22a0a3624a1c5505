"""Apply a FlowDeployment, also where somebody has suspended or resumed its schedule (`kubectl flow suspend`).

Whoever patched `spec.schedule.suspend` owns it: an apply that says otherwise is a conflict, one that leaves it out
keeps it, and one without a schedule would leave a schedule of that field alone. A deploy says what the schedule is to
be, so the field is set to that first. Whoever owns more of the schedule than this field, Git say, is not overruled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flow_operator.deploy.projects import MANAGER
from flow_operator.kube.errors import Forbidden, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flow_operator.kube.api import Api

Manifest = dict[str, Any]


async def apply(api: Api, manifest: Manifest) -> Manifest:
    """Apply a FlowDeployment as `flow-operator-deploy`, and return it."""
    meta = manifest["metadata"]
    named = manifest["apiVersion"], manifest["kind"], meta["namespace"], meta["name"]
    try:
        there = await api.get(*named)
    except (NotFound, Forbidden):  # what is wrong, if anything is, the apply says
        there = {}
    if patch := correction(there, manifest):
        await api.patch(*named, patch)
    return await api.apply(manifest, MANAGER)


def correction(there: Mapping[str, Any], wished: Mapping[str, Any]) -> Manifest | None:
    """Return what to patch before a manifest is applied to what is there, or None."""
    found, schedule = there.get("spec", {}).get("schedule"), wished["spec"].get("schedule")
    if not found or not _set_by_hand(there):
        return None
    if not schedule:
        return {"spec": {"schedule": None}}
    suspend = schedule.get("suspend", False)
    return {"spec": {"schedule": {"suspend": suspend}}} if found.get("suspend", False) != suspend else None


def _set_by_hand(there: Mapping[str, Any]) -> bool:
    """Whether somebody has written this one field of the schedule."""
    entries = [each for each in there["metadata"].get("managedFields", ()) if each.get("operation") == "Update"]
    owned = [each.get("fieldsV1", {}).get("f:spec", {}).get("f:schedule", {}) for each in entries]
    return any(set(fields) - {"."} == {"f:suspend"} for fields in owned)
