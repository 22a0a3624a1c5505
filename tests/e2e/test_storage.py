"""Where a flow is kept: in images built elsewhere, with files and locks, on volumes; and how each fault heals."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import urllib.request
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cluster import condition, deployment, get_json, reason, run

if TYPE_CHECKING:
    from tests.support.cluster import Namespace

Manifest = dict[str, Any]
DOCKER: Manifest = {"docker": {}}
FLOW = "def flow(n: int = 1) -> int:\n    return n\n"
# On a node: every name that containerd has for an image (the node image built here has no crictl).
FORGET = "ctr -n k8s.io images ls | awk '/{digest}/ {{print $1}}' | xargs ctr -n k8s.io images rm --sync"


def config_map(name: str, data: dict[str, str], binary: dict[str, bytes] | None = None) -> Manifest:
    encoded = {key: base64.b64encode(each).decode() for key, each in (binary or {}).items()}
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    return {**made, "data": data, "binaryData": encoded}


def registry(method: str, path: str, data: bytes | None = None, **headers: str) -> tuple[bytes, str]:
    """Ask the registry; return the answer and its type."""
    asked = urllib.request.Request(f"http://localhost:5001/v2/{path}", data, headers, method=method)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return answer.read(), answer.headers.get("Content-Type", "")


def push_base(repository: str, images: dict[str, str]) -> None:
    """Give the runtime image another name in the registry, as `docker push` would: blobs mounted, manifest put."""
    name, _, tag = images["runtime"].removeprefix("localhost:5001/").rpartition(":")
    types = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    manifest, kind = registry("GET", f"{name}/manifests/{tag}", Accept=types)
    document = json.loads(manifest)
    for blob in (document["config"], *document["layers"]):
        registry("POST", f"{repository}/blobs/uploads/?mount={blob['digest']}&from={name}", b"")
    registry("PUT", f"{repository}/manifests/1", manifest, **{"Content-Type": kind})


class Faults:
    """Four deployments, each with its fault; all at once, because each heals after a pause of its own."""

    def __init__(self, namespace: Namespace, images: dict[str, str]) -> None:
        self.namespace, self.images = namespace, images
        self.base = f"e2e/base-{uuid.uuid4().hex[:8]}"
        files = [{"path": "/srv/a", "configMap": {"name": "late-file", "key": "a"}}]
        local = deployment("no-flow-file", "", storage={"local": {"directory": "/data"}})
        local["spec"] |= {
            "flow": {"file": {"location": "/data/flow.py:flow"}},
            "runner": {
                "volumes": [{"name": "data", "configMap": {"name": "volume"}}],
                "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
            },
        }
        namespace.apply(
            deployment("no-secret", FLOW, storage={"docker": {"pushSecret": "late"}}),
            deployment("no-base", FLOW, storage={"docker": {"baseImage": f"localhost:5001/{self.base}:1"}}),
            deployment("no-file", FLOW, storage={"docker": {"files": files}}),
            config_map("volume", {"other.py": FLOW}),
            local,
        )

    def repair(self) -> None:
        """Mend the world and touch no FlowDeployment."""
        login = {"auths": {"localhost:5001": {"username": "robot", "password": "not-asked-for"}}}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "late"},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": json.dumps(login)},
        }
        push_base(self.base, self.images)
        self.namespace.apply(secret, config_map("late-file", {"a": "1"}), config_map("volume", {"flow.py": FLOW}))


@pytest.fixture(scope="module")
def faults(namespace: Namespace, images: dict[str, str]) -> Faults:
    return Faults(namespace, images)


FAULTS = {
    "no-secret": ("Built", "PushSecretMissing", "Secret 'late'"),
    "no-base": ("Built", "BaseImageNotFound", "e2e/base-"),
    "no-file": ("Built", "SourceNotFound", "ConfigMap 'late-file'"),
    "no-flow-file": ("Verified", "NoSuchFlow", "/data/flow.py"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_within_a_minute(namespace: Namespace, faults: Faults, name: str) -> None:
    kind, expected, thing = FAULTS[name]
    seen = namespace.wait_deployment(name, lambda each: reason(each, kind) == expected, 60, expected)
    assert condition(seen, kind) == "False"
    (told,) = [each["lastTransitionTime"] for each in seen["status"]["conditions"] if each["type"] == kind]
    waited = datetime.fromisoformat(told) - datetime.fromisoformat(seen["metadata"]["creationTimestamp"])
    assert waited.total_seconds() <= 60
    assert thing in seen["status"]["diagnosis"]["message"]
    assert seen["status"]["diagnosis"]["remedy"]


def test_the_world_is_repaired(faults: Faults) -> None:
    faults.repair()  # and heals while the tests below do something else


def test_without_storage_it_is_docker_and_its_image_runs_where_it_was_built_elsewhere(namespace: Namespace) -> None:
    made = deployment("here", FLOW)
    del made["spec"]["storage"]
    namespace.apply(made)
    image = namespace.wait_ready("here")["status"]["image"]
    assert "@sha256:" in image

    elsewhere = deployment("elsewhere", "")
    del elsewhere["spec"]["storage"]
    elsewhere["spec"]["flow"] = {"image": {"reference": image, "location": "/flows/flow.py:flow"}}
    namespace.apply(elsewhere, run("elsewhere", "elsewhere", parameters={"n": 7}))
    seen = namespace.wait_ready("elsewhere")
    assert (reason(seen, "Built"), seen["status"]["image"]) == ("BuiltElsewhere", image)
    done = namespace.wait_run("elsewhere")
    assert (done["status"]["result"], done["status"]["image"]) == (7, image)


ODD = ' it\'s $5, $(HOME), $$ and "quotes"\n\tafter a blank '
BYTES = bytes(range(256)) * 4
OF_READS = "app.kubernetes.io/component=files,flow-operator.io/deployment=reads"
READS = """
import hashlib, os, pathlib
import humanize

def flow() -> dict:
    files = [pathlib.Path(each) for each in ("/etc/squares/odd name.txt", "/srv/table.bin")]
    return {
        "digests": [hashlib.sha256(each.read_bytes()).hexdigest() for each in files],
        "modes": [oct(each.stat().st_mode & 0o777) for each in files],
        "odd": os.environ["ODD"],
        "version": humanize.__version__,
    }
"""
LOCK = """
humanize==4.15.0 \\
    --hash=sha256:1dd098483eb1c7ee8e32eb2e99ad1910baefa4b75c3aff3a82f4d78688993b10 \\
    --hash=sha256:b1186eb9f5a9749cd9cb8565aee77919dd7c8d076161cf44d70e59e3301e1769
"""


def test_files_a_lock_and_odd_values_arrive_as_they_were(namespace: Namespace) -> None:
    docker = {
        "envVars": {"ODD": ODD},
        "dependencyLock": {"configMap": {"name": "brought", "key": "requirements.txt"}},
        "files": [
            {"path": "/etc/squares/odd name.txt", "configMap": {"name": "brought", "key": "odd.txt"}},
            {"path": "/srv/table.bin", "configMap": {"name": "brought", "key": "table.bin"}},
        ],
    }
    brought = config_map("brought", {"odd.txt": ODD, "requirements.txt": LOCK}, {"table.bin": BYTES})
    namespace.apply(brought, deployment("reads", READS, storage={"docker": docker}), run("reads", "reads"))
    result = namespace.wait_run("reads")["status"]["result"]
    assert result["digests"] == [hashlib.sha256(each).hexdigest() for each in (ODD.encode(), BYTES)]
    assert result["modes"] == ["0o444", "0o444"]
    assert result["odd"] == ODD
    assert result["version"] == "4.15.0"
    kept = [each["metadata"]["name"] for each in namespace.list("configmaps", OF_READS)]
    assert not kept, "copies for the builder go when the image is there"


def test_extra_commands_need_an_engine_and_it_is_said(namespace: Namespace) -> None:
    docker = {"builder": "Docker", "extraCommands": ["true"]}
    namespace.apply(deployment("no-engine", FLOW, storage={"docker": docker}))
    seen = namespace.wait_deployment("no-engine", lambda each: condition(each, "Built") == "False", 30, "no engine")
    assert reason(seen, "Built") == "EngineNotSet"
    assert "dockerEngine.url" in seen["status"]["diagnosis"]["remedy"]


def test_an_image_that_the_registry_has_lost_is_built_again_and_the_run_goes_on(namespace: Namespace) -> None:
    namespace.apply(deployment("lost", FLOW.replace("return n", "return n + 100"), storage=DOCKER))
    image = namespace.wait_ready("lost")["status"]["image"]
    name, _, digest = image.removeprefix("localhost:5001/").partition("@")
    registry("DELETE", f"{name}/manifests/{digest}")
    for node in get_json("nodes")["items"]:  # which kept it from the check
        subprocess.run(
            ["docker", "exec", node["metadata"]["name"], "sh", "-c", FORGET.format(digest=digest)], check=True
        )

    namespace.apply(run("lost", "lost", parameters={"n": 1}))
    done = namespace.wait_run("lost")
    assert (done["status"].get("result"), done["status"]["image"]) == (101, image)
    healed = namespace.wait_ready("lost")
    assert healed["status"]["image"] == image, "the same inputs give the same digest"
    assert healed["status"]["build"]["vanished"]


@pytest.mark.parametrize("name", FAULTS)
def test_what_was_repaired_has_healed_without_touching_the_resource(namespace: Namespace, name: str) -> None:
    healed = namespace.wait_ready(name, within=150)
    assert healed["metadata"]["generation"] == 1
    assert "diagnosis" not in healed["status"]


def test_local_storage_runs_from_the_users_volume(namespace: Namespace) -> None:
    namespace.apply(run("local", "no-flow-file", parameters={"n": 9}))
    assert namespace.wait_run("local")["status"]["result"] == 9
