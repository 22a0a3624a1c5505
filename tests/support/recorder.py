"""A small record keeper in the cluster: flows and callbacks write to it, so that tests need not trust the operator."""

from __future__ import annotations

import json
from typing import Any

from tests.support import reading
from tests.support.cluster import Namespace, eventually, kubectl
from tests.support.served import serve

# Runs in the runtime image; keeps records in memory, in order of arrival.
SERVER = """
import http.server, json, time
RECORDS, KNOWN = [], set()
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body.get("id") is None or body["id"] not in KNOWN:  # else it is told again: its answer was lost
            KNOWN.add(body.get("id"))
            RECORDS.append({"received": time.time(), **body})
        self.send_response(204); self.end_headers()
    def do_GET(self):
        data = json.dumps(RECORDS).encode()
        self.send_response(200); self.end_headers(); self.wfile.write(data)
    def log_message(self, *args): pass
Server(("", 8000), Handler).serve_forever()
"""

# What a flow's source begins with to be able to write records.
CLIENT = """
import json as _json, os as _os, time as _time, urllib.request as _request
def record(what, **more):
    # run and attempt come from the environment of callbacks, or from the request of the flow's own container
    request = _json.loads(_os.environ.get("FLOW_OPERATOR_RUN", "{}")).get("run", {})
    body = {"what": what, "at": _time.time(), "run": request.get("name"), "pod": _os.environ.get("HOSTNAME"), **more}
    body["id"] = _os.urandom(8).hex()
    for tries_left in (4, 3, 2, 1, 0):  # the cluster's DNS, too, runs on a busy machine
        try:
            _request.urlopen(_request.Request("http://recorder:8000", data=_json.dumps(body).encode()), timeout=30)
            return
        except OSError:
            if not tries_left:
                raise
            _time.sleep(0.3)
"""


def start(namespace: Namespace, image: str) -> None:
    """Start the recorder in a namespace."""
    serve(namespace, "recorder", image, SERVER)


def records(namespace: Namespace, run: str | None = None) -> list[dict[str, Any]]:
    """Return what was recorded, of one run or of all."""
    path = f"/api/v1/namespaces/{namespace.name}/services/recorder:8000/proxy/"
    found: list[dict[str, Any]] = json.loads(reading.raw(path))
    return [each for each in found if run is None or each.get("run") == run]


def names(namespace: Namespace, run: str) -> list[str]:
    """Return the names of a run's records in order."""
    return [each["what"] for each in records(namespace, run)]


def wait_for(namespace: Namespace, run: str, what: str, within: float = 30) -> list[str]:
    """Wait until a run has made a record."""
    found: list[str] = eventually(lambda: names(namespace, run), lambda seen: what in seen, within, f"record {what}")
    return found


def add(namespace: Namespace, what: str) -> None:
    """Write a record of the test's own, for flows that wait for one."""
    data = json.dumps({"what": what}).encode()
    post = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000', data={data!r})"
    kubectl("-n", namespace.name, "exec", "recorder", "--", "python3", "-c", post)
