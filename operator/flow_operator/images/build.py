"""What a builder is, and the default one: layers appended to a base image, without a daemon.

request -> plan -> code layer          (the bytes are compared before anything is asked of a network)
                -> base                (manifest, config, which Python; meanwhile the target's tag is looked up, and
                                        new code sent, with the config that fits if the base has not moved)
                -> runtime layer       (where the base lacks it)       } from the target's repository when an
                -> dependency layer    (where there are any)           } earlier build kept them there
                -> image -> push -> report
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from flow_operator.api.wire import BuildReport, BuildRequest, LayerReport
from flow_operator.images.base import Base, read_base, remembered_base
from flow_operator.images.clients import SHARED, Clients
from flow_operator.images.connections import Connections
from flow_operator.images.credentials import Keychain, keychain_from
from flow_operator.images.errors import BuildError, disk_errors
from flow_operator.images.files import file_layers
from flow_operator.images.host_cache import HostCache, host_cache
from flow_operator.images.image import Image, annotations_for, compose, labels_for
from flow_operator.images.layer_cache import LayerCache
from flow_operator.images.package_layers import Made, PackageLayers
from flow_operator.images.progress import Progress, Stages, silent
from flow_operator.images.push import DryRun, Publisher, Push, Pushed, StaleCacheError
from flow_operator.images.python_version import another_python, libc_of, python_of, release_of
from flow_operator.images.referrers import attach
from flow_operator.images.request import Plan, checked
from flow_operator.images.retries import Retries
from flow_operator.images.runtime import Runtime, runtime_of
from flow_operator.images.uv import Target

if TYPE_CHECKING:
    from flow_operator.images.layers import Layer
    from flow_operator.images.registry import Repository


class Builder(Protocol):
    """Turns a request into an image in a registry."""

    def build(self, request: BuildRequest) -> BuildReport:
        """The image by digest. Raises `errors.BuildError` when there is none."""


class LayersBuilder:
    """Appends layers to the base and pushes with the distribution API."""

    def __init__(
        self,
        *,
        keychain: Keychain | None = None,
        retries: Retries | None = None,
        clients: Clients = SHARED,
        cache: HostCache | None = None,
        progress: Progress = silent,
    ) -> None:
        self._keychain = keychain or keychain_from()
        self._retries = retries or Retries(progress=progress)
        self._clients = clients
        self._cache = cache or host_cache()
        self._progress = progress

    def build(self, request: BuildRequest) -> BuildReport:
        """The image by digest. Raises `errors.BuildError` when there is none."""
        plan = checked(request)
        connections = Connections(plan, self._keychain, self._retries, self._clients)
        with disk_errors(), tempfile.TemporaryDirectory(prefix="flow-operator-") as work:
            return _Build(plan, connections, self._cache, Path(work), self._progress).run()


@dataclass(frozen=True)
class _Packages:
    """The layers of packages, in their order, and what goes with them."""

    made: tuple[Made, ...]
    runtime: Runtime
    dependencies: Made | None  # the last of them, where there are any

    @property
    def lock(self) -> str:
        """The digest of the dependencies' lock."""
        return self.dependencies.lock if self.dependencies else ""


class _Build:
    """One build."""

    def __init__(self, plan: Plan, connections: Connections, cache: HostCache, work: Path, progress: Progress) -> None:
        self._plan = plan
        self._connections = connections
        self._target: Repository = connections.repository(plan.target)
        self._cache = cache
        self._work = work
        self._progress = progress
        self._stages = Stages()

    def run(self) -> BuildReport:
        code = self._code()
        with closing(self._publisher()) as publisher:
            publisher.begin(code)
            with self._stages.stage("base"):
                publisher.expect(self._expected(code))
                base, target = self._base()
            publisher.look()
            cache = self._layer_cache()
            try:
                return self._finished(base, target, code, cache, publisher)
            except StaleCacheError:
                self._progress("A layer kept by an earlier build is gone: making it again.")
                return self._finished(base, target, code, None, publisher)

    def _publisher(self) -> Publisher:
        return Push(self._target, self._plan.target.tag, self._progress) if self._plan.push else DryRun()

    def _finished(
        self, base: Base, target: Target, code: tuple[Layer, ...], cache: LayerCache | None, publisher: Publisher
    ) -> BuildReport:
        packages = self._packages(base, target, cache)
        image = self._image(base, target, packages, code)
        with self._stages.stage("push"):
            pushed, sbom = self._published(image, packages, publisher)
        return self._report(image, packages, pushed, sbom)

    def _published(self, image: Image, packages: _Packages, publisher: Publisher) -> tuple[Pushed, str]:
        sbom = packages.dependencies.sbom if packages.dependencies else None
        if not self._plan.push or not sbom:
            pushed, attached = publisher.finish(image), ""
        else:
            # Side by side: a registry takes what refers to an image that is still on its way.
            with ThreadPoolExecutor(1) as threads:
                attaching = threads.submit(attach, image.manifest, sbom, self._target, self._progress)
                pushed = publisher.finish(image)
            attached = attaching.result()
        if self._plan.push:
            self._keep(packages)
        return pushed, attached

    def _code(self) -> tuple[Layer, ...]:
        with self._stages.stage("code"):
            return file_layers(self._plan.files, self._work)

    def _expected(self, code: tuple[Layer, ...]) -> Image | None:
        """The image as it will be if nothing has changed but code; None where this host does not know enough."""
        reference = self._plan.base
        base = remembered_base(reference, self._connections.repository(reference), self._plan.architecture, self._cache)
        if base is None:
            return None
        try:
            target, runtime = _target(base), runtime_of(base.config, python_of(base))
        except BuildError:
            return None  # it is said when the base has been read
        layers = PackageLayers(target, self._layer_cache(), self._work, self._stages, self._progress)
        made = layers.remembered(runtime, self._plan.wanted)
        if made is None:
            return None
        dependencies = made[-1] if self._plan.wanted else None
        return self._image(base, target, _Packages(made, runtime, dependencies), code)

    def _layer_cache(self) -> LayerCache:
        return LayerCache(self._target, self._cache, self._progress)

    def _base(self) -> tuple[Base, Target]:
        reference = self._plan.base
        base = read_base(reference, self._connections.repository(reference), self._plan.architecture, self._cache)
        target = _target(base)
        self._progress(
            f"Base {reference} is {base.digest} (Python {target.release or target.python}, {target.architecture})."
        )
        warning = another_python(reference, target.python, self._plan.python)
        if warning:
            self._progress(warning)
        return base, target

    def _packages(self, base: Base, target: Target, cache: LayerCache | None) -> _Packages:
        layers = PackageLayers(target, cache, self._work, self._stages, self._progress)
        runtime = runtime_of(base.config, target.python)
        wanted = self._plan.wanted
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(layers.runtime, runtime.lock) if runtime.lock else None
            second = threads.submit(layers.dependencies, wanted, runtime.versions) if wanted else None
            made = [future.result() for future in (first, second) if future]
        return _Packages(tuple(one for one in made if one), runtime, made[-1] if second else None)

    def _image(self, base: Base, target: Target, packages: _Packages, code: tuple[Layer, ...]) -> Image:
        layers = (*(made.layer for made in packages.made), *code)
        labels = labels_for(target.release or target.python, packages.runtime, base.config)
        annotations = annotations_for(self._target.name, target.python, packages.runtime, packages.lock)
        return compose(base, layers, self._plan.env, labels, {**annotations, **self._plan.annotations})

    def _keep(self, packages: _Packages) -> None:
        cache = self._layer_cache()
        for made in packages.made:
            if made.keys:
                cache.put(made, *made.keys)

    def _report(self, image: Image, packages: _Packages, pushed: Pushed, sbom: str) -> BuildReport:
        digest = image.manifest.digest
        report = BuildReport(
            image=f"{self._plan.repository}@{digest}",
            digest=digest,
            base=str(image.base.reference.at(image.base.digest)),
            layers=[_layer_report(layer, pushed) for layer in image.layers],
            lock=packages.lock,
            uploadedBytes=pushed.size,
            stages=self._stages.seconds,
        )
        if sbom:
            report["sbom"] = sbom
        return report


def _target(base: Base) -> Target:
    return Target(python_of(base), base.architecture, libc_of(base.config), release_of(base.config))


def _layer_report(layer: Layer, pushed: Pushed) -> LayerReport:
    digest, size = layer.descriptor["digest"], layer.descriptor["size"]
    return LayerReport(kind=layer.kind, digest=digest, size=size, uploaded=digest in pushed.uploaded)
