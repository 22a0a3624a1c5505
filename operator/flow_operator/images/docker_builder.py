"""The builder that lets a Docker engine do the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_operator.images.errors import BadRequestError
from flow_operator.images.progress import Progress, silent

if TYPE_CHECKING:
    from flow_operator.api.wire import BuildReport, BuildRequest
    from flow_operator.images.credentials import Keychain


class DockerBuilder:
    """Builds with the engine, and lets it push."""

    def __init__(self, *, progress: Progress = silent, keychain: Keychain | None = None) -> None:
        self._progress = progress
        self._keychain = keychain

    def build(self, request: BuildRequest) -> BuildReport:
        """The image. Raises `errors.BuildError` when there is none."""
        raise BadRequestError(f"{request.get('builder')} is not there yet.", remedy="Use Layers.")
