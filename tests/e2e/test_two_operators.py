"""Two operators that know nothing of each other serve the same schedules: no tick starts twice, no flow runs twice."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.support import recorder
from tests.support.api_proxy import ApiProxy, Write
from tests.support.cluster import deployment, eventually
from tests.support.local_operator import LocalOperator, settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cluster import Manifest, Namespace

FLOW = recorder.CLIENT + "def flow():\n    record('flow')\n"
NAMES = [f"minutely-{number}" for number in range(4)]
HEAD_START = 8.0  # seconds in which the second operator lists everything


def minutely(name: str, **more: Any) -> Manifest:
    return deployment(name, FLOW, schedule={"cron": ["* * * * *"], "concurrencyPolicy": "Allow", **more})


def test_no_tick_is_started_twice(namespace: Namespace, tmp_path: Path) -> None:
    namespace.apply(*(minutely(name, suspend=True) for name in NAMES))
    for name in NAMES:
        namespace.wait_ready(name)

    def ended() -> list[Manifest]:
        return [each for each in namespace.list("flowruns") if each.get("status", {}).get("phase") == "Succeeded"]

    with ApiProxy(lambda _write: None) as proxy:
        second = LocalOperator(tmp_path, proxy.kubeconfig(tmp_path / "kubeconfig"), settings(namespace.name))
        second.start()
        try:
            time.sleep(HEAD_START)
            namespace.apply(*(minutely(name) for name in NAMES))
            # The second may list for longer than that, and have its part in the tick after the next only.
            eventually(
                lambda: (took_part(proxy), {each["spec"]["deployment"] for each in ended()}),
                lambda seen: seen[0] and seen[1] == set(NAMES),
                90,
                "a run of each schedule, and a part in it for both",
                every=1.0,
            )
            namespace.apply(*(minutely(name, suspend=True) for name in NAMES))
            runs = eventually(
                lambda: namespace.list("flowruns"), lambda seen: len(seen) == len(ended()), 30, "all ended", every=1.0
            )
        finally:
            second.stop()
        writes = took_part(proxy)
    assert writes, second.log()
    ticks = Counter((each["spec"]["deployment"], tick_of(each)) for each in runs)
    assert set(ticks.values()) == {1}
    assert {name for name, _ in ticks} == set(NAMES)
    for each in runs:
        name = each["metadata"]["name"]
        assert recorder.names(namespace, name) == ["flow"], "its flow ran once"
        assert len(namespace.list("pods", f"flow-operator.io/run={name}")) == 1
    answers = Counter(f"{each.what} {each.status}" for each in writes)
    print(f"\n{len(runs)} ticks; the second operator: {dict(answers)}")


def took_part(proxy: ApiProxy) -> list[Write]:
    return [each for each in proxy.writes if each.what in ("POST flowruns", "POST pods", "PUT flowruns/status")]


def tick_of(run: Manifest) -> str:
    return str(run["metadata"]["annotations"]["flow-operator.io/scheduled-at"])
