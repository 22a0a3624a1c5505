"""The demo: apply examples/trips, watch its run live, then tell what happened. Exit code 0 only if all of it did."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

CONTEXT, NAMESPACE, RUN = "kind-flow-operator", "flow-demo", "trips-1"
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "trips"
SELECTOR = f"flow-operator.io/run={RUN}"
LIMIT = 420.0

out = Console(highlight=False, soft_wrap=True)
Manifest = dict[str, Any]


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    """Run kubectl in the demo's namespace."""
    done = subprocess.run(
        ["kubectl", "--context", CONTEXT, "-n", NAMESPACE, *arguments], input=stdin, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def get(kind: str, name: str) -> Manifest:
    """Return an object."""
    found: Manifest = json.loads(kubectl("get", kind, name, "-o", "json"))
    return found


def condition(manifest: Manifest, kind: str) -> Manifest:
    """Return a condition; empty where it is not there."""
    found: list[Manifest] = manifest.get("status", {}).get("conditions", [])
    return next((each for each in found if each["type"] == kind), {})


def step(text: str) -> None:
    """Say what comes."""
    out.print(f"[bold]==> {text}[/bold]")


def prepare() -> None:
    """Make the namespace, take a former run away, apply the example."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
    kubectl("delete", "flowrun", RUN, "--ignore-not-found", "--timeout=60s")
    step(f"kubectl apply -k examples/trips -n {NAMESPACE}   (restricted Pod Security)")
    out.print(kubectl("apply", "-k", str(EXAMPLE)).rstrip())


def watch_build() -> Manifest:
    """Wait until the FlowDeployment is Ready, saying each change."""
    step("the operator builds the flow's image in the cluster and pushes it")
    began, said = time.monotonic(), ""
    while True:
        found = get("flowdeployment", "trips")
        ready = condition(found, "Ready")
        current = found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"]
        if ready.get("reason", "") != said:
            said = ready.get("reason", "")
            out.print(f"  {time.monotonic() - began:5.1f} s  {said}: {ready.get('message', '')}")
        if current and ready.get("status") == "True":
            return found
        if time.monotonic() - began > LIMIT:
            sys.exit("the FlowDeployment did not become Ready: kubectl -n flow-demo describe flowdeployment trips")
        time.sleep(0.3)


def watch_run() -> tuple[Manifest, list[tuple[float, int]]]:
    """Wait until the FlowRun has ended, saying each change; return it and the worker counts seen."""
    step(f"kubectl get flowrun {RUN} --watch")
    began, said = time.monotonic(), ""
    counts: list[tuple[float, int]] = []
    while True:
        found = get("flowrun", RUN)
        status = found.get("status", {})
        workers = status.get("workers", {})
        elapsed = time.monotonic() - began
        line = f"{status.get('phase', 'New'):<11} workers {workers.get('ready', 0)} of {workers.get('desired', 0)}"
        if line != said:
            said = line
            out.print(f"  {elapsed:5.1f} s  {line}  [dim]{condition(found, 'Ready').get('message', '')[:80]}[/dim]")
        if not counts or counts[-1][1] != workers.get("ready", 0):
            counts.append((elapsed, workers.get("ready", 0)))
        if status.get("phase") in ("Succeeded", "Failed", "Cancelled"):
            return found, counts
        if elapsed > LIMIT:
            sys.exit(f"the run did not end: kubectl -n {NAMESPACE} describe flowrun {RUN}")
        time.sleep(0.2)


def workers_left() -> int:
    """Wait a moment for the cluster to go; return how many of its pods are left."""
    for _ in range(80):
        left: list[Manifest] = json.loads(
            kubectl("get", "pods", "-l", f"{SELECTOR},app.kubernetes.io/component=dask", "-o", "json")
        )["items"]
        if not left:
            return 0
        time.sleep(0.5)
    return len(left)


def ledger() -> list[Manifest]:
    """Return what flow and callbacks wrote outside the pod, for this run's newest attempt."""
    path = f"/api/v1/namespaces/{NAMESPACE}/services/ledger:8000/proxy/"
    lines: list[Manifest] = json.loads(kubectl("get", "--raw", path))
    return lines


def tell(deployment: Manifest, run: Manifest, counts: list[tuple[float, int]], lines: list[Manifest]) -> None:
    """Print timeline, result, callbacks and worker counts."""
    status = run["status"]
    table = Table(title="Timeline", title_justify="left", show_header=False, box=None)
    for name, length in deployment["status"]["build"].get("stages", {}).items():
        table.add_row(f"build: {name}", length)
    for name, length in status.get("stages", {}).items():
        table.add_row(f"run: {name}", length)
    table.add_row("run: all", status.get("duration", ""))
    out.print(table)
    out.print("[bold]Result[/bold]", json.dumps(status.get("result")))
    out.print("[bold]Image [/bold]", status["image"])
    for hook in status.get("hooks", []):
        out.print(f"[bold]Hook  [/bold] {hook['name']}: {hook['state']} ({hook.get('tries', 1)} try)")
    out.print("[bold]Ledger[/bold]", " → ".join(each["what"] for each in lines))
    seen = " → ".join(f"{count} ({at:.0f} s)" for at, count in counts)
    out.print(f"[bold]Workers[/bold] {seen}; peak {status.get('workers', {}).get('peak')}")
    out.print("[bold]Computed by[/bold]", ", ".join(status.get("workers", {}).get("computed", [])))


def verdict(run: Manifest, lines: list[Manifest], left: int) -> list[str]:
    """Return what did not happen as promised."""
    status = run["status"]
    workers = status.get("workers", {})
    wishes = {
        f"the run succeeded: {status.get('diagnosis')}": status["phase"] == "Succeeded",
        "workers grew beyond one": workers.get("peak", 0) >= 2,
        "at least two workers computed": len(workers.get("computed", [])) >= 2,
        f"no pod of the cluster is left ({left} are)": left == 0,
        "on_start, flow and on_exit happened once each, in order": [each["what"] for each in lines]
        == ["on_start", "flow", "on_exit"],
    }
    return [wish for wish, granted in wishes.items() if not granted]


NEXT = f"""
[bold]What to try next[/bold]
  kubectl -n {NAMESPACE} get flowdeployments,flowruns
  kubectl -n {NAMESPACE} describe flowrun {RUN}
  edit examples/trips/flow.py, then: kubectl -n {NAMESPACE} apply -k examples/trips   (built again by itself)
  kubectl -n {NAMESPACE} apply -k examples/squares
  make clean   takes everything away"""


def main() -> None:
    """Run the demo."""
    prepare()
    before = len(ledger()) if "True" in kubectl("get", "pods", "-l", "app=ledger", "-o", READY) else 0
    deployment = watch_build()
    kubectl("rollout", "status", "deployment/ledger", "--timeout=120s")
    run, counts = watch_run()
    step("the cluster is taken away")
    left = workers_left()
    lines = ledger()[before:]
    tell(deployment, run, counts, lines)
    if missed := verdict(run, lines, left):
        sys.exit("NOT as promised: " + "; ".join(missed))
    out.print("[bold green]All as promised.[/bold green]")
    out.print(NEXT)


READY = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}"

if __name__ == "__main__":
    main()
