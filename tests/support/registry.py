"""Registries in memory: an httpx transport that speaks the distribution API, counts, and fails on demand."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import itertools
import json
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

Fault = Callable[[httpx.Request], httpx.Response]


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def tar_of(**files: bytes) -> bytes:
    """A tar; `usr__bin__python3` stands for usr/bin/python3."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def status(code: int, headers: Mapping[str, str] | None = None, word: str = "") -> Fault:
    """An answer instead of the right one."""
    errors = {"errors": [{"code": word, "message": word.lower()}]} if word else {}
    return lambda _request: httpx.Response(code, headers=headers, json=errors)


def dropped(error: type[httpx.TransportError] = httpx.ReadError) -> Fault:
    """A connection that breaks, after half of what was being sent."""

    def fault(request: httpx.Request) -> httpx.Response:
        for _piece in request.stream:  # type: ignore[union-attr]
            break
        raise error("dropped", request=request)

    return fault


class Cut:
    """A connection that breaks when some bytes of what was being sent have arrived, and were kept."""

    def __init__(self, registry: FakeRegistry, arrived: int) -> None:
        self._registry = registry
        self._arrived = arrived

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self._registry.keep(request, request.read()[: self._arrived])
        raise httpx.ReadError("dropped", request=request)


class _Torn(httpx.SyncByteStream):
    def __init__(self, data: bytes) -> None:
        self._data = data

    def __iter__(self) -> Iterator[bytes]:
        yield self._data
        raise httpx.ReadError("dropped")


def torn(data: bytes) -> Fault:
    """An answer whose body breaks off after some bytes."""
    return lambda _request: httpx.Response(200, stream=_Torn(data))


def _unread(answer: httpx.Response) -> httpx.Response:
    """As from a socket: the body is still to be read."""
    return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(answer.content))


@dataclass
class _Repository:
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # by tag and by digest


class FakeRegistry(httpx.BaseTransport):
    """Every host is a registry. `requests` has what was asked, `uploaded` how many bytes of blobs arrived."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.headers: list[httpx.Headers] = []
        self.uploaded = 0
        self.login: tuple[str, str] | None = None  # user and password; with it, tokens are asked for
        self.basic = False
        self.knows_referrers = False
        self.repositories: dict[tuple[str, str], _Repository] = defaultdict(_Repository)
        self._faults: list[tuple[str, str, list[Fault]]] = []
        self._uploads: dict[str, bytes] = {}
        self._sessions = itertools.count()

    # What tests do.

    def fail(self, method: str, part: str, *faults: Fault) -> None:
        """Answer the next requests of a method, whose URL has a part, with these instead."""
        self._faults.append((method, part, list(faults)))

    def forget(self) -> None:
        """Count from here."""
        self.requests.clear()
        self.headers.clear()
        self.uploaded = 0

    def asked(self, method: str, part: str = "") -> int:
        return sum(one.startswith(f"{method} ") and part in one for one in self.requests)

    def repository(self, name: str) -> _Repository:
        """`host/path` as a repository."""
        host, _, path = name.partition("/")
        return self.repositories[host, path]

    def put_blob(self, name: str, data: bytes) -> str:
        digest = digest_of(data)
        self.repository(name).blobs[digest] = data
        return digest

    def put_manifest(self, name: str, tag: str, document: Mapping[str, Any]) -> str:
        body = json.dumps(document).encode()
        digest = digest_of(body)
        self.repository(name).manifests |= dict.fromkeys((tag, digest), (document["mediaType"], body))
        return digest

    def put_image(
        self,
        name: str,
        tag: str,
        *,
        env: tuple[str, ...] = ("PYTHON_VERSION=3.11.9",),
        labels: Mapping[str, str] | None = None,
        layers: tuple[bytes, ...] = (b"no tar",),
        docker: bool = False,
        architecture: str = "amd64",
        history: tuple[str, ...] = (),
    ) -> str:
        """An image of gzipped layers; its digest."""
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Env": list(env), "Labels": dict(labels or {})},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
            "history": [{"created_by": step} for step in history],
        }
        packed = [gzip.compress(layer, mtime=0) for layer in layers]
        body = json.dumps(config).encode()
        media_type, layer_type = (DOCKER_MANIFEST, DOCKER_LAYER) if docker else (OCI_MANIFEST, OCI_LAYER)
        document = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": {"mediaType": "config", "digest": self.put_blob(name, body), "size": len(body)},
            "layers": [
                {"mediaType": layer_type, "digest": self.put_blob(name, one), "size": len(one)} for one in packed
            ],
        }
        return self.put_manifest(name, tag, document)

    def manifest(self, name: str, version: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.repository(name).manifests[version][1])
        return document

    def config(self, name: str, version: str) -> dict[str, Any]:
        digest = self.manifest(name, version)["config"]["digest"]
        document: dict[str, Any] = json.loads(self.repository(name).blobs[digest])
        return document

    def layer(self, name: str, digest: str) -> tarfile.TarFile:
        return tarfile.open(fileobj=io.BytesIO(self.repository(name).blobs[digest]), mode="r:*")

    def keep(self, request: httpx.Request, data: bytes) -> None:
        """Add bytes to an upload, as if they had arrived before its connection broke."""
        self._uploads[request.url.path.rpartition("/")[2]] += data

    def challenge(self, _request: httpx.Request) -> httpx.Response:
        """What is answered to whoever has not logged in: a fault for a login that expires."""
        bearer = 'Bearer realm="https://auth.test/token",service="fake",scope="repository:any:pull"'
        headers = {"WWW-Authenticate": 'Basic realm="fake"' if self.basic else bearer}
        return httpx.Response(401, headers=headers, json={"errors": [{"code": "UNAUTHORIZED"}]})

    # What httpx calls.

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(f"{request.method} {request.url}")
        self.headers.append(request.headers)
        fault = self._fault(request)
        return fault(request) if fault else self.answer(request)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """The right answer."""
        answer = self._token(request) if request.url.path == "/token" else self._refused(request)
        return _unread(answer or self._answer(request))

    def _fault(self, request: httpx.Request) -> Fault | None:
        for method, part, faults in self._faults:
            if method == request.method and part in str(request.url) and faults:
                return faults.pop(0)
        return None

    def _refused(self, request: httpx.Request) -> httpx.Response | None:
        if self.login is None:
            return None
        basic = "Basic " + base64.b64encode(":".join(self.login).encode()).decode()
        wanted = basic if self.basic else "Bearer a-token"
        if request.headers.get("Authorization") == wanted:
            return None
        return self.challenge(request)

    def _token(self, request: httpx.Request) -> httpx.Response:
        assert self.login
        basic = "Basic " + base64.b64encode(":".join(self.login).encode()).decode()
        if request.headers.get("Authorization") != basic:
            return httpx.Response(401, json={"errors": [{"code": "UNAUTHORIZED", "message": "wrong password"}]})
        return httpx.Response(200, json={"token": "a-token"})

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/v2/")
        for kind, answer in (
            ("/blobs/uploads/", self._upload),
            ("/blobs/", self._blob),
            ("/manifests/", self._manifest),
        ):
            name, found, rest = path.rpartition(kind)
            if found:
                return answer(request, (request.url.netloc.decode(), name), rest)
        return httpx.Response(404)

    def _blob(self, request: httpx.Request, name: tuple[str, str], digest: str) -> httpx.Response:
        data = self.repositories[name].blobs.get(digest)
        if data is None:
            return httpx.Response(404)
        return httpx.Response(200, content=b"" if request.method == "HEAD" else data)

    def _manifest(self, request: httpx.Request, name: tuple[str, str], version: str) -> httpx.Response:
        repository = self.repositories[name]
        if request.method == "PUT":
            return self._put_manifest(request, repository, version)
        if version not in repository.manifests:
            return httpx.Response(404, json={"errors": [{"code": "MANIFEST_UNKNOWN"}]})
        media_type, body = repository.manifests[version]
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest_of(body)}
        return httpx.Response(200, headers=headers, content=b"" if request.method == "HEAD" else body)

    def _put_manifest(self, request: httpx.Request, repository: _Repository, version: str) -> httpx.Response:
        body = request.read()
        document = json.loads(body)
        for part in (document["config"], *document["layers"]) if "config" in document else ():
            if part["digest"] not in repository.blobs:
                return httpx.Response(400, json={"errors": [{"code": "MANIFEST_BLOB_UNKNOWN"}]})
            assert len(repository.blobs[part["digest"]]) == part["size"]
        if any(part["digest"] not in repository.manifests for part in document.get("manifests", ())):
            return httpx.Response(400, json={"errors": [{"code": "MANIFEST_UNKNOWN"}]})
        digest = digest_of(body)
        repository.manifests |= dict.fromkeys((version, digest), (request.headers["Content-Type"], body))
        subject = document["subject"]["digest"] if self.knows_referrers and "subject" in document else ""
        headers = {"OCI-Subject": subject} if subject else {}
        return httpx.Response(201, headers={"Docker-Content-Digest": digest, **headers})

    def _upload(self, request: httpx.Request, name: tuple[str, str], session: str) -> httpx.Response:
        if request.method == "POST":
            return self._begin(request, name)
        if session not in self._uploads or request.url.params.get("state") != "kept":
            return httpx.Response(404)
        if request.method == "GET":
            return self._so_far(name, session)
        start = request.headers.get("Content-Range", "").partition("-")[0]
        if start and int(start) != len(self._uploads[session]):
            return httpx.Response(416)
        data = request.read()
        assert len(data) == int(request.headers["Content-Length"])
        self._uploads[session] += data
        self.uploaded += len(data)
        return self._going_on(name, session) if request.method == "PATCH" else self._end(request, name, session)

    def _begin(self, request: httpx.Request, name: tuple[str, str]) -> httpx.Response:
        mount, source = request.url.params.get("mount"), request.url.params.get("from", "")
        there = self.repositories[name[0], source].blobs
        if mount and mount in there:
            self.repositories[name].blobs[mount] = there[mount]
            return httpx.Response(201)
        session = f"session-{next(self._sessions)}"
        self._uploads[session] = b""
        return self._going_on(name, session)

    def _going_on(self, name: tuple[str, str], session: str) -> httpx.Response:
        # Relative, and with a query of its own: both are allowed, and both have broken clients.
        return httpx.Response(202, headers={"Location": f"/v2/{name[1]}/blobs/uploads/{session}?state=kept"})

    def _so_far(self, name: tuple[str, str], session: str) -> httpx.Response:
        last = max(0, len(self._uploads[session]) - 1)
        return httpx.Response(204, headers={**self._going_on(name, session).headers, "Range": f"0-{last}"})

    def _end(self, request: httpx.Request, name: tuple[str, str], session: str) -> httpx.Response:
        data, digest = self._uploads.pop(session), request.url.params["digest"]
        if digest_of(data) != digest:
            return httpx.Response(400, json={"errors": [{"code": "DIGEST_INVALID"}]})
        self.repositories[name].blobs[digest] = data
        return httpx.Response(201, headers={"Docker-Content-Digest": digest})
