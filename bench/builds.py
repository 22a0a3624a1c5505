"""The same one-line change, rebuilt and pushed by our builder and by docker, on one base image and one registry."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.cluster import ROOT

from bench import sdk
from bench.kube import Failed
from bench.subjects import SOURCE
from flow_operator.api.wire import BUILD_ENV, FLOWS_DIR
from flow_operator.images.build import LayersBuilder
from flow_operator.images.program import TERMINATION_LOG_ENV
from flow_operator.images.runtime import LOCK_ENV
from flow_operator.storage import Docker as Storage

if TYPE_CHECKING:
    from flow_operator.api.settings import Settings
    from flow_operator.api.wire import BuildReport, BuildRequest

TAG = "bench"
PANDAS = "pandas==3.1.1"
# A client that says BuildKit and has none fails here; the built-in one of older clients and buildx both pass.
_PROBE = "FROM scratch\nLABEL bench=probe\n"


def changed_source(change: str) -> str:
    """Return the flow with one line that was never there before."""
    return f"{SOURCE}\nCHANGE = {change!r}\n"


class Builds:
    """A folder with the flow's file, and the ways from it into the registry; each returns its seconds."""

    def __init__(self, settings: Settings) -> None:
        os.environ.setdefault(LOCK_ENV, str(ROOT / "requirements" / "runtime.lock"))  # the builder's image sets it
        self._folder = tempfile.TemporaryDirectory(prefix="flow-bench-")
        self._work = Path(self._folder.name)
        self._base = settings.runtime_image
        self._registry = settings.registry.partition("/")[0]
        dockerfile = f"FROM {self._base}\nCOPY --chmod=0444 flow.py {FLOWS_DIR}/flow.py\n"
        if not self.docker.has_buildkit:
            dockerfile = dockerfile.replace("--chmod=0444 ", "")
        (self._work / "Dockerfile").write_text(dockerfile)

    def close(self) -> None:
        """Take away the folder and docker's images."""
        self._folder.cleanup()
        self.docker.run("image", "rm", "--force", f"{self._registry}/bench/docker:{TAG}", check=False)

    @cached_property
    def docker(self) -> Docker:
        """The docker client: the first that has BuildKit, else the first."""
        return find_docker()

    def storage(self, change: str) -> tuple[float, BuildReport]:
        """`storage.build()` of a changed flow, as a notebook or a CI job does it that builds more than once."""
        return self._storage_build(change, image_name="storage")

    def storage_with_pandas(self, change: str) -> tuple[float, BuildReport]:
        """The first build of a flow with pandas: a repository without a layer, and nothing downloaded before."""
        with tempfile.TemporaryDirectory(prefix="flow-bench-") as cold:
            before = os.environ.get("UV_CACHE_DIR")
            os.environ["UV_CACHE_DIR"] = cold
            try:
                return self._storage_build(change, image_name=f"pandas-{change[:8]}", python_dependencies=[PANDAS])
            finally:
                os.environ.pop("UV_CACHE_DIR")
                os.environ |= {"UV_CACHE_DIR": before} if before else {}

    def _storage_build(self, change: str, **more: Any) -> tuple[float, BuildReport]:
        flow = sdk.a_flow(change)
        storage = Storage(f"{self._registry}/bench", base_image=self._base, image_tag=TAG, **more)
        storage.add_flow(flow)
        began = time.monotonic()
        report = storage.build().report
        seconds = time.monotonic() - began
        if not report:
            raise Failed("storage.build() made no image")
        return seconds, report

    def layers(self, change: str) -> float:
        """Build in this process, as an SDK or a CI job does that builds more than once."""
        request = self._request(change)
        began = time.monotonic()
        LayersBuilder().build(request)
        return time.monotonic() - began

    def layers_in_a_new_process(self, change: str) -> float:
        """Build as the builder pod does, interpreter and imports included."""
        report = self._work / "report.json"
        told = {BUILD_ENV: json.dumps(self._request(change)), TERMINATION_LOG_ENV: str(report)}
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "flow_operator.images"], env=os.environ | told, capture_output=True, text=True
        )
        seconds = time.monotonic() - began
        if done.returncode:
            raise Failed(f"the builder failed: {done.stdout}{done.stderr}")
        return seconds

    def docker_build_and_push(self, change: str) -> float:
        """`docker build && docker push`."""
        self._write(change)
        image = f"{self._registry}/bench/docker:{TAG}"
        began = time.monotonic()
        self.docker.run("build", "--quiet", "--tag", image, str(self._work))
        self.docker.run("push", "--quiet", image)
        return time.monotonic() - began

    def docker_with_pandas(self, change: str) -> float:
        """The same with pandas, installed by pip in a `RUN`: nothing is taken from docker's cache but the base."""
        self._write(change)
        image = f"{self._registry}/bench/docker-pandas:{TAG}"
        authorities = os.environ.get("SSL_CERT_FILE", "")
        secret = ["--secret", f"id=ca,src={authorities}"] if authorities else []
        names = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
        arguments = [f"--build-arg={name}" for name in names if os.environ.get(name)]
        dockerfile = self._work / "Dockerfile.pandas"
        dockerfile.write_text(pandas_dockerfile(self._base, with_authorities=bool(authorities)))
        began = time.monotonic()
        self.docker.run(
            "build", "--quiet", "--no-cache", *arguments, *secret, "-f", str(dockerfile), "-t", image, str(self._work)
        )
        self.docker.run("push", "--quiet", image)
        seconds = time.monotonic() - began
        self.docker.run("image", "rm", "--force", image)
        return seconds

    def _write(self, change: str) -> Path:
        file = self._work / "flow.py"
        file.write_text(changed_source(change))
        return file

    def _request(self, change: str) -> BuildRequest:
        file = self._write(change)
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        return {
            "baseImage": self._base,
            "repository": f"{self._registry}/bench/layers",
            "tag": TAG,
            "files": [{"path": f"{FLOWS_DIR}/flow.py", "source": str(file), "sha256": sha256}],
        }


def pandas_dockerfile(base: str, *, with_authorities: bool) -> str:
    """Return what a person writes who wants pandas in an image."""
    mount = "--mount=type=secret,id=ca " if with_authorities else ""
    certificates = "PIP_CERT=/run/secrets/ca " if with_authorities else ""
    pip = "python3 -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore"
    return f"""\
FROM {base}
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
USER root
RUN {mount}{certificates}{pip} {PANDAS}
COPY --chmod=0444 flow.py {FLOWS_DIR}/flow.py
"""


class Docker:
    """One docker client."""

    def __init__(self, program: str, *, buildkit: bool) -> None:
        self.program = program
        self._env = os.environ | {"DOCKER_BUILDKIT": "1" if buildkit else "0"}
        self.has_buildkit = buildkit

    def run(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """Run a command of it."""
        done = subprocess.run(
            [self.program, *arguments], input=stdin, env=self._env, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise Failed(f"{self.program} {arguments[0]}: {done.stderr.strip()[-500:]}")
        return done.stdout.strip()

    def builds(self) -> bool:
        """Return whether it can build at all."""
        try:
            image = self.run("build", "--quiet", "-", stdin=_PROBE)
        except (Failed, OSError):
            return False
        self.run("image", "rm", "--force", image, check=False)
        return True

    @property
    def title(self) -> str:
        """Return what a table calls it."""
        version = self.run("version", "--format", "client {{.Client.Version}}, engine {{.Server.Version}}")
        return f"{self.program} ({version}, {'BuildKit' if self.has_buildkit else 'no BuildKit'})"


def find_docker() -> Docker:
    """Return the first docker client on PATH that builds with BuildKit, else the first that builds."""
    folders = [*os.environ["PATH"].split(os.pathsep), "/usr/bin"]
    programs = list(dict.fromkeys(found for folder in folders if (found := shutil.which("docker", path=folder))))
    clients = [Docker(each, buildkit=buildkit) for buildkit in (True, False) for each in programs]
    for client in clients:
        if client.builds():
            return client
    raise Failed("no docker client on PATH can build: the builds have no peer here (make up)")
