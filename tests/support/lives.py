"""What a flow and its callbacks say of themselves, kept outside their pods: each process is a life, with beats.

The keeper is a pod on a node that no test stops. Flows and callbacks tell it when they began, that they still live, and
that they came to their end, all by the clock of the machine under both nodes. A life without an end was killed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.support import reading
from tests.support.nodes import CONTROL_PLANE
from tests.support.served import serve

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.cluster import Namespace


# Runs in the runtime image. What is told about a life is added to what is known of it, nothing is ever taken away.
SERVER = """
import http.server, json
LIVES = {}
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = LIVES.setdefault(told["id"], {"last": 0})
        known.update(told, last=max(told["last"], known["last"]))  # a beat may come late
        self.answer(b"")
    def do_GET(self):
        self.answer(json.dumps(list(LIVES.values())).encode())
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("", 8000), Handler).serve_forever()
"""

# What a flow's source begins with. Beats also go to a file in /tmp, which both containers of the pod share: on_exit
# reads there, without a network in between, when the flow was last alive, and at its own end that it still is not.
CLIENT = '''
import contextlib, http.client, json, os, threading, time, uuid

BEATS = "/tmp/beats"
TOLD = ("HOOK_KEY", "OUTCOME", "EXIT_CODE", "REASON", "ATTEMPT", "RUN_NAME")


class Life:
    def __init__(self, what):
        self.id, self.lock, self.connection = uuid.uuid4().hex, threading.Lock(), None
        self.flow = what == "flow"
        request = json.loads(os.environ["FLOW_OPERATOR_RUN"])
        names = {each: os.environ["FLOW_OPERATOR_" + each] for each in TOLD if "FLOW_OPERATOR_" + each in os.environ}
        about = {**request["run"], "what": what, "pod": os.environ.get("HOSTNAME"), "told": names}
        now = time.time()
        self.tell(**about, began=now, last=now, seen=None if self.flow else beat())
        threading.Thread(target=self.beat, daemon=True).start()

    def beat(self):
        due = 0.0
        while True:
            if self.flow:
                with open(BEATS + ".new", "w") as file:
                    file.write(repr(time.time()))
                os.rename(BEATS + ".new", BEATS)
            if time.monotonic() >= due:
                due = time.monotonic() + 0.25
                with contextlib.suppress(OSError, http.client.HTTPException):
                    self.tell(tries=1, last=time.time())
            time.sleep(0.01)

    def end(self, **how):
        now = time.time()
        self.tell(last=now, ended=now, seen_last=None if self.flow else beat(), **how)

    def tell(self, tries=5, **what):
        body = json.dumps({"id": self.id, **what})
        with self.lock:
            for left in reversed(range(tries)):
                try:
                    if self.connection is None:
                        self.connection = http.client.HTTPConnection("lives", 8000, timeout=5)
                    self.connection.request("POST", "/", body)
                    self.connection.getresponse().read()
                    return
                except (OSError, http.client.HTTPException):
                    self.connection = None
                    if not left:
                        raise
                    time.sleep(0.2)


def beat():
    """Return the flow's last beat in this pod."""
    with contextlib.suppress(OSError, ValueError), open(BEATS) as file:
        return float(file.read())
'''


@dataclass(frozen=True)
class Life:
    """One process of a run, by its own account."""

    what: str  # on_start, flow or on_exit
    run: str
    uid: str
    attempt: int
    pod: str
    began: float
    last: float  # the last moment it was certainly alive
    ended: float | None = None  # it came to its end; None: it was killed, or still lives
    failed: bool = False
    seen: float | None = None  # of a callback: the flow's last beat in its pod, when the callback began
    seen_last: float | None = None  # and when it ended
    told: dict[str, str] = field(default_factory=dict)  # what a callback is told, without FLOW_OPERATOR_


def start(namespace: Namespace, image: str) -> None:
    """Start the keeper in a namespace."""
    serve(namespace, "lives", image, SERVER, nodeSelector={CONTROL_PLANE: ""})


def lives(namespace: Namespace) -> dict[str, list[Life]]:
    """Return the lives of each run, in the order they began."""
    path = f"/api/v1/namespaces/{namespace.name}/services/lives:8000/proxy/"
    found: dict[str, list[Life]] = {}
    for each in sorted(map(_life, json.loads(reading.raw(path))), key=lambda life: life.began):
        found.setdefault(each.run, []).append(each)
    return found


def _life(told: dict[str, Any]) -> Life:
    known = {key: value for key, value in told.items() if key in Life.__dataclass_fields__}
    return Life(**{**known, "run": told["name"]})


def of(lives: Iterable[Life], what: str, attempt: int | None = None) -> list[Life]:
    """Return the lives of one kind, of one attempt or of all."""
    return [each for each in lives if each.what == what and attempt in (None, each.attempt)]


def broken_promises(lives: list[Life], counts: dict[str, range]) -> list[str]:
    """Return which promises of docs/callbacks.md the lives of one run do not keep, in sentences.

    `counts` bounds how many lives of each kind an attempt may have.
    """
    attempts = sorted({each.attempt for each in lives}) or [1]
    said = [text for attempt in attempts for text in _attempt(lives, attempt, counts)]
    for earlier, later in pairwise(lives):
        if later.began < earlier.last:
            said.append(f"{_name(later)} began {earlier.last - later.began:.3f} s before the end of {_name(earlier)}")
        if later.attempt < earlier.attempt:
            said.append(f"{_name(later)} began after {_name(earlier)}")
    return said


def _attempt(lives: list[Life], attempt: int, counts: dict[str, range]) -> list[str]:
    said = []
    starts, flows, exits = (of(lives, what, attempt) for what in ("on_start", "flow", "on_exit"))
    for what, found in (("on_start", starts), ("flow", flows), ("on_exit", exits)):
        if len(found) not in counts[what]:
            said.append(f"{what} began {len(found)} times in attempt {attempt}, not {_words(counts[what])}")
    if flows and starts and not any(each.ended and each.ended <= flows[0].began for each in starts):
        said.append(f"the flow of attempt {attempt} began before on_start had ended")
    if flows and any(each.failed for each in starts):
        said.append(f"the flow of attempt {attempt} began although on_start had failed")
    said += [f"{_name(each)} came before the flow's end" for each in exits for flow in flows if each.began < flow.last]
    said += [
        f"{_name(each)} saw the flow live on, {each.seen_last - each.seen:.3f} s at least"
        for each in exits
        if each.seen and each.seen_last and each.seen_last > each.seen
    ]
    said += [f"{_name(each)} has the key {each.told.get('HOOK_KEY')}" for each in starts + exits if not _has_key(each)]
    return said


def _has_key(life: Life) -> bool:
    return life.told.get("HOOK_KEY") == f"{life.uid}/{life.attempt}/{life.what}"


def _name(life: Life) -> str:
    return f"{life.what} of attempt {life.attempt} in pod {life.pod}"


def _words(bounds: range) -> str:
    if len(bounds) == 1:
        return str(bounds.start)
    return f"{bounds.start} or more"
