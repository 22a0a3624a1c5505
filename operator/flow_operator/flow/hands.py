"""The one way up: what `Docker.build()` and `Flow.deploy()` need of deploy/ is imported when they are called.

A user's `import flow_operator` stays light, and a flow's pod needs nothing of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from flow_operator.api.errors import FlowOperatorError


def hand(module: str) -> Any:
    """Return a module of deploy/."""
    try:
        return import_module(f"flow_operator.deploy.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "flow_operator").startswith("flow_operator"):
            raise
        raise FlowOperatorError(
            f"Building and deploying need {error.name!r}, which is not installed.",
            remedy="Install it: pip install 'flow-operator[deploy]'.",
        ) from None
