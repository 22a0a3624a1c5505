"""What to do about a FlowDeployment: an ordered tuple of checks, the first with an opinion wins."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..api import conditions as words
from ..api.flow_deployment import Diagnosis, FlowDeploymentSpec, parse_spec
from . import build, declared, diagnosis, eligible, ends, healing, materials, names, pods, reports, schedule, turns
from .conditions import Conditions, announcements
from .inputs import Inputs, inputs_of
from .times import duration, seconds_since, stamp
from .types import Manifest, ObservedDeployment, Plan, Ref

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ..api import wire
    from ..api.settings import Settings

# Seconds until a child that the API server refused is wished for again.
REFUSED_AGAIN = 10.0
# Seconds until a pod that has not begun is called stuck; it may still begin.
START_PATIENCE = 45.0
# Seconds in which an image that cannot be found is built again only once.
VANISHED_AGAIN = 600.0
# A request is one environment variable, of which the kernel takes 128 KiB.
MAX_REQUEST = 120_000


@dataclass
class Case:
    """One deployment being decided: the questions' shared paper."""

    deployment: Manifest
    spec: FlowDeploymentSpec
    seen: ObservedDeployment
    settings: Settings
    now: datetime
    status: dict[str, Any]  # the new status, built upon the old one
    conditions: Conditions
    target: build.Target
    inputs: Inputs | None = None
    create: tuple[Manifest, ...] = ()
    delete: tuple[Ref, ...] = ()
    again_after: float | None = None

    @property
    def wanted(self) -> Inputs:
        """Return the inputs; checks after `source_is_there` may rely on them."""
        assert self.inputs is not None, "asked before the source was read"  # noqa: S101
        return self.inputs

    def stuck(self, kind: str, why: Diagnosis) -> bool:
        """State that a step failed and a person must act."""
        self.conditions.set(kind, "False", why.reason, why.message)
        self.conditions.stuck(why.reason, diagnosis.sentence(why))
        self.status["diagnosis"] = why.to_wire()
        return True

    def working(self, kind: str, reason: str, message: str) -> bool:
        """State that a step is under way; where it had failed, why is shown until it ends otherwise."""
        attempt = self.status["build"]["attempt"]
        said = f"{message} This is attempt {attempt}." if attempt > 1 else message
        self.conditions.set(kind, "Unknown", reason, said)
        self.conditions.working(reason, said)
        if attempt == 1:
            self.status.pop("diagnosis", None)
        return True


def decide(deployment: Manifest, seen: ObservedDeployment, settings: Settings, now: datetime) -> Plan:
    """Return what to do about a deployment."""
    if not eligible.attends(settings.labels, deployment):
        return _leave(deployment, now)
    old = deployment.get("status") or {}
    generation = deployment["metadata"]["generation"]
    case = Case(
        deployment=deployment,
        spec=parse_spec(deployment["spec"]),
        seen=seen,
        settings=settings,
        now=now,
        status={key: copy.deepcopy(value) for key, value in old.items() if key != "conditions"},
        conditions=Conditions(old.get("conditions", ()), generation, now),
        target=build.Target.of(deployment),
    )
    for check in CHECKS:
        if check(case):
            break
    agenda = _keep_the_schedule(case)
    new = {**case.status, "observedGeneration": generation, "conditions": case.conditions.to_list()}
    return Plan(
        status=new if new != old else None,
        create=_missing(case.create, seen),
        delete=case.delete,
        announce=(*announcements(old, new), *agenda.announce),
        again_after=min((each for each in (case.again_after, agenda.again_after) if each is not None), default=None),
    )


def _leave(deployment: Manifest, now: datetime) -> Plan:
    """Leave a deployment to the operator whose it is; if none takes it, do not leave it in silence."""
    left = eligible.silence(deployment, now)
    if left is None or left > 0:
        return Plan(again_after=left)
    generation = deployment["metadata"]["generation"]
    why = eligible.nobody("FlowDeployment", deployment["spec"]["environment"]["labels"])
    conditions = Conditions((), generation, now)
    conditions.stuck(why.reason, diagnosis.sentence(why))
    told = {"diagnosis": why.to_wire(), "conditions": conditions.to_list()}
    return Plan(status={**told, "observedGeneration": generation})


def _keep_the_schedule(case: Case) -> schedule.Agenda:
    """Start, skip and forget runs of the schedule; whatever the image is at."""
    ready = case.conditions.status(words.READY) == "True"
    seen = case.seen
    agenda = schedule.attend(
        case.deployment, case.spec, case.status, seen.runs, seen.run_refused, case.now, ready=ready
    )
    if agenda.condition is None:
        case.conditions.drop(words.SCHEDULED)
    else:
        case.conditions.set(words.SCHEDULED, *agenda.condition)
    case.status = {key: each for key, each in case.status.items() if key not in schedule.FIELDS} | agenda.fields
    case.create += agenda.create
    case.delete += agenda.delete
    return agenda


def _missing(wanted: tuple[Manifest, ...], seen: ObservedDeployment) -> tuple[Manifest, ...]:
    """Children are immutable and named by their content: what is there is right."""
    there = {(each["kind"], each["metadata"]["name"]) for each in (*seen.config_maps, *seen.builders, *seen.checks)}
    return tuple(each for each in wanted if (each["kind"], each["metadata"]["name"]) not in there)


def source_is_there(case: Case) -> bool:
    """Everything that is read from ConfigMaps is there: the flow's bytes, further files, the lock."""
    try:
        case.inputs = inputs_of(case.deployment, case.spec, case.seen.referenced, case.settings)
    except materials.MaterialMissing as missing:
        return case.stuck(
            words.BUILT,
            diagnosis.diagnosis(
                "SourceNotFound",
                f"{missing.field}: {missing}",
                f"Create it, or correct {missing.field}; this is looked at again when it changes.",
            ),
        )
    return False


def registry_is_known(case: Case) -> bool:
    """There is somewhere to push to."""
    if case.wanted.docker is None or case.wanted.repository:
        return False
    return case.stuck(
        words.BUILT,
        diagnosis.diagnosis(
            "RegistryNotSet",
            "Docker storage needs a registry to push to and none is set.",
            "Set spec.storage.docker.registryURL or the chart's value `registry`, or use storage: {bytes: {}}.",
        ),
    )


def engine_is_known(case: Case) -> bool:
    """There is an engine, where one is to build."""
    docker = case.wanted.docker
    if docker is None or docker.builder != "Docker" or case.settings.docker_engine.url:
        return False
    return case.stuck(
        words.BUILT,
        diagnosis.diagnosis(
            "EngineNotSet",
            "builder: Docker needs a Docker engine, and the operator knows none.",
            "Set the chart's value dockerEngine.url, or take builder: Layers, which needs none (and runs no "
            "extraCommands).",
        ),
    )


def request_fits(case: Case) -> bool:
    """What the builder is told fits into its pod."""
    if case.wanted.docker is None:
        return False
    size = len(pods.compact(build.build_request(case.wanted, case.settings)))
    if size <= MAX_REQUEST:
        return False
    return case.stuck(
        words.BUILT,
        diagnosis.diagnosis(
            "BadRequest",
            f"spec.storage.docker is too large for a builder: {size} bytes, and {MAX_REQUEST} are possible.",
            "Shorten pythonDependencies (a dependencyLock may be larger), extraCommands or envVars.",
        ),
    )


def inputs_are_recorded(case: Case) -> bool:
    """A change of the inputs starts a new count of attempts."""
    record: dict[str, Any] = case.status.setdefault("build", {})
    if record.get("inputs") != case.wanted.hash:
        code = case.wanted.code
        case.status["build"] = {
            "inputs": case.wanted.hash,
            **({"sourceDigest": f"sha256:{code.sha256}"} if code else {}),
            "attempt": 1,
        }
        for gone in ("image", "flow", "diagnosis"):
            case.status.pop(gone, None)
        case.conditions.set(words.VERIFIED, "Unknown", "Building", "The image is being built.")
    return False


def image_is_built(case: Case) -> bool:
    """The image of exactly these inputs exists."""
    if case.wanted.docker is None:
        return _nothing_to_build(case)
    if case.status.get("image") and not _has_vanished(case):
        return False
    pod = _of_attempt(case, case.seen.builders, "build", case.wanted.hash)
    if pod is None:
        return _start_build(case)
    terminated = _ended(pod, "builder")
    if terminated is None and (why := diagnosis.waiting_for(pod) or _not_begun(case, pod)):
        return case.stuck(words.BUILT, why)
    if terminated is None:
        return case.working(words.BUILT, "Building", f"Pod {pod['metadata']['name']} builds the image.")
    report = read_report(terminated)
    if report is None or "image" not in report:
        return _build_failed(case, pod, terminated, report or {})
    if "@sha256:" not in report["image"]:
        return _build_failed(case, pod, terminated, _not_in_a_registry(report["image"]))
    _record_build(case, report)
    return False


def _not_in_a_registry(image: str) -> dict[str, Any]:
    """What a builder ought to have said of an image that no pod can pull."""
    return {
        "reason": "BuilderFailed",
        "message": f"The builder ended with {image}, which names no digest: no registry has it.",
        "remedy": "Please report it with the log of the builder's pod.",
    }


def _has_vanished(case: Case) -> bool:
    """A pod found no such image: it is built again, which makes the same one, and the pod may yet begin."""
    check = _check_of_attempt(case)
    said = Diagnosis.model_validate(case.seen.unpullable) if case.seen.unpullable else None
    waits = diagnosis.waiting_for(check) if check else None
    why = next((each for each in (said, waits) if each and diagnosis.vanished(each)), None)
    record = case.status["build"]
    if why is None or (record.get("vanished") and seconds_since(record["vanished"], case.now) < VANISHED_AGAIN):
        return False
    record["vanished"] = stamp(case.now)
    record["attempt"] += 1
    image = case.status.pop("image")
    case.status.pop("flow", None)
    case.conditions.set(words.VERIFIED, "Unknown", "Building", "The image is being built.")
    case.status["diagnosis"] = diagnosis.diagnosis(
        "ImageVanished", f"The registry has lost {image}: {why.message}", "Nothing: it is being built again."
    ).to_wire()
    return True


def _ended(pod: Manifest, container: str) -> dict[str, Any] | None:
    """Return how a container ended; a pod the kubelet refused or evicted has ended without one."""
    refused = (pod.get("status") or {}).get("phase") == "Failed"
    return diagnosis.ended(pod, container) or ({} if refused else None)


def _not_begun(case: Case, pod: Manifest) -> Diagnosis | None:
    """Return why a pod that ought to run does not, where its status does not say: a volume that cannot be mounted."""
    if (pod.get("status") or {}).get("phase") != "Pending":
        return None
    left = START_PATIENCE - seconds_since(pod["metadata"].get("creationTimestamp"), case.now)
    if left > 0:
        case.again_after = left
        return None
    name, volumes = pod["metadata"]["name"], _sources_of(pod)
    return diagnosis.diagnosis(
        "NotStarted",
        f"Pod {name} has not begun within {START_PATIENCE:.0f} s.",
        (f"Check that these exist: {', '.join(volumes)}; " if volumes else "")
        + f"see the events: kubectl describe pod {name}.",
    )


def _sources_of(pod: Manifest) -> list[str]:
    """Name what a kubelet waits for before it mounts a pod's volumes."""
    kinds = {"configMap": "name", "secret": "secretName", "persistentVolumeClaim": "claimName"}
    found = ((kind, each[kind], key) for each in pod["spec"]["volumes"] for kind, key in kinds.items() if kind in each)
    return [f"{kind[0].upper()}{kind[1:]} {source.get(key)!r}" for kind, source, key in found]


def _nothing_to_build(case: Case) -> bool:
    code = case.wanted.code
    if code is not None:
        wanted = build.code_config_map(case.target, code)
        case.create += (wanted,)
        # Where the copy is there, it was the check pod that was refused: that is the next check's to say, and to retry.
        if case.seen.refused and _missing((wanted,), case.seen):
            return _refused(case, words.BUILT)
    case.status["image"] = case.wanted.image
    if case.spec.flow.image:
        case.conditions.set(words.BUILT, "True", "BuiltElsewhere", "The image was built elsewhere.")
    elif code is not None:
        case.conditions.set(words.BUILT, "True", "Mounted", "Bytes storage: the code is mounted, nothing is built.")
    else:
        case.conditions.set(words.BUILT, "True", "Mounted", "Local storage: the flow is on a volume of yours.")
    return False


def _refused(case: Case, kind: str) -> bool:
    """The child stays wished for: it is tried again, whatever the status says meanwhile."""
    case.again_after = REFUSED_AGAIN
    return case.stuck(kind, diagnosis.refused(f"FlowDeployment {case.target.name}", case.seen.refused or ""))


def _start_build(case: Case) -> bool:
    if waits_for := turns.too_many(case.deployment, case.seen.builds, case.settings):
        return _queue(case, waits_for)
    attempt, ca, code = case.status["build"]["attempt"], case.seen.ca_bundle, case.wanted.code
    assert code is not None, "what is built here has its code here"  # noqa: S101
    case.create += (
        build.code_config_map(case.target, code),
        *build.material_config_maps(case.target, case.wanted),
        *((build.ca_config_map(case.target, ca),) if ca else ()),
        build.builder_pod(case.target, case.wanted, attempt, case.settings, ca),
    )
    if case.seen.refused:
        return _refused(case, words.BUILT)
    return case.working(words.BUILT, "Building", f"Building {case.wanted.repository} from {case.wanted.base_image}.")


def _queue(case: Case, waits_for: int) -> bool:
    at_once = case.settings.builder.at_once
    case.again_after = turns.look_again(waits_for, at_once)
    return case.working(words.BUILT, turns.QUEUED, f"Waiting for its turn: the operator builds {at_once} at once.")


def _build_failed(case: Case, pod: Manifest, terminated: dict[str, Any], report: dict[str, Any]) -> bool:
    why = _why(case, pod, "builder", terminated, report)
    _try_again(case, pod, terminated, healing.pause_after_build(why.reason, report, case.status["build"]["attempt"]))
    return case.stuck(words.BUILT, why)


def _why(case: Case, pod: Manifest, container: str, terminated: dict[str, Any], report: Mapping[str, Any]) -> Diagnosis:
    if "reason" in report:
        return diagnosis.diagnosis(
            report["reason"], report.get("message", ""), report.get("remedy", "") or "See its log."
        )
    why = diagnosis.killed_worker(pod, container, terminated)
    known = case.status.get("diagnosis")
    # A pod that never began ends at its deadline; what it waited for says more.
    return Diagnosis.model_validate(known) if why.reason == "DeadlineExceeded" and not terminated and known else why


def _try_again(case: Case, pod: Manifest, terminated: dict[str, Any], pause: float | None) -> None:
    """Count up when the pause is over; a repaired world heals the build without an edit."""
    if pause is None:
        return
    left = pause - seconds_since(terminated.get("finishedAt") or _last_change(pod), case.now)
    if left > 0:
        case.again_after = left
        return
    case.status["build"]["attempt"] += 1
    case.delete += (Ref.of(pod),)
    case.again_after = 0.05


def _last_change(pod: Manifest) -> str:
    """When a pod that has no container's state to tell ended."""
    times = [each.get("lastTransitionTime") for each in (pod.get("status") or {}).get("conditions") or ()]
    return max([str(each) for each in times if each], default=str(pod["metadata"]["creationTimestamp"]))


def _record_build(case: Case, report: dict[str, Any]) -> None:
    case.status["image"] = report["image"]
    case.status.pop("diagnosis", None)
    record = case.status["build"]
    record["baseImage"] = report.get("base", "")
    record["layers"] = report.get("layers", [])
    record["stages"] = {stage: duration(seconds) for stage, seconds in report.get("stages", {}).items()}
    if report.get("lock"):
        record["lock"] = report["lock"]
    sent = report.get("uploadedBytes", 0)
    case.conditions.set(words.BUILT, "True", "Pushed", f"Pushed {report['image']} ({_size(sent)} uploaded).")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1_000_000 else f"{count / 1e3:.1f} kB"


def flow_is_verified(case: Case) -> bool:
    """The flow loads in its image and has said what it is."""
    if case.status.get("flow"):
        return False
    image = case.status["image"]
    pod = _check_of_attempt(case)
    if pod is None:
        attempt = case.status["build"]["attempt"]
        case.create += (build.check_pod(case.target, case.spec, case.wanted, image, attempt, case.settings),)
        if case.seen.refused:
            return _refused(case, words.VERIFIED)
        return case.working(words.VERIFIED, "Verifying", f"Loading the flow in {image}.")
    terminated = _ended(pod, "check")
    if terminated is None and (why := diagnosis.waiting_for(pod) or _not_begun(case, pod)):
        return case.stuck(words.VERIFIED, why)
    if terminated is None:
        return case.working(words.VERIFIED, "Verifying", f"Pod {pod['metadata']['name']} loads the flow.")
    report = reports.of_check(terminated.get("message"))
    if "flow" not in report:
        return _check_failed(case, pod, terminated, report)
    try:
        case.status["flow"] = declared.facts({**report["flow"]}, case.spec)
    except declared.Unusable as unusable:
        return case.stuck(words.VERIFIED, unusable.why)
    return False


def _check_failed(case: Case, pod: Manifest, terminated: dict[str, Any], report: wire.CheckReport) -> bool:
    why = _why(case, pod, "check", terminated, report)
    outside, attempt = healing.sees_more_than_its_image(case.spec), case.status["build"]["attempt"]
    _try_again(case, pod, terminated, healing.pause_after_check(why.reason, report, attempt, outside=outside))
    return case.stuck(words.VERIFIED, why)


def _check_of_attempt(case: Case) -> Manifest | None:
    key = build.check_key(case.spec, case.wanted, case.status["image"])
    return _of_attempt(case, case.seen.checks, "check", key)


def _of_attempt(case: Case, pods: tuple[Manifest, ...], role: str, inputs: str) -> Manifest | None:
    name = names.build_child(case.target.name, role, inputs, case.status["build"]["attempt"])
    return next((each for each in pods if each["metadata"]["name"] == name), None)


def all_is_well(case: Case) -> bool:
    """Nothing is left to do but to sweep up."""
    flow = case.status["flow"].get("name", "")
    case.conditions.set(words.VERIFIED, "True", "Loaded", f"Flow {flow!r} loads in its image.{_other_python(case)}")
    if why := schedule.wrong(case.spec, case.status["flow"], case.now):
        case.stuck(words.SCHEDULED, why)  # the image is there all the same: a FlowRun may use it
    else:
        case.conditions.done("Ready", f"Flow {flow!r} is ready to run.")
        case.status.pop("diagnosis", None)
    case.delete += tuple(Ref.of(each) for each in (*case.seen.builders, *case.seen.checks) if not ends.dying(each))
    needed = set(case.seen.pinned_config_maps)
    if case.wanted.code:
        needed.add(build.code_name(case.target, case.wanted.code))
    if case.seen.ca_bundle:
        needed.add(build.ca_name(case.target, case.seen.ca_bundle))
    case.delete += tuple(
        Ref.of(each)
        for each in case.seen.config_maps
        if each["metadata"]["name"] not in needed and not ends.dying(each)
    )
    return True


def _other_python(case: Case) -> str:
    author, here = case.wanted.python, case.status["flow"].get("python") or ""
    if not author or here == author or here.startswith(f"{author}."):
        return ""
    return f" Warning: it was pickled with Python {author}, and the image has {here}."


def read_report(terminated: dict[str, Any]) -> dict[str, Any] | None:
    """Read a pod's termination message; None where it left none that can be read."""
    return reports.document(terminated.get("message"))


CHECKS = (
    source_is_there,  # what is read from ConfigMaps is there
    registry_is_known,  # there is somewhere to push to
    engine_is_known,  # there is an engine, where one is to build
    request_fits,  # what the builder is told fits into its pod
    inputs_are_recorded,  # a change of the inputs starts anew
    image_is_built,  # the image of exactly these inputs exists
    flow_is_verified,  # the flow loads in its image
    all_is_well,
)
