"""Clean, join and aggregate 150 million generated taxi trips with dask.dataframe.

The trips are generated, so that the example needs no data set: partition i is always the same, whoever makes it.
"""

from __future__ import annotations

import json
import os
import time
import urllib.request

import dask.dataframe as dd
import numpy as np
import pandas as pd

from flow_operator import flow
from flow_operator.environments import DaskKubernetesEnvironment

BOROUGHS = ["Bronx", "Brooklyn", "Manhattan", "Queens", "Staten Island"]
ZONES = pd.DataFrame({"zone": range(265), "borough": [BOROUGHS[zone % 5] for zone in range(265)]})


def generate(partition: int, rows: int) -> pd.DataFrame:
    """Make one partition of trips; some are nonsense, as in every real data set."""
    random = np.random.default_rng(partition)
    return pd.DataFrame(
        {
            "zone": random.integers(0, 265, rows),
            "metres": random.integers(-500, 30_000, rows),
            "seconds": random.integers(0, 7_200, rows),
            "cents": random.integers(-1_000, 9_000, rows),
        }
    )


def note(what: str) -> None:
    """Write a line into the ledger, a small service outside this pod."""
    run = os.environ.get("FLOW_OPERATOR_RUN_NAME", "")
    body = {"what": what, "run": run, "at": time.time(), "outcome": os.environ.get("FLOW_OPERATOR_OUTCOME")}
    urllib.request.urlopen(os.environ["LEDGER"], data=json.dumps(body).encode(), timeout=10)


def begin() -> None:
    """Callback: the run is about to begin."""
    note("on_start")


def end() -> None:
    """Callback: the run is over, however it ended."""
    note("on_exit")


@flow(
    name="trips",
    environment=DaskKubernetesEnvironment(min_workers=1, max_workers=4, on_start=begin, on_exit=end),
)
def trips(partitions: int = 300, rows: int = 500_000) -> dict:
    """Return how many trips there are, how many make sense, and what each borough earned."""
    note("flow")
    made = dd.from_map(generate, range(partitions), rows=rows, meta=generate(0, 1))
    clean = made[(made.metres > 0) & (made.seconds >= 60) & (made.cents > 0)]
    joined = clean.merge(ZONES, on="zone")
    earned = joined.groupby("borough").agg({"cents": "sum", "zone": "count"}).compute().sort_index()
    return {
        "trips": partitions * rows,
        "clean": int(earned["zone"].sum()),
        "dollars": {borough: int(cents) // 100 for borough, cents in earned["cents"].items()},
    }
