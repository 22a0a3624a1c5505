"""`kubectl flow status [NAME]`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from . import options, trouble

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .options import Place
    from .output import Screen

Manifest = dict[str, Any]
DEPLOYMENT_COLUMNS = ("DEPLOYMENT", "READY", "REASON", "FLOW", "NEXT RUN", "AGE")
# In the order they come; a map in the API is sorted by name.
STAGES = (
    "wait", "setUp", "on_start", "load", "connect", "setup", "execute", "flow", "on_exit",
    "resolve", "base", "dependencies", "code", "push",
)  # fmt: skip
RUN_COLUMNS = ("RUN", "DEPLOYMENT", "PHASE", "REASON", "WORKERS", "RESULT", "DURATION", "AGE")


@click.command("status", short_help="Show deployments and runs, or one of them.")
@options.name_of("any", required=False)
@options.in_cluster
@options.with_output()
def command(name: str | None, place: Place, screen: Screen) -> int:
    """Show deployments and runs, or all there is to know about one of them.

    NAME is that of a FlowRun or a FlowDeployment; run/NAME and deployment/NAME say which.
    """
    from . import cluster

    with cluster.connected(place) as there:
        if name:
            found = there.find_any(name)
            if screen.machine:
                screen.document(found, [cluster.reference(found)])
            else:
                show_one(found, screen, datetime.now(UTC))
            return trouble.OK
        deployments, runs = there.list("FlowDeployment"), newest_first(there.list("FlowRun"))
    everything = [*deployments, *runs]
    if screen.machine:
        items = {"apiVersion": "v1", "kind": "List", "items": everything}
        screen.document(items, map(cluster.reference, everything))
    elif not everything:
        screen.say(f"There are no flows in namespace {there.namespace}. Deploy one: kubectl flow deploy flow.py")
    else:
        show_all(deployments, runs, screen, datetime.now(UTC))
    return trouble.OK


def newest_first(runs: list[Manifest]) -> list[Manifest]:
    """Return runs in the order of interest."""
    return sorted(runs, key=lambda each: str(each["metadata"].get("creationTimestamp")), reverse=True)


def show_all(deployments: list[Manifest], runs: list[Manifest], screen: Screen, now: datetime) -> None:
    """Show two tables."""
    if deployments:
        screen.table(DEPLOYMENT_COLUMNS, [_deployment_row(each, now) for each in deployments])
    if deployments and runs:
        screen.answer()
    if runs:
        screen.table(RUN_COLUMNS, [_run_row(each, now) for each in runs])


def _deployment_row(deployment: Manifest, now: datetime) -> tuple[str, ...]:
    from ...plan.conditions import find

    status = deployment.get("status") or {}
    ready = find(status, "Ready") or {}
    return (
        deployment["metadata"]["name"],
        ready.get("status", "Unknown"),
        ready.get("reason", "-"),
        (status.get("flow") or {}).get("name", "-"),
        status.get("nextScheduleTime") or "-",
        _age(deployment, now),
    )


def _run_row(run: Manifest, now: datetime) -> tuple[str, ...]:
    from .output import one_line

    status = run.get("status") or {}
    workers = status.get("workers") or {}
    return (
        run["metadata"]["name"],
        run["spec"]["deployment"],
        status.get("phase") or "Pending",
        (status.get("diagnosis") or {}).get("reason", "-"),
        f"{workers.get('ready', 0)}/{workers.get('desired', 0)}" if workers else "-",
        one_line(status["result"], 30) if "result" in status else "-",
        status.get("duration") or "-",
        _age(run, now),
    )


def _age(manifest: Manifest, now: datetime) -> str:
    from ...plan.times import duration, seconds_since

    return duration(max(1.0, seconds_since(manifest["metadata"].get("creationTimestamp"), now)))


def show_one(manifest: Manifest, screen: Screen, now: datetime) -> None:
    """Show one object's story."""
    from .. import explaining

    screen.answer(screen.paint(explaining.explain(manifest, now).sentence))
    screen.answer()
    of_run = manifest["kind"] == "FlowRun"
    screen.facts([*(run_facts(manifest) if of_run else deployment_facts(manifest)), ("age", _age(manifest, now))])
    conditions = (manifest.get("status") or {}).get("conditions") or []
    if conditions:
        screen.answer()
        rows = [_condition_row(each, now) for each in conditions]
        screen.table(("CONDITION", "STATUS", "REASON", "FOR", "MESSAGE"), rows)


def _condition_row(condition: Manifest, now: datetime) -> tuple[str, ...]:
    from ...plan.times import duration, seconds_since

    since = duration(seconds_since(condition.get("lastTransitionTime"), now))
    return condition["type"], condition["status"], condition["reason"], since, condition["message"]


def run_facts(run: Manifest) -> Iterator[tuple[str, str]]:
    """Yield what there is to know about a run, in the order it happened."""
    status = run.get("status") or {}
    yield "deployment", run["spec"]["deployment"]
    yield "image", status.get("image") or ""
    yield "parameters", _pairs(status.get("parameters") or run["spec"].get("parameters") or {})
    yield "environment", ", ".join(sorted(status.get("environment") or {}))
    if status.get("attempt"):
        yield "attempt", f"{status['attempt']}, pod {status.get('pod', '')}"
    yield "earlier", "\n".join(map(_attempt, status.get("attempts") or ()))
    yield "next attempt", status.get("nextAttemptTime") or ""
    yield "started", status.get("startTime") or ""
    yield "ended", f"{status['completionTime']}, after {status.get('duration')}" if "completionTime" in status else ""
    yield "stages", _stages(status.get("stages") or {})
    yield "memory", f"{status['peakMemory']} at its peak" if "peakMemory" in status else ""
    yield "workers", _workers(status.get("workers") or {})
    yield "callbacks", "\n".join(map(_hook, status.get("hooks") or ()))
    yield "error", _error(status.get("error") or {})
    yield "result", _result(status)


def deployment_facts(deployment: Manifest) -> Iterator[tuple[str, str]]:
    """Yield what there is to know about a deployment."""
    status, spec = deployment.get("status") or {}, deployment["spec"]
    flow, build = status.get("flow") or {}, status.get("build") or {}
    yield "flow", flow.get("name", "")
    yield "parameters", ", ".join(map(_parameter, flow.get("parameters") or ()))
    yield "callbacks", ", ".join(flow.get("callbacks") or ())
    yield "storage", ", ".join(spec.get("storage") or {"docker": {}})
    yield "environment", ", ".join(sorted(spec.get("environment") or flow.get("environment") or {}))
    yield "image", status.get("image") or ""
    yield "versions", ", ".join(f"{name} {version}" for name, version in (flow.get("versions") or {}).items())
    yield "build", _stages(build.get("stages") or {})
    yield "layers", ", ".join(map(_layer, build.get("layers") or ()))
    yield "schedule", _schedule(spec.get("schedule") or {})
    yield "next run", status.get("nextScheduleTime") or ""


def _attempt(attempt: Manifest) -> str:
    why = f" ({attempt['reason']}): {attempt.get('message', '')}" if attempt.get("reason") else ""
    return f"attempt {attempt['number']} {attempt['outcome']}{why}"


def _pairs(values: Manifest) -> str:
    from .output import one_line

    return ", ".join(f"{name}={one_line(value)}" for name, value in values.items())


def _stages(stages: Manifest) -> str:
    ordered = sorted(stages, key=lambda each: STAGES.index(each) if each in STAGES else len(STAGES))
    return ", ".join(f"{name} {stages[name]}" for name in ordered)


def _workers(workers: Manifest) -> str:
    if not workers:
        return ""
    computed = f"; computed on {len(workers['computed'])}" if workers.get("computed") else ""
    return f"{workers.get('ready', 0)} of {workers.get('desired', 0)} ready, at most {workers.get('peak', 0)}{computed}"


def _hook(hook: Manifest) -> str:
    times = "" if hook.get("tries", 1) == 1 else f", tried {hook['tries']} times"
    said = f": {hook['message']}" if hook.get("message") else ""
    where = " in a pod of its own" if hook.get("where") == "Fallback" else ""
    return f"{hook['name']} {hook['state']}{where}{times}{said}"


def _error(error: Manifest) -> str:
    if not error:
        return ""
    places = (f"at {each}" for each in error.get("frames", ()))
    return "\n".join((f"{error['type']}: {error.get('message', '')}", *places))


def _result(status: Manifest) -> str:
    from .output import one_line

    return one_line(status["result"], 1000) if "result" in status else status.get("resultOmitted") or ""


def _parameter(parameter: Manifest) -> str:
    from .output import one_line

    if parameter["name"] == "**":
        return "any other"
    if parameter.get("required"):
        return f"{parameter['name']} (required)"
    return f"{parameter['name']}={one_line(parameter['default'])}" if "default" in parameter else parameter["name"]


def _layer(layer: Manifest) -> str:
    sent = ", sent" if layer.get("uploaded") else ""
    return f"{layer.get('kind')} {layer.get('size', 0) / 1e6:.1f} MB{sent}"


def _schedule(schedule: Manifest) -> str:
    if not schedule:
        return ""
    cron = schedule.get("cron") or ()
    lines = "; ".join([cron] if isinstance(cron, str) else cron)
    return f"{lines} {schedule.get('timeZone', 'UTC')}" + (" (suspended)" if schedule.get("suspend") else "")
