"""From the request that starts something to the watch event that shows its end."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import httpx

from bench.kube import Failed, collection_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.kube import Kube, Manifest

    Ended = Callable[[Manifest], bool | None]  # well, badly, or not yet

PATIENCE = 180.0


def time_until_ended(kube: Kube, manifest: Manifest, start: Callable[[Manifest], object], ended: Ended) -> float:
    """Return the seconds from just before `start(manifest)` to the event in which the object has ended well."""
    name = manifest["metadata"]["name"]
    collection = collection_of(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["namespace"])
    seen: Manifest = {}
    try:
        with kube.watch(collection, name, patience=PATIENCE) as events:
            began = time.monotonic()
            start(manifest)
            for _, seen in events:
                outcome = ended(seen)
                now = time.monotonic()
                if outcome:
                    return now - began
                if outcome is False or now - began > PATIENCE:
                    break
    except httpx.ReadTimeout:
        pass
    status = json.dumps(seen.get("status"))
    raise Failed(f"{manifest['kind']} {name} did not end well within {PATIENCE:.0f} s; its status: {status[:1500]}")
