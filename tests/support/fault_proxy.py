"""A registry that misbehaves on demand: an HTTP proxy in front of a real one. Standard library only.

In a test:

    with FaultProxy("http://localhost:5001") as proxy:
        proxy.fail("PUT", "/manifests/", status=500)
        ...                                              # build against proxy.host
        proxy.heal()

As a program, in a pod for example, where faults come and go by HTTP:

    python fault_proxy.py --upstream http://registry:5000 --port 5000
    curl -d '{"method": "HEAD", "path": "/manifests/v1", "status": 404, "times": 2}' localhost:5000/faults
    curl -X DELETE localhost:5000/faults

A fault answers with `status` (and `headers`, `word`), waits `slow` seconds before it goes on, lets the connection
`drop` (before anything is forwarded, or when `half` of the body is), or tells a `lie` about content and digests. It
applies to requests of a method (any, if empty) whose path holds `path`, the next `times` of them (0: all).
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import re
import socket
import ssl
import threading
from contextlib import closing
from dataclasses import dataclass, field, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 1 << 16
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"}
TOKEN = "a-token"


@dataclass
class Fault:
    """What goes wrong, and where."""

    method: str = ""
    path: str = ""
    times: int = 0
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    word: str = ""
    slow: float = 0.0
    drop: str = ""  # "before" or "half"
    lie: bool = False

    def meets(self, method: str, path: str) -> bool:
        return self.method in ("", method) and self.path in path


class FaultProxy:
    """Listens on a port of this machine until it is closed; `requests` has what was asked of it."""

    def __init__(self, upstream: str, port: int = 0, address: str = "127.0.0.1", tls: tuple[str, str] | None = None):
        self.upstream = urlsplit(upstream)
        self.requests: list[str] = []
        self.login: tuple[str, str] | None = None  # user and password
        self.tokens = True  # they are exchanged for a token; False: they are sent with every request
        self.tls = tls
        self.healed = threading.Event()  # ends what is slow
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._place = (address, port)
        self._server: _Server | None = None

    @property
    def host(self) -> str:
        """What a reference to an image behind it begins with."""
        return f"localhost:{self._place[1]}"

    def __enter__(self) -> FaultProxy:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on the same port when it did before."""
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Server(self._place, handler)
        self._place = self._server.server_address[:2]  # type: ignore[assignment]
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections."""
        self.heal()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server.cut()
            self._server = None

    def wait(self) -> None:
        """Serve until somebody ends the program."""
        threading.Event().wait()

    def fail(self, method: str, path: str, **fault: Any) -> None:
        """Let requests fail from now on; see `Fault`. Of several faults for one request, the first counts."""
        self.add(Fault(method, path, **fault))

    def add(self, fault: Fault) -> None:
        """Let requests fail from now on."""
        with self._lock:
            self.healed.clear()
            self._faults.append(fault)

    def heal(self) -> None:
        """Let everything pass."""
        with self._lock:
            self._faults.clear()
            self.login = None
            self.healed.set()

    def fault_for(self, method: str, path: str) -> Fault | None:
        """The fault of a request, counted."""
        with self._lock:
            self.requests.append(f"{method} {path}")
            for fault in self._faults:
                if fault.meets(method, path):
                    fault.times -= 1
                    if fault.times == 0:
                        self._faults.remove(fault)
                    return fault
        return None

    def asked(self, method: str, part: str = "") -> int:
        """How many requests of a method had this in their path."""
        return sum(one.startswith(f"{method} ") and part in one for one in self.requests)


class _Server(ThreadingHTTPServer):
    """Remembers its connections: a server that is down has none."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, place: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(place, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections break here: that is what this is for."""

    def cut(self) -> None:
        """Break what is still open."""
        for each in list(self._connections):
            _cut(each)


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    proxy: FaultProxy
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        self._left = int(self.headers.get("Content-Length", 0))
        self._serve()
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""

    def _serve(self) -> None:
        if self.path == "/faults":
            return self._control()
        fault = self.proxy.fault_for(self.command, self.path)
        if fault and fault.slow:
            self.proxy.healed.wait(fault.slow)
        if fault and fault.status:
            return self._answer(fault.status, fault.headers, _errors(fault.word))
        if fault and fault.drop:
            return self._drop(half=fault.drop == "half")
        if self.path.startswith("/token"):
            return self._token()
        if not self._let_in():
            return self._challenge()
        return self._forward(lie=bool(fault and fault.lie))

    def _control(self) -> None:
        body = b"".join(self._body())
        if self.command == "DELETE":
            self.proxy.heal()
        else:
            told = json.loads(body)
            self.proxy.add(Fault(**{each.name: told[each.name] for each in fields(Fault) if each.name in told}))
        self._answer(200, {}, {})

    def _drop(self, *, half: bool) -> None:
        total = self._left
        if half and total:
            with closing(self._upstream(total)) as upstream:
                for piece in self._body(total // 2):
                    upstream.send(piece)
        self.close_connection = True
        _cut(self.connection)

    def _forward(self, *, lie: bool) -> None:
        with closing(self._upstream(self._left)) as upstream:
            for piece in self._body():
                upstream.send(piece)
            answer = upstream.getresponse()
            body = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP | {"content-length"}:
                self.send_header(name, _other(value) if lie and name.lower() == "docker-content-digest" else value)
        self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(body)))
        self.end_headers()
        self.wfile.write(bytes([body[0] ^ 1]) + body[1:] if lie and body else body)

    def _upstream(self, length: int) -> http.client.HTTPConnection:
        """A connection on which the head of this request has been sent."""
        where = self.proxy.upstream
        kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
        upstream = kind(where.hostname or "", where.port)
        upstream.putrequest(self.command, where.path + self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP_BY_HOP | {"content-length", "authorization"}:
                upstream.putheader(name, value)
        if length or self.command in ("POST", "PUT", "PATCH"):
            upstream.putheader("Content-Length", str(length))
        upstream.putheader("X-Forwarded-Proto", "https" if self.proxy.tls else "http")
        upstream.endheaders()
        return upstream

    def _body(self, most: int | None = None) -> Iterator[bytes]:
        left = self._left if most is None else most
        while left > 0 and (piece := self.rfile.read(min(PIECE, left))):
            left -= len(piece)
            self._left -= len(piece)
            yield piece

    def _let_in(self) -> bool:
        if not self.proxy.login:
            return True
        wanted = f"Bearer {TOKEN}" if self.proxy.tokens else _basic(self.proxy.login)
        return self.headers.get("Authorization") == wanted

    def _challenge(self) -> None:
        scheme = "https" if self.proxy.tls else "http"
        realm = f"{scheme}://{self.headers['Host']}/token"
        bearer = f'Bearer realm="{realm}",service="proxy",scope="repository:any:pull"'
        header = bearer if self.proxy.tokens else 'Basic realm="proxy"'
        self._answer(401, {"WWW-Authenticate": header}, _errors("UNAUTHORIZED"))

    def _token(self) -> None:
        if self.proxy.login and self.headers.get("Authorization") == _basic(self.proxy.login):
            return self._answer(200, {}, {"token": TOKEN})
        return self._answer(401, {}, _errors("UNAUTHORIZED"))

    def _answer(self, status: int, headers: dict[str, str], document: dict[str, Any]) -> None:
        for _ in self._body():
            pass  # what was sent is read, so that the connection can be used again
        body = json.dumps(document).encode()
        self.send_response_only(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _errors(word: str) -> dict[str, Any]:
    return {"errors": [{"code": word, "message": word.lower()}]} if word else {}


def _other(digest: str) -> str:
    """A digest that is not this one."""
    return re.sub(r"[0-9a-f]$", lambda last: "1" if last.group() == "0" else "0", digest)


def _basic(login: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(login).encode()).decode()


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstream", required=True, help="URL of the real registry")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"), help="speak TLS with these PEM files")
    told = parser.parse_args()
    with FaultProxy(told.upstream, told.port, "0.0.0.0", tuple(told.tls) if told.tls else None) as proxy:
        proxy.wait()


if __name__ == "__main__":
    main()
