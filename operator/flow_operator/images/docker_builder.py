"""The builder that lets a Docker engine do the work: for extra commands, for what must be compiled, for local images.

request -> plan -> base                (pulled by the engine, unless it is the engine's own)
                -> prepared            (pip upgraded, the extra commands; only where there are commands)
                -> which Python        (asked in a container: a command may have installed it)
                -> finished            (runtime where the base lacks it, dependencies, files, variables, labels)
                -> check               (every flow, in a container as our pods run: no root, nothing writable)
                -> tag -> push -> compare with the registry -> remove the local copy -> report

An image gets its tag when its flows have been loaded, so a build that fails never leaves or moves a tag.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_operator.api.wire import CHECK_ENV, DEPS_DIR, TERMINATION_LOG, BuildReport
from flow_operator.images.clients import SHARED as SHARED_CLIENTS
from flow_operator.images.clients import Clients
from flow_operator.images.connections import Connections
from flow_operator.images.context import Context, pip_settings, write_context
from flow_operator.images.credentials import Keychain, keychain_from
from flow_operator.images.dependencies import SHARED, check_shared, resolve
from flow_operator.images.docker_failures import failure, refusal
from flow_operator.images.docker_request import DockerPlan, checked_for_docker
from flow_operator.images.dockerfile import SHELL, Content, Dockerfile, finished, prepared, runtime_alone
from flow_operator.images.engine import Engine, connected
from flow_operator.images.errors import (
    BaseImageHasNoPythonError,
    BaseImageNotFoundError,
    BuildError,
    EngineError,
    EngineFailedError,
    RegistryError,
    TagLostError,
    disk_errors,
)
from flow_operator.images.files import file_layers
from flow_operator.images.image import annotations_for, environment, labels_for
from flow_operator.images.layer_cache import cache_key
from flow_operator.images.package_layers import PackageLayers
from flow_operator.images.probe import PROBE, Found, found
from flow_operator.images.progress import Progress, Stages, silent
from flow_operator.images.python_version import another_python
from flow_operator.images.reference import parse_reference
from flow_operator.images.retries import Retries
from flow_operator.images.runtime import Runtime, runtime_of
from flow_operator.images.uv import Target, Uv

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flow_operator.api.wire import BuildRequest
    from flow_operator.images import install
    from flow_operator.images.requirements import Lock

_CHECK_SECONDS = 300  # as long as a check pod may take

_RUNTIME = "flow-operator-runtime"  # in the engine, tagged with what it is made of

# How our pods run a flow's image.
_USER = "65532:65532"
_POD = {"USER": "flow", "HOME": "/tmp", "TMPDIR": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"}  # noqa: S108


class DockerBuilder:
    """Builds with an engine, and lets it push."""

    def __init__(
        self,
        *,
        progress: Progress = silent,
        keychain: Keychain | None = None,
        retries: Retries | None = None,
        clients: Clients = SHARED_CLIENTS,
        client: Callable[..., Any] | None = None,
    ) -> None:
        self._progress = progress
        self._keychain = keychain or keychain_from()
        self._retries = retries or Retries(progress=progress)
        self._clients = clients
        self._client = client

    def build(self, request: BuildRequest) -> BuildReport:
        """The image, by digest where it was pushed. Raises `errors.BuildError` when there is none."""
        plan = checked_for_docker(request)
        connections = Connections(plan.plan, self._keychain, self._retries, self._clients)
        with (
            disk_errors(),
            tempfile.TemporaryDirectory(prefix="flow-operator-") as work,
            connected(plan.engine, self._client) as engine,
        ):
            seams = _Seams(engine, connections, self._keychain, self._retries, self._progress)
            return _Build(plan, seams, Path(work)).run()


class _Seams(NamedTuple):
    """What a build reaches the world through."""

    engine: Engine
    connections: Connections
    keychain: Keychain
    retries: Retries
    progress: Progress


class _Build:
    """One build."""

    def __init__(self, plan: DockerPlan, seams: _Seams, work: Path) -> None:
        self._docker = plan
        self._plan = plan.plan
        self._seams = seams
        self._engine = seams.engine
        self._progress = seams.progress
        self._work = work
        self._stages = Stages()
        self._lock: Lock | None = None

    def run(self) -> BuildReport:
        with self._stages.stage("code"):
            # The bytes are compared with what was decided on before an engine is asked for anything.
            kinds = [layer.kind for layer in file_layers(self._plan.files, self._work)]
            files = {f"{kind}.tar": self._work / f"{kind}.tar" for kind in kinds}
        with self._stages.stage("base"):
            base = self._base()
        with self._stages.stage("commands"):
            prepared_id = self._prepared(base)
        with self._stages.stage("build"):
            image = self._finished(base, prepared_id, files)
        with self._stages.stage("check"):
            self._check(image)
        return self._delivered(base, image)

    def _base(self) -> dict[str, Any]:
        reference = self._plan.base
        if not self._docker.local_image:
            credential = self._seams.keychain.find(reference.registry)
            platform = self._docker.platform
            self._progress(f"Pulling {reference}.")
            self._seams.retries.run(lambda: self._engine.pull(reference, credential, platform, self._progress))
        base = self._engine.image(str(reference))
        if base is None:
            raise BaseImageNotFoundError(
                f"Docker engine {self._engine.name} has no image {reference}.",
                remedy="Build or load it there first, or leave out localImage to have it pulled.",
            )
        wanted, has = self._docker.platform.removeprefix("linux/"), base.get("Architecture", "")
        if wanted and has != wanted:
            raise BaseImageNotFoundError(f"{reference} is for {has}, not for {wanted}.")
        return base

    def _prepared(self, base: Mapping[str, Any]) -> str:
        """The id of the image that the rest is put on."""
        if not self._docker.commands:
            return str(base["Id"])
        config = base.get("Config") or {}
        settings = pip_settings(secret=False)
        shell = config.get("Shell") or SHELL
        dockerfile = prepared(base["Id"], config.get("User") or "", self._docker.commands, settings, shell)
        return self._built(dockerfile, Context(dockerfile.text))

    def _finished(self, base: Mapping[str, Any], image: str, files: Mapping[str, Path]) -> str:
        known = self._engine.image(image) or base
        python = self._python(image)
        config = known.get("Config") or {}
        user = config.get("User") or ""
        architecture = str(known.get("Architecture") or self._plan.architecture)
        target = Target(python.python, architecture, python.libc, python.release)
        runtime = runtime_of({"config": config}, python.python)
        self._lock = self._checked_lock(runtime, target)
        content = Content(
            runtime=self._runtime(runtime.lock, target, image, user) if runtime.lock else "",
            dependencies=bool(self._plan.wanted),
            files=tuple(files),
            variables=self._variables(config),
            labels=self._labels(config, python, runtime),
            salt="" if self._plan.wanted.pinned else uuid.uuid4().hex,
        )
        dockerfile = finished(image, user, content, pip_settings(secret=True))
        return self._built(dockerfile, Context(dockerfile.text, self._packages(runtime), files))

    def _python(self, image: str) -> Found:
        reference = str(self._plan.base)
        try:
            ran = self._engine.run(image, PROBE, network=False)
        except EngineError as error:
            if "executable file not found" in error.message or "no such file or directory" in error.message:
                raise BaseImageHasNoPythonError(f"{reference} has no Python.") from None
            raise
        python = found(reference, ran)
        warning = another_python(reference, python.python, (self._docker.check or {}).get("python", ""))
        if warning:
            self._progress(warning)
        return python

    def _runtime(self, lock: Lock, target: Target, image: str, user: str) -> str:
        """The image that holds the runtime: the engine has it since the first build that needed it."""
        layers = PackageLayers(target, None, self._work, self._stages, self._progress)
        # By image too: it is the image's own Python that compiles, and what one makes must not reach another's builds.
        key = cache_key(layers.runtime_key(lock), image)[:24]
        name = f"{_RUNTIME}:{key}"
        if self._engine.image(name) is None:
            layers.runtime(lock)
            archive = {"runtime.tar.gz": self._work / "runtime.tar.gz"}
            dockerfile = runtime_alone(image, user)
            self._engine.tag(self._built(dockerfile, Context(dockerfile.text, archives=archive)), _RUNTIME, key)
        return name

    def _checked_lock(self, runtime: Runtime, target: Target) -> Lock | None:
        """The lock that was brought, for this image; what is plainly wrong is said before anything is built."""
        wanted = self._plan.wanted
        if wanted.lock:
            folder = self._work / "lock"
            folder.mkdir()
            return resolve(Uv(folder), wanted, runtime.versions, target)
        check_shared(wanted.requirements, runtime.versions)
        return None

    def _packages(self, runtime: Runtime) -> dict[str, bytes]:
        if not self._plan.wanted:
            return {}
        lines = self._lock.text if self._lock else "".join(f"{line}\n" for line in self._plan.wanted.requirements)
        job: install.Job = {"target": DEPS_DIR, "runtime": runtime.versions, "hashes": self._lock is not None}
        shared = [f"{name}=={runtime.versions[name]}\n" for name in SHARED if name in runtime.versions]
        return {
            "install.json": json.dumps(job, sort_keys=True).encode(),
            "requirements.txt": lines.encode(),
            "constraints.txt": "".join(shared).encode(),
        }

    def _variables(self, config: Mapping[str, Any]) -> dict[str, str]:
        """Those that differ from the base's."""
        before = config.get("Env") or []
        after = environment(before, self._plan.env)
        return dict(line.partition("=")[::2] for line in after if line not in before)

    def _labels(self, config: Mapping[str, Any], python: Found, runtime: Runtime) -> dict[str, str]:
        """An engine's images have no annotations: what they would say is in the labels."""
        lock = self._lock.digest if self._lock else ""
        said = annotations_for(self._plan.target.repository, python.python, runtime, lock)
        return {**labels_for(python.release, runtime, {"config": config}), **said, **self._plan.annotations}

    def _built(self, dockerfile: Dockerfile, context: Context) -> str:
        file = self._work / "context.tar"
        write_context(context, file)
        with file.open("rb") as opened:
            built = self._engine.build(opened, dockerfile.arguments, self._docker.platform, self._progress)
        if not built.image:
            raise failure(dockerfile, built)
        return built.image

    def _check(self, image: str) -> None:
        if not self._docker.check:
            return
        self._progress("Checking the flows in the image.")
        variables = {**_POD, CHECK_ENV: json.dumps(self._docker.check)}
        command = ["python3", "-m", "flow_operator.runner", "check"]
        ran = self._engine.run(image, command, environment=variables, user=_USER, seconds=_CHECK_SECONDS)
        for line in ran.err.splitlines():
            if TERMINATION_LOG not in line:  # only pods have one
                self._progress(line)
        if ran.code != 0:
            raise refusal(ran)

    def _delivered(self, base: Mapping[str, Any], image: str) -> BuildReport:
        tag = self._plan.target.tag or f"i-{image.removeprefix('sha256:')[:16]}"
        name = f"{self._plan.repository}:{tag}"
        self._engine.tag(image, self._plan.repository, tag)
        report = BuildReport(
            image=name,
            digest=image,
            base=self._base_name(base),
            lock=self._lock.digest if self._lock else "",
            uploadedBytes=0,
            stages=self._stages.seconds,
        )
        if not self._docker.push:
            self._progress(f"{name} stays in the engine, where no cluster can pull it.")
            return report
        with self._stages.stage("push"):
            report["digest"], report["uploadedBytes"] = self._pushed(image, tag)
            report["image"] = f"{self._plan.repository}@{report['digest']}"
        self._removed(name)
        return report

    def _pushed(self, image: str, tag: str) -> tuple[str, int]:
        repository, target = self._plan.repository, self._plan.target
        credential = self._seams.keychain.find(target.registry)
        self._progress(f"Pushing {repository}:{tag}.")
        digest, size = self._seams.retries.run(lambda: self._engine.push(repository, tag, credential, self._progress))
        now = self._engine.image(f"{repository}:{tag}") or {}
        if now.get("Id") != image:
            raise EngineFailedError(f"Another build has taken the name {repository}:{tag} while this one was pushed.")
        self._compare(tag, digest)
        return digest, size

    def _compare(self, tag: str, digest: str) -> None:
        """The registry must have what the engine says it pushed; a registry only the engine reaches is not asked."""
        target = self._plan.target
        try:
            has = self._seams.connections.repository(target).digest_of(tag)
        except RegistryError as error:
            self._progress(f"Warning: what was pushed could not be looked up from here. {error.message}")
            return
        if has is None or has not in ("", digest):
            raise TagLostError(f"{target.name}:{tag} was pushed as {digest}, and is {has or 'not there'} now.")

    def _removed(self, name: str) -> None:
        try:
            self._engine.remove(name)
        except BuildError as error:
            self._progress(f"The local copy {name} is still in the engine: {error.message}")

    def _base_name(self, base: Mapping[str, Any]) -> str:
        """The base by digest; by its id where it never was in a registry."""
        reference = self._plan.base
        for text in base.get("RepoDigests") or ():
            named = parse_reference(text)
            if named.name == reference.name:
                return str(reference.at(named.digest))
        return f"{reference} ({base['Id']})"
