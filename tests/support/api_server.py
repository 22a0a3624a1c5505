"""A small API server on localhost: enough of Kubernetes for a client to talk to, with a kubeconfig to find it by."""

from __future__ import annotations

import copy
import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Manifest = dict[str, Any]


class ApiServer:
    """Objects by plural, namespace and name; every request is recorded."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Manifest] = {}
        self.logs: dict[tuple[str, str], list[str]] = {}  # by pod and container
        self.requests: list[str] = []  # "GET /apis/…"
        self.bodies: list[Manifest] = []  # of whatever wrote
        self.forbidden: set[tuple[str, str]] = set()  # (method, plural)
        self.tokens: set[str] | None = None  # bearer tokens that are accepted; None: all
        self.unseen: set[str] = set()  # names that no list and no watch tells yet
        self.unknown: set[str] = set()  # plurals whose CRD is not installed
        self.after_write: Callable[[str, Manifest], None] = lambda _method, _object: None
        self.after_watch: Callable[[str], None] = lambda _plural: None  # a watch has begun
        self.after_log: Callable[[str], None] = lambda _pod: None  # a log was sent
        self.version = 100
        self.events: list[tuple[int, str, str, Manifest]] = []  # version, plural, type, object
        self.news = threading.Condition()
        self.stopped = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ApiServer:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self.news:
            self.stopped = True
            self.news.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def kubeconfig(self, folder: Path, namespace: str = "team-a") -> Path:
        """Write a kubeconfig whose only context is this server."""
        file = folder / "kubeconfig"
        context = {"cluster": "here", "user": "me", "namespace": namespace}
        content = {
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {"token": "secret-token"}}],
            "contexts": [{"name": "here", "context": context}],
        }  # fmt: skip
        file.write_text(json.dumps(content))
        return file

    def put(self, manifest: Manifest) -> Manifest:
        """Store an object as the operator, a user or a kubelet would."""
        with self.news:
            self.version += 1
            kept = copy.deepcopy(manifest)
            meta = kept["metadata"]
            meta.setdefault("uid", str(uuid.UUID(int=self.version)))
            meta.setdefault("generation", 1)
            meta.setdefault("creationTimestamp", "2026-11-23T12:00:00Z")
            meta["resourceVersion"] = str(self.version)
            key = (plural_of(kept["kind"]), meta.get("namespace", ""), meta["name"])
            known = key in self.objects
            self.objects[key] = kept
            self.events.append((self.version, key[0], "MODIFIED" if known else "ADDED", kept))
            self.news.notify_all()
            return copy.deepcopy(kept)

    def change(self, kind: str, namespace: str, name: str, **parts: Any) -> Manifest:
        """Replace top-level parts of an object, such as its status."""
        return self.put({**self.objects[plural_of(kind), namespace, name], **parts})

    def remove(self, plural: str, namespace: str, name: str) -> Manifest:
        """Delete an object at once."""
        with self.news:
            self.version += 1
            gone = self.objects.pop((plural, namespace, name))
            self.events.append((self.version, plural, "DELETED", gone))
            self.news.notify_all()
            return gone

    def select(self, plural: str, namespace: str, query: dict[str, str]) -> list[Manifest]:
        """Return the objects of a collection that the selectors of a query fit."""
        return [
            each
            for (kind, where, _), each in sorted(self.objects.items())
            if kind == plural
            and where == (namespace or where)
            and fits(each, query)
            and each["metadata"]["name"] not in self.unseen
        ]

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler has its own self
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                _Exchange(server, self).answer()

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - http.server's words

        return Handler


STAMPS = "2026-11-23T12:00:00.%09dZ"  # of the lines of a log, by their number


class _Exchange:
    """One request and its answer."""

    def __init__(self, server: ApiServer, http: BaseHTTPRequestHandler) -> None:
        self.server, self.http = server, http
        url = urlsplit(http.path)
        self.query = {key: values[0] for key, values in parse_qs(url.query).items()}
        self.plural, self.namespace, self.name, self.part = parse_path(url.path)
        server.requests.append(f"{http.command} {http.path}")
        length = int(http.headers.get("Content-Length") or 0)
        self.body: Manifest = json.loads(http.rfile.read(length)) if length else {}

    def answer(self) -> None:
        method = self.http.command
        if (method, self.plural) in self.server.forbidden:
            said = f'{self.plural} is forbidden: User "me" cannot {method.lower()} resource "{self.plural}"'
            return self.fail(403, said, "Forbidden")
        token = (self.http.headers.get("Authorization") or "").removeprefix("Bearer ")
        if self.server.tokens is not None and token not in self.server.tokens:
            return self.fail(401, "Unauthorized", "Unauthorized")
        if self.plural in self.server.unknown:
            return self.send(404, b"404 page not found\n", "text/plain")
        if self.part == "log":
            return self.log()
        if self.query.get("watch"):
            return self.watch()
        return getattr(self, method.lower())()  # type: ignore[no-any-return]

    def get(self) -> None:
        if self.name:
            found = self.server.objects.get((self.plural, self.namespace, self.name))
            return self.reply(200, found) if found else self.absent()
        items = self.server.select(self.plural, self.namespace, self.query)
        listed = {"metadata": {"resourceVersion": str(self.server.version)}, "items": items}
        return self.reply(200, listed)

    def post(self) -> None:
        self.server.bodies.append(self.body)
        meta = self.body["metadata"]
        if "name" not in meta:
            meta["name"] = meta["generateName"] + uuid.uuid4().hex[:5]
        if (self.plural, meta.get("namespace", ""), meta["name"]) in self.server.objects:
            return self.fail(409, f'{self.plural} "{meta["name"]}" already exists', "AlreadyExists", meta["name"])
        return self.written(201, self.server.put(self.body))

    def patch(self) -> None:
        self.server.bodies.append(self.body)
        old = self.server.objects.get((self.plural, self.namespace, self.name))
        applied = "apply" in (self.http.headers.get("Content-Type") or "")
        if old is None and not applied:
            return self.absent()
        new = merged(old or {}, self.body)
        if self.query.get("dryRun"):
            return self.reply(200, new)
        if old and new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        return self.written(200, self.server.put(new))

    def delete(self) -> None:
        if (self.plural, self.namespace, self.name) not in self.server.objects:
            return self.absent()
        return self.written(200, self.server.remove(self.plural, self.namespace, self.name))

    def written(self, code: int, manifest: Manifest) -> None:
        self.reply(code, manifest)
        self.server.after_write(self.http.command, manifest)

    def log(self) -> None:
        lines = self.server.logs.get((self.name, self.query.get("container", "")))
        if lines is None:
            return self.fail(400, "container is waiting to start: ContainerCreating", "BadRequest", self.name)
        if self.query.get("timestamps"):
            lines = [f"{STAMPS % number} {line}" for number, line in enumerate(lines)]
        self.send(200, "".join(f"{line}\n" for line in lines).encode(), "text/plain")
        return self.server.after_log(self.name)

    def watch(self) -> None:
        self.http.send_response(200)
        self.http.send_header("Content-Type", "application/json")
        self.http.send_header("Transfer-Encoding", "chunked")
        self.http.end_headers()
        self.server.after_watch(self.plural)
        for event in self.news(int(self.query.get("resourceVersion", "0"))):
            line = json.dumps(event).encode() + b"\n"
            try:
                self.http.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            except OSError:  # the client has hung up
                break
        self.http.close_connection = True

    def news(self, since: int) -> Iterator[Manifest]:
        while True:
            with self.server.news:
                found = [each for each in self.server.events if each[0] > since]
                if not found:
                    if self.server.stopped:
                        return
                    self.server.news.wait(0.2)
                    continue
            for version, plural, kind, manifest in found:
                since = version
                hidden = manifest["metadata"]["name"] in self.server.unseen
                if plural == self.plural and not hidden and fits(manifest, self.query) and self.of_namespace(manifest):
                    yield {"type": kind, "object": manifest}

    def of_namespace(self, manifest: Manifest) -> bool:
        return not self.namespace or manifest["metadata"].get("namespace") == self.namespace

    def absent(self) -> None:
        self.fail(404, f'{self.plural} "{self.name}" not found', "NotFound", self.name)

    def fail(self, code: int, message: str, reason: str, name: str = "") -> None:
        details = {"name": name} if name else {}
        status = {"kind": "Status", "status": "Failure", "message": message, "reason": reason, "details": details}
        self.reply(code, {**status, "code": code})

    def reply(self, code: int, manifest: Manifest) -> None:
        self.send(code, json.dumps(manifest).encode(), "application/json")

    def send(self, code: int, body: bytes, kind: str) -> None:
        self.http.send_response(code)
        self.http.send_header("Content-Type", kind)
        self.http.send_header("Content-Length", str(len(body)))
        self.http.end_headers()
        self.http.wfile.write(body)


def parse_path(path: str) -> tuple[str, str, str, str]:
    """Return plural, namespace, name and subresource of a URL's path."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    plural, name, part = (*parts, "", "")[:3]
    return plural, namespace, name, part


def plural_of(kind: str) -> str:
    """Return the plural of a kind: all of ours are regular."""
    return f"{kind.lower()}s"


def fits(manifest: Manifest, query: dict[str, str]) -> bool:
    """Return whether an object is what a list or a watch asks for."""
    labels = manifest["metadata"].get("labels") or {}
    wanted = [each.partition("=") for each in query.get("labelSelector", "").split(",") if each]
    if not all((labels.get(key) == value) if sep else (key in labels) for key, sep, value in wanted):
        return False
    field, _, name = query.get("fieldSelector", "").partition("=")
    return field != "metadata.name" or manifest["metadata"]["name"] == name


def merged(old: Any, patch: Any) -> Any:
    """Return a merge patch's result."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    new = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = merged(new.get(key), value)
    return copy.deepcopy(new)
