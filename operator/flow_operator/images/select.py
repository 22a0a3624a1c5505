"""The one door of all builds: which builder a request asks for, and its answer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from flow_operator.images.credentials import keychain_of_secret
from flow_operator.images.errors import BadRequestError
from flow_operator.images.progress import Progress, silent

if TYPE_CHECKING:
    from flow_operator.api.wire import BuildReport, BuildRequest
    from flow_operator.images.build import Builder
    from flow_operator.images.credentials import Keychain

LAYERS, DOCKER = "Layers", "Docker"


def build_image(request: BuildRequest, *, progress: Progress = silent, keychain: Keychain | None = None) -> BuildReport:
    """Build what is asked for. Raises `errors.BuildError` when there is no image.

    Without a keychain the credentials are those of the push secret the request names, mounted at `$DOCKER_CONFIG`; else
    those of docker's own configuration (`$DOCKER_CONFIG` or `~/.docker`).
    """
    return builder_for(request, progress=progress, keychain=keychain).build(request)


def builder_for(request: BuildRequest, *, progress: Progress = silent, keychain: Keychain | None = None) -> Builder:
    """The builder a request names; Layers where it names none. Each is imported when it is asked for."""
    asked = request if isinstance(request, dict) else {}
    if keychain is None and (secret := asked.get("pushSecret")):
        keychain = keychain_of_secret(secret, Path(os.environ.get("DOCKER_CONFIG", "/")))
    kind = asked.get("builder", LAYERS)
    if kind == LAYERS:
        _refuse_docker_only(request)
        from flow_operator.images.build import LayersBuilder

        return LayersBuilder(progress=progress, keychain=keychain)
    if kind == DOCKER:
        from flow_operator.images.docker_builder import DockerBuilder

        return DockerBuilder(progress=progress, keychain=keychain)
    raise BadRequestError(f"There is no builder {kind!r}.", remedy=f"Use {LAYERS} or {DOCKER}.")


def _refuse_docker_only(request: BuildRequest) -> None:
    """What layers cannot do is not left out in silence."""
    asked = [key for key in ("extraCommands", "localImage") if isinstance(request, dict) and request.get(key)]
    if asked:
        raise BadRequestError(f"{asked[0]} needs an engine, which the builder {LAYERS} has not.", remedy="Use Docker.")
