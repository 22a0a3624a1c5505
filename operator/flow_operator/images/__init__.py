"""The room that builds and pushes images.

    report = build_image({"baseImage": "python:3.12-slim", "repository": "localhost:5001/team/squares", …})

`build_image` is the door for everybody: the builder pod (`python -m flow_operator.images`), a laptop and CI. Behind it
are two builders of one interface: `build.LayersBuilder` appends layers, without a daemon, root or privilege;
`docker_builder.DockerBuilder` lets a Docker engine do it. Importing this package loads neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_operator.images.errors import BuildError
    from flow_operator.images.select import build_image

__all__ = ["BuildError", "build_image"]

_HOMES = {"BuildError": "errors", "build_image": "select"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'flow_operator.images' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"flow_operator.images.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
