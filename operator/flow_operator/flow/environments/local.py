"""The simplest environment: one pod, one task after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flow_operator.flow.environments.base import Environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flow_operator.flow.storage import Storage


class LocalEnvironment(Environment):
    """One pod, in which the tasks are computed one after the other.

    Args:
        labels, on_start, on_exit: see `Environment`.
    """

    def execute(self, storage: Storage, flow_location: str, **kwargs: Any) -> Any:
        """Run the flow in this process, with kwargs as its parameters."""
        return storage.get_flow(flow_location).run(**kwargs)

    def _kind(self) -> dict[str, Any]:
        return {"local": {}}

    @classmethod
    def _restored(cls, metadata: Mapping[str, Any]) -> LocalEnvironment:
        return LocalEnvironment(labels=metadata.get("labels"))
