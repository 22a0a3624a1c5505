"""A registry that wants a password, in the cluster: the test registry behind a doorman."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from tests.support import nodes
from tests.support.cluster import kubectl

if TYPE_CHECKING:
    from tests.support.cluster import Namespace

Manifest = dict[str, Any]
USER, PASSWORD = "flows", "let me in"
NAME = "doorman"

SERVER = f"""
import base64, http.server, shutil, urllib.error, urllib.request
WANTED = "Basic " + base64.b64encode(b"{USER}:{PASSWORD}").decode()
class Doorman(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.headers.get("Authorization") != WANTED:
            return self.answer(401, {{"WWW-Authenticate": 'Basic realm="doorman"', "Content-Length": "0"}})
        kept = {{key: self.headers[key] for key in ("Accept", "Range") if key in self.headers}}
        asked = urllib.request.Request("http://kind-registry:5000" + self.path, headers=kept, method=self.command)
        try:
            found = urllib.request.urlopen(asked)
        except urllib.error.HTTPError as error:
            found = error
        names = ("Content-Type", "Content-Length", "Docker-Content-Digest", "Content-Range")
        self.answer(found.status, {{key: found.headers[key] for key in names if key in found.headers}})
        if self.command == "GET":
            shutil.copyfileobj(found, self.wfile)
    do_HEAD = do_GET
    def answer(self, status, headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("", 5000), Doorman).serve_forever()
"""


def start(namespace: Namespace, image: str) -> str:
    """Start it, and return the name under which nodes reach it."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "labels": {"app": NAME}},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": NAME,
                    "image": image,
                    "command": ["python3", "-c", SERVER],
                    "securityContext": security,
                    "readinessProbe": {"tcpSocket": {"port": 5000}, "periodSeconds": 1},
                }
            ],
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME},
        "spec": {"selector": {"app": NAME}, "ports": [{"port": 5000}]},
    }
    namespace.apply(pod, service)
    kubectl("-n", namespace.name, "wait", "--for=condition=Ready", f"pod/{NAME}", "--timeout=240s")
    # Nodes know no names of Services, and speak plain HTTP only to whom they are told to.
    host = f"{namespace.get('service', NAME)['spec']['clusterIP']}:5000"
    text = f'server = "http://{host}"\n[host."http://{host}"]\ncapabilities = ["pull", "resolve"]\n'
    folder = f"/etc/containerd/certs.d/{host}"
    _inside(f"mkdir -p {folder} && printf '%s' '{text}' > {folder}/hosts.toml")
    return host


def _inside(command: str) -> None:
    for node in (nodes.control_plane(), nodes.worker()):
        nodes.docker("exec", node, "sh", "-c", command)


def stop(host: str) -> None:
    """Let the nodes forget it."""
    _inside(f"rm -rf /etc/containerd/certs.d/{host}")


def secret(name: str, host: str) -> Manifest:
    """Return the Secret with its password."""
    given = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    auths = {"auths": {host: {"username": USER, "password": PASSWORD, "auth": given}}}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps(auths)},
    }
