"""The real cluster, through kubectl: what a user has, and nothing else."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import reading
from tests.support.condition_rules import violations
from tests.support.reading import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Callable

Manifest = dict[str, Any]

SYSTEM = "flow-operator-system"
ROOT = Path(__file__).resolve().parents[2]
# Two modules share two cores with all that they start. Patience costs nothing where what is waited for comes; where a
# time is the claim, a test asserts it.
PATIENCE = 3


class Timeout(AssertionError):
    """What was waited for did not come."""


def kubectl(*arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 120) -> str:
    """Run kubectl against the test cluster and return what it prints."""
    done = subprocess.run(
        ["kubectl", "--context", CONTEXT, *arguments],
        input=stdin, capture_output=True, text=True, check=False, timeout=timeout,
    )  # fmt: skip
    if check and done.returncode:
        raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout if check else done.stdout + done.stderr


def get_json(*arguments: str) -> Manifest:
    """Return what `kubectl get` finds."""
    found: Manifest = json.loads(kubectl("get", *arguments, "-o", "json"))
    return found


def eventually(
    look: Callable[[], Any], until: Callable[[Any], bool], within: float, what: str, every: float = 0.25
) -> Any:
    """Look again and again until it is as wished; fail with the last look after `PATIENCE` times `within` seconds."""
    patience = PATIENCE * within
    end = time.monotonic() + patience
    while True:
        seen = look()
        if until(seen):
            return seen
        if time.monotonic() > end:
            raise Timeout(f"{what}: not within {patience:.0f} s; last seen: {json.dumps(seen, default=str)[:3000]}")
        time.sleep(every)


@dataclass(frozen=True)
class Namespace:
    """A namespace of one test, under restricted Pod Security."""

    name: str

    def apply(self, *manifests: Manifest) -> str:
        """Apply manifests as kubectl does."""
        bundle = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        return kubectl("-n", self.name, "apply", "-f", "-", stdin=json.dumps(bundle))

    def refused(self, manifest: Manifest) -> str:
        """Apply a manifest that must be refused; return the server's words."""
        said = kubectl("-n", self.name, "apply", "-f", "-", stdin=json.dumps(manifest), check=False)
        assert "created" not in said, said
        assert "configured" not in said, said
        return said

    def get(self, kind: str, name: str) -> Manifest:
        """Return an object."""
        found = self.find(kind, name)
        assert found is not None, f"there is no {kind} {name} in {self.name}"
        return found

    def find(self, kind: str, name: str) -> Manifest | None:
        """Return an object, or None."""
        return reading.find(self.name, kind, name)

    def list(self, kind: str, selector: str = "") -> list[Manifest]:
        """Return objects."""
        return reading.listed(self.name, kind, selector)

    def delete(self, kind: str, name: str, *more: str) -> None:
        """Delete an object without waiting."""
        kubectl("-n", self.name, "delete", kind, name, "--wait=false", "--ignore-not-found", *more)

    def wait_ready(self, name: str, within: float = 120) -> Manifest:
        """Wait until a FlowDeployment's latest generation is Ready."""
        return self.wait_deployment(name, lambda seen: condition(seen, "Ready") == "True", within, "Ready")

    def wait_deployment(self, name: str, until: Callable[[Manifest], bool], within: float, what: str) -> Manifest:
        """Wait until a FlowDeployment's latest generation is as wished."""

        def current(seen: Manifest) -> bool:
            return seen.get("status", {}).get("observedGeneration") == seen["metadata"]["generation"] and until(seen)

        return checked(
            eventually(lambda: self.get("flowdeployment", name), current, within, f"FlowDeployment {name} {what}")
        )

    def wait_run(self, name: str, within: float = 120) -> Manifest:
        """Wait until a FlowRun has finished."""
        return self.wait_phase(name, "Succeeded", "Failed", "Cancelled", within=within)

    def wait_phase(self, name: str, *phases: str, within: float = 60) -> Manifest:
        """Wait until a FlowRun is in one of some phases."""
        return checked(
            eventually(
                lambda: self.get("flowrun", name),
                lambda seen: seen.get("status", {}).get("phase") in phases,
                within,
                f"FlowRun {name} {' or '.join(phases)}",
                every=0.1,
            )
        )

    def wait_pods_gone(self, selector: str, within: float = 30) -> None:
        """Wait until no pod that carries a label is left."""
        eventually(
            lambda: [each["metadata"]["name"] for each in self.list("pods", selector)],
            lambda found: not found,
            within,
            f"no pod of {selector}",
        )

    def wait_gone(self, selector: str, within: float = 30) -> None:
        """Wait until nothing that carries a label is left."""
        ours, dask = "pods,jobs.batch,services,configmaps,flowruns", "deployments.apps,daskclusters,daskautoscalers"
        kinds = f"{ours},{dask},daskworkergroups"

        def left() -> list[str]:
            return [f"{each['kind']}/{each['metadata']['name']}" for each in self.list(kinds, selector)]

        eventually(left, lambda found: not found, within, f"nothing left of {selector}", every=0.5)


def operator_requests(verb: str, kind: str) -> float:
    """Return how many requests of a verb about a kind the installed operator has made, by its own metrics."""
    total = 0.0
    for pod in get_json("-n", SYSTEM, "pods", "-l", "app.kubernetes.io/component=operator")["items"]:
        text = kubectl("get", "--raw", f"/api/v1/namespaces/{SYSTEM}/pods/{pod['metadata']['name']}:8080/proxy/metrics")
        for line in text.splitlines():
            if (
                line.startswith("flow_operator_api_requests_total{")
                and f'kind="{kind}"' in line
                and f'verb="{verb}"' in line
            ):
                total += float(line.rsplit(" ", 1)[1])
    return total


def condition(manifest: Manifest, kind: str) -> str | None:
    """Return the status of a condition, or None."""
    found = [each for each in manifest.get("status", {}).get("conditions", ()) if each["type"] == kind]
    return found[0]["status"] if found else None


def reason(manifest: Manifest, kind: str) -> str | None:
    """Return the reason of a condition, or None."""
    found = [each for each in manifest.get("status", {}).get("conditions", ()) if each["type"] == kind]
    return found[0]["reason"] if found else None


def checked(manifest: Manifest) -> Manifest:
    """Return an object after checking that its status obeys the published rules."""
    broken = violations(manifest)
    assert not broken, f"{broken}: {json.dumps(manifest.get('status'), indent=1)}"
    return manifest


def deployment(name: str, source: str, *, storage: Manifest | None = None, **spec: Any) -> Manifest:
    """Return a FlowDeployment with inline source; bytes storage unless told otherwise."""
    return {
        "apiVersion": "flow-operator.io/v1alpha1",
        "kind": "FlowDeployment",
        "metadata": {"name": name},
        "spec": {"flow": {"source": {"inline": source}}, "storage": storage or {"bytes": {}}, **spec},
    }


def run(name: str, of: str, **spec: Any) -> Manifest:
    """Return a FlowRun."""
    return {
        "apiVersion": "flow-operator.io/v1alpha1",
        "kind": "FlowRun",
        "metadata": {"name": name},
        "spec": {"deployment": of, **spec},
    }
