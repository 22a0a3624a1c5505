"""An image that holds the flows and what they need."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flow_operator.api.slug import slug
from flow_operator.api.wire import CONFIG_ENV, CONFIG_FILE, FLOWS_DIR
from flow_operator.flow.errors import StorageError
from flow_operator.flow.hands import hand
from flow_operator.flow.storage.base import Storage, pairs, text, texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self

    from flow_operator.api.wire import BuildReport
    from flow_operator.flow.core import Flow

BuilderName = Literal["Layers", "Docker"]

BUILDERS: tuple[BuilderName, ...] = ("Layers", "Docker")
_KEPT = ("registry_url", "image_name", "image_tag", "flow_operator_version")  # in the metadata
_VARIABLE = re.compile(r"[^=\0]+")


class Docker(Storage):
    """An image, built from a base, the flows' dependencies and their code, and pushed to a registry.

    Nothing that is given is changed, and what is changed after the storage was made has no effect.

    Args:
        registry_url: where the image is pushed, "registry.example.com/team-a". Without it the image stays in the local
            Docker engine, where no cluster finds it.
        base_image: what it is built on: any image with Python 3.11 or newer. By default the slim Python of this
            interpreter's minor version.
        python_dependencies: requirement lines, as pip reads them.
        image_name: by default the slug of the flow's name; of several flows, a random name.
        image_tag: by default the slug of the time at which these flows were first built. What runs is named by digest,
            never by tag.
        env_vars: variables set in the image, for its check and for every run.
        files: absolute paths here, and where each file is in the image.
        base_url: the Docker engine to build with, "tcp://docker.example.com:2376"; by default the local one.
        flow_operator_version: the release to install where the base has none. It must be this one.
        local_image: the base is in the engine and not pulled.
        extra_commands: shell commands, run in the base before anything is installed.
        builder: "Layers" appends layers to the base, without an engine; "Docker" has an engine build. By default
            Docker where something is asked for that needs an engine (extra_commands, local_image, base_url, or no
            registry_url), else Layers.
        requirements: path of a lock, enforced instead of python_dependencies: requirements with hashes, or a uv.lock.
        annotations: OCI annotations of the image, `{"org.opencontainers.image.revision": …}`.
        architecture: of the image, "amd64" or "arm64"; by default this machine's, or the engine's.
    """

    def __init__(
        self,
        registry_url: str | None = None,
        base_image: str | None = None,
        python_dependencies: Iterable[str] | None = None,
        image_name: str | None = None,
        image_tag: str | None = None,
        env_vars: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        base_url: str | None = None,
        flow_operator_version: str | None = None,
        local_image: bool = False,
        extra_commands: Iterable[str] | None = None,
        *,
        builder: BuilderName | None = None,
        requirements: str | os.PathLike[str] | None = None,
        annotations: Mapping[str, str] | None = None,
        architecture: str | None = None,
    ) -> None:
        super().__init__()
        from flow_operator import __version__

        self.registry_url = (text("registry_url", registry_url) or "").rstrip("/") or None
        self.base_image = text("base_image", base_image) or default_base_image()
        self.python_dependencies = texts("python_dependencies", python_dependencies)
        self.image_name = text("image_name", image_name)
        self.image_tag = text("image_tag", image_tag)
        self.env_vars = {CONFIG_ENV: CONFIG_FILE, **_variables(env_vars)}
        self.files = _files(files)
        self.base_url = text("base_url", base_url)
        self.flow_operator_version = flow_operator_version or __version__
        self.local_image = local_image
        self.extra_commands = texts("extra_commands", extra_commands)
        self.requirements = str(Path(requirements).expanduser().absolute()) if requirements else None
        self.annotations = pairs("annotations", annotations)
        self.architecture = text("architecture", architecture)
        self._builder = _builder(builder, self._needs_engine())
        if self.requirements and self.python_dependencies:
            raise StorageError(
                "requirements and python_dependencies were both given.",
                remedy="Give one of them: a lock names everything already.",
            )
        self._live: dict[str, Flow] = {}
        self._made_name: str | None = None
        self._made_tag: str | None = None
        self._named: frozenset[str] = frozenset()  # the flows they were made for
        self._default_base = base_image is None
        self._report: BuildReport | None = None
        self._built: frozenset[str] = frozenset()
        self._pushed = False

    @property
    def name(self) -> str:
        """The image, "registry_url/image_name:image_tag".

        Raises:
            StorageError: before name and tag were given or made by a build.
        """
        if not self.image_name or not self.image_tag:
            raise StorageError(
                "This image has no name and tag yet.", remedy="Build it, or give image_name and image_tag."
            )
        return f"{self.repository(self.image_name)}:{self.image_tag}"

    @property
    def builder(self) -> BuilderName:
        """Who builds the image: as given, or as its arguments need."""
        return self._builder or ("Docker" if self._needs_engine() else "Layers")

    @property
    def uses_default_base(self) -> bool:
        """Whether no base image was given."""
        return self._default_base

    @property
    def report(self) -> BuildReport | None:
        """What the last build said; None before one, and after one that failed."""
        return self._report

    @property
    def image(self) -> str | None:
        """The image that was built last: "repository@sha256:…", or "name:tag" where it stayed in an engine."""
        return self._report["image"] if self._report else None

    @property
    def digest(self) -> str | None:
        """The digest of the image that was built last; its id where it stayed in an engine."""
        return self._report["digest"] if self._report else None

    def repository(self, image_name: str) -> str:
        """The image's name without a tag."""
        return f"{self.registry_url}/{image_name}" if self.registry_url else image_name

    def build(self, push: bool = True) -> Docker:
        """Build the image of all flows, push it where there is a registry, and return this storage.

        Where no flow was added, the flows that have this storage are. After a failure nothing counts as built, however
        many images there were before.

        Args:
            push: False leaves the image where it was built; with the builder Layers only its digest is found out.

        Raises:
            images.errors.BuildError: with a reason, and the registry's or the engine's own words.
            StorageError: a file is missing, there is no flow, or the storage asks for what cannot be.
        """
        import uuid
        from datetime import UTC, datetime

        self._report, self._built, self._pushed = None, frozenset(), False
        self.add_attached()
        self.live_flows()
        # The same flows keep name and tag, or building them again would send a manifest; others get their own, or the
        # image of the first would be left without a name.
        kept = self._named == frozenset(self._flows)
        made = slug(next(iter(self._flows))) if len(self._flows) == 1 else str(uuid.uuid4())
        name = self._given_name() or (kept and self._made_name) or made
        tag = self._given_tag() or (kept and self._made_tag) or slug(datetime.now(UTC).isoformat())
        if not self.registry_url:
            warnings.warn(
                "without registry_url the image stays in the local Docker engine, where no cluster finds it",
                UserWarning,
                stacklevel=2,
            )
        report: BuildReport = hand("pack").build(self, repository=self.repository(name), tag=tag, push=push)
        self._report = report
        if not self._given_name():
            self.image_name = self._made_name = name
        if not self._given_tag():
            self.image_tag = self._made_tag = tag
        self._named = frozenset(self._flows)
        self._built, self._pushed = frozenset(self._flows), push and bool(self.registry_url) and "@" in report["image"]
        return self

    @contextmanager
    def on_trial(self) -> Iterator[None]:
        """What is built inside is for looking at: an image that was pushed before stays the one that counts."""
        before = self._report, self._built, self._pushed
        try:
            yield
        finally:
            if before[-1]:
                self._report, self._built, self._pushed = before

    def forget_flow(self, name: str) -> None:
        """Let go of a flow, as if it had never been added: no image counts as holding it."""
        super().forget_flow(name)
        self._live.pop(name, None)
        self._built -= {name}

    def live_flows(self) -> dict[str, Flow]:
        """The flow objects, by their location in the image.

        Raises:
            StorageError: there is none, or one of them is known by its metadata only.
        """
        if not self._flows:
            raise StorageError("There is no flow in this storage.", remedy="Add one with add_flow.")
        lost = [name for name in self._flows if name not in self._live]
        if lost:
            raise StorageError(
                f"Flow {lost[0]!r} is known by its metadata only: it cannot be built again.",
                remedy="Make a new storage and add the flow to it.",
            )
        return {self._flows[name]: flow for name, flow in self._live.items()}

    def to_resource(self) -> dict[str, Any]:
        """Itself as `spec.storage` of a FlowDeployment that is built in the cluster."""
        default = (CONFIG_ENV, CONFIG_FILE)
        fields = {
            "registryURL": self.registry_url,
            "baseImage": None if self._default_base else self.base_image,
            "pythonDependencies": list(self.python_dependencies),
            "imageName": self._given_name(),
            "imageTag": self._given_tag(),
            "envVars": {name: value for name, value in self.env_vars.items() if (name, value) != default},
            "extraCommands": list(self.extra_commands),
            "builder": "Docker" if self.extra_commands else self._builder,
            "annotations": dict(self.annotations),
        }
        return {"docker": {key: value for key, value in fields.items() if value}}

    def flow_resource(self, name: str, *, pushed: bool = True) -> dict[str, Any]:
        """One of its flows as `spec.flow` of a FlowDeployment: the image by digest, and a place in it.

        Raises:
            StorageError: no image was built that holds the flow, or none that a cluster could pull.
        """
        self._known(name)
        if not self._report or name not in self._built:
            raise StorageError(
                f"No image that holds flow {name!r} was built with this storage.",
                remedy="Build it with storage.build(), or deploy with build=True.",
            )
        if pushed and not self._pushed:
            raise StorageError(
                f"The image of flow {name!r} was not pushed: a cluster cannot pull it.",
                remedy="Give the storage a registry_url, and build it with push=True."
                if not self.registry_url
                else "Build it with push=True.",
            )
        if "@" not in self._report["image"]:
            raise StorageError(
                f"The digest of {self._report['image']} is not known: an engine learns it when it pushes.",
                remedy="Build it with storage.build() first, then deploy with build=False.",
            )
        return {"image": {"reference": self._report["image"], "location": self._flows[name]}}

    def _given_name(self) -> str | None:
        return None if self.image_name == self._made_name else self.image_name

    def _given_tag(self) -> str | None:
        return None if self.image_tag == self._made_tag else self.image_tag

    def _needs_engine(self) -> bool:
        return bool(self.extra_commands or self.local_image or self.base_url or not self.registry_url)

    def _keep(self, flow: Flow) -> str:
        self._live[flow.name] = flow
        return f"{FLOWS_DIR}/{slug(flow.name)}.flow"

    def _fetch(self, name: str, location: str) -> Flow:
        if name in self._live:
            return self._live[name]
        from flow_operator.flow.pickling import load_flow

        try:
            data = Path(location).read_bytes()
        except OSError:
            raise StorageError(
                f"Flow {name!r} is at {location} in its image, and not here.", remedy="Read it in a pod of the image."
            ) from None
        return load_flow(data, location)

    def _metadata(self) -> dict[str, Any]:
        return {**{key: getattr(self, key) for key in _KEPT}, "flows": self.flows}

    @classmethod
    def _restored(cls, metadata: Mapping[str, Any]) -> Self:
        kept: dict[str, Any] = {key: metadata.get(key) for key in _KEPT}
        made = cls(**kept)
        made._flows = dict(metadata.get("flows", {}))
        return made

    def __getstate__(self) -> dict[str, Any]:
        unbuilt: dict[str, Any] = {"_live": {}, "_flows": {}, "_report": None, "_built": frozenset(), "_pushed": False}
        return {
            **super().__getstate__(),
            **unbuilt,
            "image_name": self._given_name(),
            "image_tag": self._given_tag(),
            "_made_name": None,
            "_made_tag": None,
            "_named": frozenset(),
        }


def default_base_image() -> str:
    """The slim Python of this interpreter's minor version."""
    return f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"


def _builder(builder: BuilderName | None, needs_engine: bool) -> BuilderName | None:
    if builder is not None and builder not in BUILDERS:
        raise StorageError(f"There is no builder {builder!r}.", remedy=f"Use {' or '.join(BUILDERS)}.")
    if builder == "Layers" and needs_engine:
        raise StorageError(
            "The builder Layers pushes to a registry and runs nothing in the base.",
            remedy="Give a registry_url, and neither extra_commands, local_image nor base_url; or use Docker.",
        )
    return builder


def _variables(given: Mapping[str, str] | None) -> dict[str, str]:
    found = pairs("env_vars", given)
    for name in found:
        if not _VARIABLE.fullmatch(name):
            raise StorageError(f"env_vars has {name!r}, which is no variable's name.")
    return found


def _files(given: Mapping[str, str] | None) -> dict[str, str]:
    if isinstance(given, Mapping):
        given = {os.fspath(each) if isinstance(each, os.PathLike) else each: place for each, place in given.items()}
    found = pairs("files", given)
    relative = [source for source in found if not Path(source).is_absolute()]
    if relative:
        raise StorageError(
            f"files are named by absolute paths; these are relative: {', '.join(map(repr, relative))}.",
            remedy="Write them in full, with pathlib.Path(…).absolute() say.",
        )
    inside = [target for target in found.values() if not target.startswith("/") or target.endswith("/")]
    if inside:
        raise StorageError(
            f"A file's place in the image is an absolute path of a file, not {inside[0]!r}.",
            remedy="Write the file's name too: /etc/app/settings.toml.",
        )
    twice = [target for target in found.values() if list(found.values()).count(target) > 1]
    if twice:
        both = " and ".join(repr(source) for source, target in found.items() if target == twice[0])
        raise StorageError(f"files {both} would both be {twice[0]} in the image.", remedy="Give them two places.")
    return found
