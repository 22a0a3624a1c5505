"""What commands ask of the cluster: a session in the place that the options name, and objects by name."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...api import labels
from .trouble import USAGE, Trouble, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...kube.api import Api
    from ...kube.session import Session
    from .options import Place

Manifest = dict[str, Any]
KINDS = {
    "run": "FlowRun", "flowrun": "FlowRun", "fr": "FlowRun",
    "deployment": "FlowDeployment", "flowdeployment": "FlowDeployment", "fd": "FlowDeployment",
}  # fmt: skip
BOTH = ("FlowDeployment", "FlowRun")


@dataclass(frozen=True)
class Cluster:
    """A session and the namespace to work in."""

    session: Session
    namespace: str

    @property
    def api(self) -> Api:
        """Return the API, whose methods are coroutines."""
        return self.session.api

    def find(self, kind: str, name: str) -> Manifest:
        """Return an object, or say which name was meant; the name may be written with its kind."""
        kinds, alone = kinds_of(name)
        if kind not in kinds:
            raise Trouble(f"{name} is a {kinds[0]}; a {kind} is asked for.", f"Name a {kind}.", USAGE)
        name = alone
        found = self._get(kind, name)
        if found is None:
            raise self.unknown((kind,), name)
        return found

    def find_any(self, name: str) -> Manifest:
        """Return the FlowDeployment or FlowRun of a name; `run/NAME` and `deployment/NAME` say which."""
        kinds, name = kinds_of(name)
        found = [each for each in (self._get(kind, name) for kind in kinds) if each is not None]
        if not found:
            raise self.unknown(kinds, name)
        if len(found) > 1:
            remedy = f"Write run/{name} or deployment/{name}."
            raise Trouble(f"There are a FlowRun and a FlowDeployment named {name!r}.", remedy, USAGE)
        return found[0]

    def list(self, kind: str, **selectors: str) -> list[Manifest]:
        """Return all objects of a kind in the namespace."""
        return self.session.collect(self.api.list(labels.API_VERSION, kind, self.namespace, **selectors))

    def unknown(self, kinds: Sequence[str], name: str) -> Trouble:
        """Return the trouble of a name that is not there."""
        known = [each["metadata"]["name"] for kind in kinds for each in self.list(kind)]
        remedy = did_you_mean(name, known) or "There are none; name another namespace with -n, or deploy one."
        what = " or ".join(kinds)
        return Trouble(f"There is no {what} {name!r} in namespace {self.namespace}.", remedy, USAGE)

    def _get(self, kind: str, name: str) -> Manifest | None:
        from ...kube.errors import NoSuchKind, NotFound

        try:
            return self.session.call(self.api.get(labels.API_VERSION, kind, self.namespace, name))
        except NoSuchKind:
            raise
        except NotFound:
            return None


@contextmanager
def connected(place: Place) -> Iterator[Cluster]:
    """Connect to the place the options name."""
    from ...kube import session

    with session.connected(kubeconfig=place.kubeconfig, context=place.context) as made:
        yield Cluster(made, place.namespace or made.namespace)


def kinds_of(name: str) -> tuple[tuple[str, ...], str]:
    """Return the kinds a name may be of, and the name alone."""
    kind, slash, rest = name.partition("/")
    if not slash:
        return BOTH, name
    word, dot, group = kind.lower().partition(".")
    known = KINDS.get(word.removesuffix("s")) if not dot or group == labels.GROUP else None
    if known is None or not rest:
        raise Trouble(f"{name!r} is no run and no deployment.", "Write run/NAME or deployment/NAME.", USAGE)
    return (known,), rest


def reference(manifest: Manifest) -> str:
    """Return an object's name as kubectl -o name writes it."""
    return f"{manifest['kind'].lower()}.{labels.GROUP}/{manifest['metadata']['name']}"
