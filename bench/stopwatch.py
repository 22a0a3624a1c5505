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

PATIENCE = 90.0


def time_until_ended(kube: Kube, manifest: Manifest, start: Callable[[Manifest], object], ended: Ended) -> float:
    """Return the seconds from just before `start(manifest)` to the event in which the object has ended well."""
    name = manifest["metadata"]["name"]
    collection = collection_of(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["namespace"])
    seen: Manifest = {}
    with kube.watch(collection, name, patience=PATIENCE) as events:
        began = time.monotonic()
        start(manifest)
        try:
            for _, seen in events:
                outcome, now = ended(seen), time.monotonic()
                if outcome is not None or now - began > PATIENCE:
                    break
        except httpx.ReadTimeout:
            outcome = None
    if outcome:
        return now - began
    what = f"{manifest['kind']} {name} {'did not end' if outcome is None else 'ended badly'}"
    raise Failed(f"{what} ({time.monotonic() - began:.0f} s); its status: {json.dumps(seen.get('status'))[:1500]}")
