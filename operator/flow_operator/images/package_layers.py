"""The two layers of packages: kept from an earlier build where possible, made where not."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from flow_operator.api.wire import DEPS_DIR
from flow_operator.images.dependencies import Wanted, resolve
from flow_operator.images.layer_cache import Cached, LayerCache, cache_key
from flow_operator.images.layers import Entry, Kind, Layer, write_layer
from flow_operator.images.packages import install, package_entries
from flow_operator.images.runtime import own_digest, runtime_entries
from flow_operator.images.sbom import sbom_of
from flow_operator.images.uv import Target, Uv

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from flow_operator.images.progress import Progress, Stages
    from flow_operator.images.requirements import Lock
    from flow_operator.images.runtime import Runtime


@dataclass(frozen=True)
class Made(Cached):
    """A layer as it is kept, and the keys to keep it under (none when it was kept already)."""

    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class PackageLayers:
    """Makes layers of packages for one target, in one working directory."""

    target: Target
    cache: LayerCache | None  # None: make everything again
    work: Path
    stages: Stages
    progress: Progress

    def runtime(self, lock: Lock) -> Made:
        """flow_operator and its packages."""
        key = self.runtime_key(lock)
        kept = self._kept("runtime", key)
        if kept:
            return _made(kept)
        with self.stages.stage("runtime"):
            self.progress(f"Making the runtime layer for Python {self.target.python}.")
            uv = Uv(self._directory("runtime"))
            layer = self._written("runtime", runtime_entries(uv, lock, self.target, self.progress))
            return Made(layer, lock.digest, keys=(key,))

    def runtime_key(self, lock: Lock) -> str:
        """A name for the runtime's layer: what it is made of."""
        return self._key("runtime", lock.digest, own_digest())

    def dependencies(self, wanted: Wanted, runtime: Mapping[str, str]) -> Made | None:
        """The user's packages; None when the runtime has them all."""
        asked = self._request_key(wanted, runtime)
        kept = self._kept("dependencies", asked) if wanted.pinned else None
        if kept:
            return _made(kept)
        uv = Uv(self._directory("dependencies"))
        with self.stages.stage("resolve"):
            lock = resolve(uv, wanted, runtime, self.target)
        self.progress(f"Resolved {len(lock.pins)} packages: {', '.join(lock.versions())}.")
        return self._of_lock(uv, lock, (asked,) if wanted.pinned else ()) if lock.pins else None

    def remembered(self, runtime: Runtime, wanted: Wanted) -> tuple[Made, ...] | None:
        """All layers of packages, where this host has seen every one of them kept; nothing is asked or made."""
        keys: list[tuple[Kind, str]] = []
        if runtime.lock:
            keys.append(("runtime", self.runtime_key(runtime.lock)))
        if wanted:
            keys.append(("dependencies", self._request_key(wanted, runtime.versions)))
        found = [self.cache.remembered(kind, key) if self.cache else None for kind, key in keys]
        return None if None in found else tuple(_made(one) for one in found if one)

    def _of_lock(self, uv: Uv, lock: Lock, more_keys: tuple[str, ...]) -> Made:
        key = self._key("lock", lock.digest)
        kept = self._kept("dependencies", key)
        if kept:
            return _made(kept, more_keys)
        with self.stages.stage("dependencies"):
            directory = uv.work / "target"
            install(uv, lock, self.target, directory, self.progress)
            layer = self._written("dependencies", package_entries(directory, DEPS_DIR))
        return Made(layer, lock.digest, sbom_of(lock), (key, *more_keys))

    def _request_key(self, wanted: Wanted, runtime: Mapping[str, str]) -> str:
        return self._key("request", asdict(wanted), dict(runtime))

    def _key(self, *inputs: object) -> str:
        """Without what this machine is: a repository agrees with itself, whoever was first."""
        return cache_key(*inputs, asdict(self.target))

    def _kept(self, kind: Kind, key: str) -> Cached | None:
        kept = self.cache.get(kind, key) if self.cache else None
        if kept:
            self.progress(f"The {kind} layer is in the registry since an earlier build.")
        return kept

    def _written(self, kind: Kind, entries: Iterable[Entry]) -> Layer:
        return write_layer(kind, entries, self.work / f"{kind}.tar.gz", compress=True)

    def _directory(self, name: str) -> Path:
        directory = self.work / name
        directory.mkdir(exist_ok=True)
        return directory


def _made(kept: Cached, keys: tuple[str, ...] = ()) -> Made:
    return Made(kept.layer, kept.lock, kept.sbom, keys)
