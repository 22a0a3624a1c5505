"""What the operator costs: its requests to the API server, by its own count and by the server's, and its memory."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import yaml
from tests.support.cluster import SYSTEM, kubectl

from bench.kube import Failed
from flow_operator.api.settings import Settings

if TYPE_CHECKING:
    from bench.kube import Kube, Manifest
    from bench.pod_log import Life

SELECTOR = "app.kubernetes.io/name=flow-operator,app.kubernetes.io/component=operator"
READS = ("GET", "WATCH")

_LABEL = re.compile(r'(\w+)="([^"]*)"')
# Requests that nobody but the operator makes: what the server counted of them is the operator's. Deletions of pods are
# not among them: the kubelet makes one of each pod that has ended.
_ONLY_OURS = (
    ("PUT", "flowruns", "status"),
    ("PATCH", "flowruns", ""),
    ("POST", "daskclusters", ""),
    ("DELETE", "daskclusters", ""),
    ("POST", "daskautoscalers", ""),
    ("DELETE", "daskautoscalers", ""),
    ("POST", "services", ""),
    ("DELETE", "services", ""),
    ("PATCH", "pods", ""),
)


def operator_settings() -> Settings:
    """Return the settings of the installed operator."""
    for each in yaml.safe_load(kubectl("-n", SYSTEM, "get", "configmaps", "-o", "json"))["items"]:
        if text := (each.get("data") or {}).get("settings.yaml"):
            return Settings.model_validate(yaml.safe_load(text))
    raise Failed(f"the chart is not installed: there are no settings in {SYSTEM} (make cluster)")


def operator_pods(kube: Kube) -> list[str]:
    """Return the names of the operator's pods."""
    found = kube.get(f"/api/v1/namespaces/{SYSTEM}/pods", labelSelector=SELECTOR)["items"]
    names = [each["metadata"]["name"] for each in found if each["status"].get("phase") == "Running"]
    if not names:
        raise Failed(f"no pod of the operator runs in {SYSTEM} (make cluster)")
    return names


def requests(kube: Kube) -> Counter[str]:
    """Return how often the operator asked for what, "PUT FlowRun"; its Lease is not in this count."""
    counted: Counter[str] = Counter()
    for name in operator_pods(kube):
        text = kube.text(f"/api/v1/namespaces/{SYSTEM}/pods/{name}:8080/proxy/metrics")
        for labels, value in _samples(text, "flow_operator_api_requests_total"):
            counted[f"{labels['verb']} {labels['kind']}"] += value
    return counted


def writes(counted: Counter[str] | dict[str, int]) -> int:
    """Return how many of some requests change something."""
    return sum(count for what, count in counted.items() if what.split()[0] not in READS)


class Meter:
    """Counts what the operator asks of the API server while one FlowRun lives; nothing else may happen meanwhile."""

    def __init__(self, kube: Kube, run: Manifest, *, thorough: bool) -> None:
        self.thorough = thorough
        self._kube = kube
        self._run = run["metadata"]
        self._pods = operator_pods(kube)
        self._before = requests(kube)
        self._served_before = _served(kube) if thorough else Counter()

    def read(self) -> dict[str, int]:
        """Return the requests since the beginning, by the operator's own count."""
        if operator_pods(self._kube) != self._pods:
            raise Failed("the operator was restarted meanwhile")
        return dict(sorted((requests(self._kube) - self._before).items()))

    def served(self, pods: list[Life]) -> int:
        """Return the writes since the beginning without asking the operator: as the server counts, and as objects.

        The server does not tell clients apart, so that of kinds which others write too the objects are counted;
        deletions of pods are in neither.
        """
        path = f"/apis/events.k8s.io/v1/namespaces/{self._run['namespace']}/events"
        events = [each for each in self._kube.get(path)["items"] if _ours(each, self._run["name"])]
        made = sum(life.owner == "FlowRun" for life in pods)
        return (_served(self._kube) - self._served_before).total() + len(events) + made


def _ours(event: Manifest, run: str) -> bool:
    about, by = event.get("regarding", {}).get("name"), event.get("reportingController")
    return (about, by) == (run, "flow-operator.io/operator")


def _served(kube: Kube) -> Counter[str]:
    counted: Counter[str] = Counter()
    for labels, value in _samples(kube.text("/metrics"), "apiserver_request_total"):
        if (what := (labels["verb"], labels["resource"], labels["subresource"])) in _ONLY_OURS:
            counted[" ".join(what)] += value
    return counted


def memory(kube: Kube) -> dict[str, int]:
    """Return the operator's resident memory in bytes, now and at its peak; the largest of its pods."""
    found = {"resident": 0, "peak": 0}
    for name in operator_pods(kube):
        text = kubectl("-n", SYSTEM, "exec", name, "-c", "operator", "--", "cat", "/proc/1/status")
        for key, field in (("resident", "VmRSS"), ("peak", "VmHWM")):
            kilobytes = int(re.search(rf"{field}:\s+(\d+) kB", text)[1])  # type: ignore[index]
            found[key] = max(found[key], kilobytes * 1024)
    return found


def _samples(text: str, metric: str) -> list[tuple[dict[str, str], int]]:
    lines = [line for line in text.splitlines() if line.startswith(metric + "{")]
    return [(dict(_LABEL.findall(line)), int(float(line.rpartition(" ")[2]))) for line in lines]
