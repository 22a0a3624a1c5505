"""The documentation: every field, condition and reason is in it, and what it claims is what the code does."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from flow_operator.api import conditions as words
from flow_operator.api import wire
from flow_operator.api.crds import FLOW_DEPLOYMENT, FLOW_RUN, KINDS, Kind, structural
from flow_operator.api.flow_deployment import DEFAULT_CALLBACK_TIMEOUT, DEFAULT_STOP_GRACE, Environment
from flow_operator.api.labels import API_VERSION
from flow_operator.controller import http
from flow_operator.deploy import waiting
from flow_operator.images.errors import BuildError
from flow_operator.plan import clean_up, dask_health, healing, pinned, retries
from flow_operator.plan import deployment as deployment_plan
from flow_operator.plan import run as run_plan
from flow_operator.plan.fallback_pod import fallback_pod
from flow_operator.plan.runner_pod import runner_pod
from flow_operator.plan.types import ObservedDeployment, ObservedRun
from flow_operator.runner import hooks
from tests.support import makers as m

if TYPE_CHECKING:
    from collections.abc import Iterator

Manifest = dict[str, Any]
Schema = dict[str, Any]
Row = list[str]

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "operator" / "flow_operator"
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
PAGE_OF = {FLOW_DEPLOYMENT.kind: "flowdeployment.md", FLOW_RUN.kind: "flowrun.md"}


def page_id(page: Path) -> str:
    return page.name


def doc(name: str) -> str:
    return (DOCS / name).read_text()


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def rows(text: str) -> list[Row]:
    """The rows of all Markdown tables in a text, heads included."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|--")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def table(page: str, name: str) -> list[Row]:
    """The body of the table that follows `<!-- table: NAME -->`."""
    _, _, rest = doc(page).partition(f"<!-- table: {name} -->\n")
    assert rest, f"{page} has no table {name}"
    return rows(rest.split("\n\n")[0])[1:]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def first_cells(text: str) -> set[str]:
    return {name for row in rows(text) for name in code(row[0])}


# --- every field is explained


def field_paths(schema: Schema, path: str) -> Iterator[str]:
    for name, each in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        # What a run is pinned to has the fields of a deployment's environment; conditions are described as a whole.
        if f"{path}.{name}" not in ("status.conditions", "status.environment"):
            yield from field_paths(each, f"{path}.{name}")
            yield from field_paths(each.get("items", {}), f"{path}.{name}")


FIELDS = [
    (kind.kind, path)
    for kind in KINDS
    for part, model in (("spec", kind.spec), ("status", kind.status))
    for path in field_paths(structural(model), part)
]


@pytest.mark.parametrize(("kind", "path"), FIELDS, ids=[f"{kind}.{path}" for kind, path in FIELDS])
def test_every_field_has_a_row_in_its_page(kind: str, path: str) -> None:
    assert path in first_cells(doc(PAGE_OF[kind]))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_no_row_is_about_a_field_that_is_not_there(kind: Kind) -> None:
    known = {path for of, path in FIELDS if of == kind.kind}
    named = {name for name in first_cells(doc(PAGE_OF[kind.kind])) if name.startswith(("spec.", "status."))}
    assert named <= known


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_defaults_and_bounds_in_a_page_are_those_of_the_schema(kind: Kind) -> None:
    said = {row[0].strip("`"): row[1] for row in rows(doc(PAGE_OF[kind.kind])) if row[0].startswith("`spec.")}
    for path, field in leaves(structural(kind.spec), "spec"):
        for key in ("default", "maxItems", "maxProperties"):
            if key in field and path in said:
                bound = "false" if field[key] is False else str(field[key])
                assert bound in said[path].replace(",", ""), f"{path}: {key} {field[key]}"


def leaves(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    for name, each in schema.get("properties", {}).items():
        yield f"{path}.{name}", each
        yield from leaves(each, f"{path}.{name}")


# --- every condition and reason is explained

# Words in CamelCase that the code has for other things than reasons: kinds, and words of the kubelet and the scheduler.
NOT_REASONS = {
    *("ConfigMap", "DaskAutoscaler", "DaskCluster", "Deployment", "FlowDeployment", "FlowRun", "Pod", "ClusterIP"),
    *("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError", "OOMKilled"),
    *("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"),
    *("Lost", "Fallback"),  # of a callback
    *("NodeShutdown", "Preempting", "Terminated", "PodScheduled", "ReplicaFailure", "Completed"),
    *("True", "False", "Unknown", "Normal", "Warning", "Failed", "Skipped"),
    *("File", "FallbackToLogsOnError", "Never", "Always", "OnFailure", "IfNotPresent", "RuntimeDefault", "Background"),
    *("ALL", "TCP", "HOME", "TMPDIR", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "Local", "LocalDask", "Dask"),
    *("WorkerLog", "Seconds", "Finished", "Limit", "DisruptionTarget", "Complete", "Job", "Pods", "Service", "None"),
    *("TriggeredScaleUp", "Nominated"),
    *("ImportError", "NameError", "AttributeError", "SyntaxError", "IndentationError", "TabError", "Layers", "Docker"),
    *("ModuleNotFoundError", "Refused", "Custom", "FargateTask"),
    *("Allow", "Forbid", "Replace", "Now", "Gi", "Mi"),
    *("ContainerCreating", "PersistentVolumeClaim", "Secret", "Spec"),
}
CAMEL = re.compile(r"(?:[A-Z][a-z]+)+")


def string_constants(file: Path) -> Iterator[str]:
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def reasons_in(room: str) -> dict[str, str]:
    """Every string constant of a room that looks like a reason, and where it was seen."""
    return {
        text: f"{file.relative_to(PACKAGE)}"
        for file in sorted((PACKAGE / room).rglob("*.py"))
        for text in string_constants(file)
        if CAMEL.fullmatch(text) and text not in NOT_REASONS
    }


def build_reasons(of: type[BuildError] = BuildError) -> Iterator[str]:
    for each in of.__subclasses__():
        if "reason" in vars(each):
            yield each.reason
        yield from build_reasons(each)


# A single word such as "Stopped" is a reason too; one that begins a sentence is not alone in its string.
REASONS = {**reasons_in("plan"), **reasons_in("runner"), **dict.fromkeys(build_reasons(), "images/errors.py")}


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_reason_is_in_the_list(reason: str) -> None:
    assert reason in first_cells(doc("status.md")), f"{reason} ({REASONS[reason]}) has no row in docs/status.md"


def test_no_reason_is_listed_that_nobody_gives() -> None:
    listed = {name for name in first_cells(doc("status.md")) if CAMEL.fullmatch(name)}
    assert listed <= set(REASONS)


def test_a_listed_reason_has_a_meaning_and_a_remedy() -> None:
    for row in rows(doc("status.md").partition("## Reasons of progress")[2]):
        assert all(row), row


CONDITIONS = {
    "flowdeployment.md": (words.READY, words.RECONCILING, words.STALLED, words.BUILT, words.VERIFIED, words.SCHEDULED),
    "flowrun.md": (
        *(words.READY, words.RECONCILING, words.STALLED, words.SUSPENDED),
        *(words.SET_UP, words.STARTED, words.SUCCEEDED),
    ),
}


@pytest.mark.parametrize("page", CONDITIONS)
def test_every_condition_is_in_its_page_and_in_the_table(page: str) -> None:
    section = doc(page).rpartition("### Conditions")[2]
    assert set(CONDITIONS[page]) <= first_cells(section)
    heads = [row for row in rows(doc("status.md")) if row[0] in ("Phase", "State")]
    assert any(set(CONDITIONS[page]) <= set(head) for head in heads)


def test_every_condition_type_in_use_is_known_to_the_pages() -> None:
    used = set(re.findall(r"words\.([A-Z_]+)\b", "".join(each.read_text() for each in (PACKAGE / "plan").glob("*.py"))))
    types = {getattr(words, name) for name in used if isinstance(getattr(words, name), str)}
    assert types <= {kind for kinds in CONDITIONS.values() for kind in kinds}


# --- the tables are what the decisions say


def decided(run: Manifest, seen: ObservedRun, after: float = 2) -> Manifest:
    plan = run_plan.decide(run, seen, m.settings(), m.NOW + timedelta(seconds=after))
    return m.with_status(run, plan.status)


def runs() -> dict[str, Manifest]:
    """A FlowRun in each row of the table."""
    ready = m.a_ready_deployment(callbacks=("on_exit",))
    pending = decided(m.a_run(), ObservedRun())
    begun = decided(m.a_run(), ObservedRun(deployment=ready))
    plan = run_plan.decide(m.a_run(), ObservedRun(deployment=ready), m.settings(), m.NOW)
    (pod,) = [m.scheduled(each) for each in plan.create if each["kind"] == "Pod"]
    running = m.running(pod)
    ended = m.running(m.ended(pod, message=json.dumps({"state": "Succeeded"})), "flow-hooks")
    receipt = json.dumps({"hooks": [{"name": "on_exit", "state": "Succeeded"}]})
    done = m.ended(ended, "flow-hooks", message=receipt)
    raised = m.ended(done, code=1, message=json.dumps({"state": "Failed", "reason": "FlowRaised"}))
    unpullable = m.waiting(pod, "ErrImagePull")
    once = decided(m.a_run(infrastructureBackoffLimit=0), ObservedRun(deployment=ready))
    given_up = decided(once, ObservedRun(runner=unpullable), after=70)
    stopped = m.ended(done, code=79, message=json.dumps({"state": "Failed", "reason": "Stopped"}))
    stopped["metadata"]["deletionTimestamp"] = m.at(5)
    wished = {**begun, "spec": {**begun["spec"], "cancel": "Graceful"}}
    retrying = decided(begun, ObservedRun(runner_gone=True))
    return {
        "Pending": pending,
        "Suspended": decided(m.a_run(suspend=True), ObservedRun(deployment=ready)),
        "Retrying": retrying,
        "Cancelled, between two attempts": decided({**retrying, "spec": wished["spec"]}, ObservedRun()),
        "SettingUp": begun,
        "Running": decided(begun, ObservedRun(runner=running, runners=(running,))),
        "Finishing": decided(begun, ObservedRun(runner=ended, runners=(ended,))),
        "Succeeded": decided(begun, ObservedRun(runner=done, runners=(done,))),
        "Failed, before it was pinned": decided(m.a_run(), ObservedRun(), after=601),
        "Failed, before it began": decided(given_up, ObservedRun(runner_gone=True)),
        "Failed": decided(begun, ObservedRun(runner=raised, runners=(raised,))),
        "Cancelled, before it was pinned": decided(m.a_run(cancel="Now"), ObservedRun(deployment=ready)),
        "Cancelled, before it began": decided(wished, ObservedRun()),
        "Cancelled": decided(wished, ObservedRun(runner=stopped, runners=(stopped,))),
    }


def test_the_table_of_budgets_is_true() -> None:
    infrastructure, never, flow = table("flowrun.md", "budgets")
    assert set(code(infrastructure[1])) == retries.INFRASTRUCTURE
    assert set(code(never[1])) == retries.NEVER
    assert {retries.budget_of(reason) for reason in code(flow[1])} == {"flow"}
    for row, budget in ((infrastructure, "infrastructure"), (flow, "flow")):
        assert row[0] == f"`{retries.LIMITS[budget][0]}`, default {retries.LIMITS[budget][1]}"  # type: ignore[index]


def looked_at(deployment: Manifest, seen: ObservedDeployment) -> Manifest:
    return m.with_status(deployment, deployment_plan.decide(deployment, seen, m.settings(), m.NOW).status)


def deployments() -> dict[str, Manifest]:
    """A FlowDeployment in each row of the table."""
    new = m.a_deployment()
    missing = m.a_deployment(flow={"source": {"configMap": {"name": "code"}}, "entrypoint": "flow.py:flow"})
    building = looked_at(new, ObservedDeployment())
    builder = made(new, ObservedDeployment())
    failed = m.ended(builder, "builder", message=json.dumps({"reason": "RegistryFailed", "remedy": "Look."}))
    pushed = m.ended(builder, "builder", message=json.dumps({"image": m.IMAGE}))
    verifying = looked_at(building, ObservedDeployment(builders=(pushed,)))
    check = made(building, ObservedDeployment(builders=(pushed,)))
    bad = m.ended(check, "check", message=json.dumps({"reason": "ImportFailed", "remedy": "Add it."}))
    good = m.ended(check, "check", message=json.dumps({"flow": {"name": "squares"}}))
    return {
        "no source, or no registry": looked_at(missing, ObservedDeployment()),
        "building": building,
        "not built": looked_at(building, ObservedDeployment(builders=(failed,))),
        "verifying": verifying,
        "not verified": looked_at(verifying, ObservedDeployment(checks=(bad,))),
        "ready": looked_at(verifying, ObservedDeployment(checks=(good,))),
        "ready, with a schedule": scheduled(verifying, good, {"cron": ["@daily"]}),
        "ready, the schedule suspended": scheduled(verifying, good, {"cron": ["@daily"], "suspend": True}),
        "no operator takes it": looked_at(m.a_deployment(environment={"labels": ["gpu"]}), ObservedDeployment()),
        "the schedule is wrong": scheduled(verifying, good, {"cron": ["61 * * * *"]}),
    }


def scheduled(verifying: Manifest, check: Manifest, schedule: Manifest) -> Manifest:
    changed = {**verifying, "spec": {**verifying["spec"], "schedule": schedule}}
    return looked_at(changed, ObservedDeployment(checks=(check,)))


def made(deployment: Manifest, seen: ObservedDeployment) -> Manifest:
    plan = deployment_plan.decide(deployment, seen, m.settings(), m.NOW)
    (pod,) = [each for each in plan.create if each["kind"] == "Pod"]
    return m.scheduled(pod)


def row_of(manifest: Manifest, kinds: tuple[str, ...]) -> Row:
    found = {each["type"]: each["status"] for each in manifest["status"]["conditions"]}
    return [found.get(kind, "") for kind in kinds]


def test_the_table_of_phases_and_conditions_is_true() -> None:
    said = {row[0]: row[1:] for row in table("status.md", "flowrun")}
    assert said == {name: row_of(each, CONDITIONS["flowrun.md"]) for name, each in runs().items()}
    for name, each in runs().items():
        assert each["status"]["phase"] == name.partition(",")[0]


def test_the_table_of_a_deployments_conditions_is_true() -> None:
    said = {row[0]: row[1:] for row in table("status.md", "flowdeployment")}
    assert said == {name: row_of(each, CONDITIONS["flowdeployment.md"]) for name, each in deployments().items()}


# How main ends in each sort of flow: exit code, reason of the container's state, report.
ENDS: dict[str, tuple[int, str, Manifest]] = {
    "succeeds": (0, "Completed", {"state": "Succeeded"}),
    "raises": (1, "Error", {"state": "Failed", "reason": "FlowRaised"}),
    "does not run": (78, "Error", {"state": "Failed", "reason": "OnStartFailed"}),
    "is killed": (137, "Error", {}),
    "is killed at its memory limit": (137, "OOMKilled", {}),
}


@pytest.mark.parametrize("row", table("callbacks.md", "hooks"), ids=" / ".join)
def test_the_table_of_callbacks_is_true(row: Row) -> None:
    flow, on_start, on_exit, succeeded, reason, tried_again = row
    code_, why, report = ENDS[flow]
    begun = decided(m.a_run(), ObservedRun(deployment=m.a_ready_deployment(callbacks=("on_start", "on_exit"))))
    pod = m.scheduled(runner_pod(begun, pinned.read(begun["status"]), 1, m.settings()))
    pod = m.ended(pod, code=code_, reason=why, message=json.dumps(report) if report else "")
    state, _, elsewhere = on_exit.partition(" ")
    in_the_pod = {"on_start": on_start, **({} if elsewhere else {"on_exit": state})}
    pod = ended_with(pod, in_the_pod)
    told = decided(begun, ObservedRun(runner=pod, runners=(pod,)))
    if elsewhere:
        assert told["status"]["phase"] == "Finishing"
        fallback = m.scheduled(fallback_pod(begun, pinned.read(begun["status"]), 1, m.settings(), (0, "")))
        fallback = ended_with(fallback, {} if state == "Lost" else {"on_exit": state})
        told = decided(told, ObservedRun(runner=pod, runners=(pod,), fallback=fallback, fallbacks=(fallback,)), 9)
    verdict = next(each for each in told["status"]["conditions"] if each["type"] == words.SUCCEEDED)
    assert (verdict["status"], [verdict["reason"]]) == (succeeded, code(reason))
    assert {each["name"]: each["state"] for each in told["status"]["hooks"]} == {"on_start": on_start, "on_exit": state}
    budget = retries.budget_of(verdict["reason"]) if succeeded == "False" else None
    assert (code(tried_again) or [tried_again]) == [retries.LIMITS[budget][0] if budget else "no"]


def ended_with(pod: Manifest, states: dict[str, str]) -> Manifest:
    """Return the pod after flow-hooks has left receipts."""
    receipts = [{"name": name, "state": state} for name, state in states.items()]
    done = m.ended(pod, "flow-hooks", message=json.dumps({"hooks": receipts}))
    done["status"]["phase"] = "Failed"
    return done


def test_every_environment_has_a_row_that_says_where_its_callbacks_run() -> None:
    listed = [code(row[0])[0] for row in table("callbacks.md", "environments")]
    kinds = {field.alias or name for name, field in Environment.model_fields.items()} - {"labels"}
    assert set(listed) == kinds


# --- numbers


def test_the_times_of_callbacks_are_those_of_the_code() -> None:
    times = [row[1] for row in rows(doc("callbacks.md").partition("## Times")[2])[1:]]
    hooked, bare = (
        pinned.read({**run["status"], "image": "i"}).grace
        for run in (
            decided(m.a_run(), ObservedRun(deployment=m.a_ready_deployment(callbacks=names)))
            for names in (("on_exit",), ())
        )
    )
    patience = DEFAULT_CALLBACK_TIMEOUT + run_plan.HOOKS_PATIENCE
    numbers = (DEFAULT_STOP_GRACE, DEFAULT_CALLBACK_TIMEOUT, hooked, bare, patience)
    assert times == [f"{number:.0f}" for number in numbers]
    assert hooks.KILL_AFTER == 2
    assert hooks.MAX_TRIES == 3
    assert "at most three times" in doc("callbacks.md")


@pytest.mark.parametrize(
    ("page", "words_"),
    [
        ("flowrun.md", f"ends the attempt after {run_plan.PULL_PATIENCE:.0f} s"),
        ("flowrun.md", f"(15 s, with [callbacks](callbacks.md) {DEFAULT_STOP_GRACE + DEFAULT_CALLBACK_TIMEOUT + 5} s)"),
        ("flowdeployment.md", f"after {healing.SOON:.0f} s, 20 s, and so on up to every 5 minutes"),
        ("flowdeployment.md", f"after {healing.LATER:.0f} s, 60 s, and so on up to every 10 minutes"),
        ("dask.md", f"does, {clean_up.FINALIZER_PATIENCE:.0f} s after the deletion"),
        ("deploy.md", f"after a minute where it may pass by itself (`{'`, `'.join(sorted(waiting.PASSING))}`)"),
        ("status.md", f"acted on the DaskCluster for {dask_health.CONTROLLER_PATIENCE:.0f} s"),
        ("operations.md", f"missing news for more than {http.WATCH_LIMIT:.0f} s"),
        ("operations.md", f"has waited for more than {http.QUEUE_LIMIT:.0f} s"),
    ],
)
def test_a_number_in_the_text_is_that_of_the_code(page: str, words_: str) -> None:
    assert words_ in " ".join(doc(page).split())


def test_the_list_of_metrics_is_complete() -> None:
    import asyncio
    import time

    from prometheus_client import generate_latest

    from flow_operator.controller.metrics import Metrics
    from flow_operator.controller.queue import Queue
    from flow_operator.controller.store import Store
    from flow_operator.controller.watches import Watches

    async def served() -> str:
        metrics, store, queue = Metrics(), Store(), Queue[Any](time.monotonic)
        metrics.read_from(queue, store, Watches(store, queue, m.settings()))
        return generate_latest(metrics.registry).decode()

    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", asyncio.run(served()), re.MULTILINE))
    types = {name: kind for name, kind in types.items() if not name.endswith("_created")}
    assert {code(row[0])[0]: row[1] for row in table("operations.md", "metrics")} == types


def test_the_variables_of_callbacks_are_complete() -> None:
    listed = {name for name in first_cells(doc("callbacks.md")) if name.startswith("FLOW_OPERATOR_")}
    given = re.findall(r'"(FLOW_OPERATOR_\w+)": ', Path(hooks.__file__).read_text())
    ended = (wire.OUTCOME_ENV, wire.EXIT_CODE_ENV, wire.REASON_ENV)
    assert listed == {*given, *ended, wire.SCHEDULED_TIME_ENV}, "what flow-hooks gives, and what the whole pod has"


# --- examples


def manifests(page: Path) -> Iterator[Manifest]:
    for block in blocks(page, "yaml"):
        yield from (each for each in yaml.safe_load_all(block) if isinstance(each, dict) and "kind" in each)


EXAMPLES = [(page.name, each) for page in PAGES for each in manifests(page)]


@pytest.mark.parametrize(("page", "example"), EXAMPLES, ids=[f"{page}-{n}" for n, (page, _) in enumerate(EXAMPLES)])
def test_an_example_is_a_resource_the_api_server_takes(page: str, example: Manifest) -> None:
    kind = next(each for each in KINDS if each.kind == example["kind"])
    assert example["apiVersion"] == API_VERSION
    kind.spec.model_validate(example["spec"])
    assert not list(complaints(structural(kind.spec), example["spec"], "spec")), page


def test_a_status_in_a_page_is_one_the_model_knows() -> None:
    for name, page in PAGE_OF.items():
        kind = next(each for each in KINDS if each.kind == name)
        (shown,) = [each["status"] for each in map(yaml.safe_load, blocks(DOCS / page, "yaml")) if "status" in each]
        assert not list(complaints(structural(kind.status), shown, "status"))


def complaints(schema: Schema, value: Any, path: str) -> Iterator[str]:
    """Fields the API server would prune, and rules of the form "exactly one of these" that it would hold."""
    if isinstance(value, list):
        for each in value:
            yield from complaints(schema.get("items", {}), each, f"{path}[]")
    if not isinstance(value, dict) or schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    known = schema.get("properties", {})
    for key, each in value.items():
        if key in known:
            yield from complaints(known[key], each, f"{path}.{key}")
        elif "additionalProperties" not in schema:
            yield f"{path}.{key} is no field"
    for rule in schema.get("x-kubernetes-validations", ()):
        choices = re.findall(r"has\(self\.(\w+)\)", rule["rule"]) if "exactly one" in rule["message"] else []
        if choices and len([each for each in choices if each in value]) != 1:
            yield f"{path}: {rule['message']}"


def test_the_checker_of_examples_complains() -> None:
    schema = structural(FLOW_DEPLOYMENT.spec)
    said = list(complaints(schema, {"flow": {"source": {"inlin": "x"}}, "storage": {}}, "spec"))
    assert said == [
        "spec.flow.source.inlin is no field",
        "spec.flow.source: set exactly one of inline and configMap",
        "spec.storage: set exactly one of docker, bytes and local",
    ]


def test_the_readmes_resources_are_fifteen_lines() -> None:
    assert len(blocks(ROOT / "README.md", "yaml")[0].splitlines()) == 15


# The tutorial's cells need each other and a cluster: tests/e2e/test_tutorial.py runs them.
PROGRAMS = [(page.name, text) for page in PAGES if page.name != "tutorial.md" for text in blocks(page, "python")]


@pytest.mark.parametrize(("page", "text"), PROGRAMS, ids=[f"{page}-{n}" for n, (page, _) in enumerate(PROGRAMS)])
def test_a_python_example_runs(page: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, f"{page}: {done.stderr}"
    for expected in re.findall(r"^ *print\(.*\)  # (\d+)", text, re.MULTILINE):
        assert expected in done.stdout


# --- links, targets, leftovers

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if link.startswith(("http:", "https:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {Path(link.partition("#")[0]).name for link in LINK.findall((ROOT / "README.md").read_text())}
    assert {page.name for page in DOCS.glob("*.md")} <= linked


TARGETS = set(re.findall(r"^([a-z0-9-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_make_targets_that_are_named_exist(page: Path) -> None:
    calls = re.findall(r"(?:`|^\$ )make ([a-z -]+?)(?:`|$)", page.read_text(), re.MULTILINE)
    assert {target for call in calls for target in call.split()} <= TARGETS


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_files_that_are_named_exist(page: Path) -> None:
    places = re.findall(r"`((?:tests|hack|helm|examples|operator|crds|docs)/[\w./-]+)`", page.read_text())
    rooms = re.findall(r"`((?:api|plan|images|kube|flow|runner|controller)/[\w./]*)`", page.read_text())
    for place in places:
        assert (ROOT / place).exists(), f"{page.name}: {place}"
    for room in rooms:
        assert (PACKAGE / room).exists(), f"{page.name}: {room}"


def test_the_rooms_are_those_there_are() -> None:
    layout = doc("architecture.md").partition("operator/flow_operator/\n")[2].partition("```")[0]
    listed = set(re.findall(r"^  (\w+)/ ", layout, re.MULTILINE))
    faces = {"environments"}  # a public face of flow/ that is a package for its alias of `storage`
    assert listed == {each.parent.name for each in PACKAGE.glob("*/__init__.py")} - faces


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_nothing_is_left_to_do(page: Path) -> None:
    assert "TODO" not in page.read_text()
