"""The SDK against the test cluster: a kubeconfig of its own, a project, and a mirror of Docker Hub's Python."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import httpx

from flow_operator.deploy import projects
from flow_operator.images.runtime import LOCK_ENV
from flow_operator.kube.session import connected
from tests.support.cluster import ROOT, kubectl

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.support.cluster import Namespace

REGISTRY = "localhost:5001"
MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
SEED = ROOT / "tests" / "seed" / "execution.md"


def snippets() -> dict[str, str]:
    """Return the snippets of the seed's page, by their headings."""
    found = re.findall(r"^## (.+?)\n\n```python\n(.*?)^```", SEED.read_text(), re.MULTILINE | re.DOTALL)
    return dict(found)


def set_up(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A home folder without settings, the test cluster as the current one, and the runtime's lock of this tree."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(kubectl("config", "view", "--minify", "--flatten"))
    settings = folder / "config.toml"
    settings.write_text(f'home_dir = "{folder}"\n[registries."docker.io"]\nendpoint = "http://{REGISTRY}"\n')
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.setenv("FLOW_OPERATOR__USER_CONFIG_PATH", str(settings))
    monkeypatch.setenv(LOCK_ENV, str(ROOT / "requirements" / "runtime.lock"))


def make_project(name: str, namespace: Namespace) -> None:
    """Make a namespace of a test a project."""
    with connected() as session:
        projects.create(session, name, namespace.name)


def mirror_python() -> None:
    """Offer the registry's Python under the name it has on Docker Hub, where the SDK looks for it by default."""
    tag = f"3.{sys.version_info.minor}-slim"
    with httpx.Client(base_url=f"http://{REGISTRY}/v2/", headers={"Accept": MANIFESTS}) as client:
        _copy(client, tag)


def _copy(client: httpx.Client, version: str) -> None:
    found = client.get(f"python/manifests/{version}").raise_for_status()
    content = found.json()
    for each in content.get("manifests", ()):
        _copy(client, each["digest"])
    for blob in [content["config"], *content["layers"]] if "layers" in content else ():
        mount = {"mount": blob["digest"], "from": "python"}
        client.post("library/python/blobs/uploads/", params=mount).raise_for_status()
    kind = found.headers["Content-Type"]
    put = client.put(f"library/python/manifests/{version}", content=found.content, headers={"Content-Type": kind})
    put.raise_for_status()
