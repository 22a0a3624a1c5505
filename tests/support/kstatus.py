"""What kstatus makes of an object of ours, written from its documentation: Flux waits by it.

https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md. The library itself is asked in
tests/integration/gitops; this is fast enough for every unit test.
"""

from __future__ import annotations

from typing import Any


def status(manifest: dict[str, Any]) -> str:
    """Return InProgress, Failed, Current or Terminating."""
    if manifest["metadata"].get("deletionTimestamp"):
        return "Terminating"
    said: dict[str, Any] = manifest.get("status") or {}
    if "observedGeneration" in said and said["observedGeneration"] != manifest["metadata"]["generation"]:
        return "InProgress"
    true = {each["type"] for each in said.get("conditions", ()) if each["status"] == "True"}
    known = {each["type"] for each in said.get("conditions", ())}
    if "Reconciling" in true:
        return "InProgress"
    if "Stalled" in true:
        return "Failed"
    # Silence is taken for success: hence the default of our status (api/crds.py).
    return "InProgress" if "Ready" in known and "Ready" not in true else "Current"
