"""One door for all builds: which builder a request gets."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, cast

import pytest

from flow_operator import images
from flow_operator.images.build import LayersBuilder
from flow_operator.images.docker_builder import DockerBuilder
from flow_operator.images.errors import BadRequestError
from flow_operator.images.select import build_image, builder_for

if TYPE_CHECKING:
    from flow_operator.api.wire import BuildRequest


@pytest.mark.parametrize(
    ("request_", "kind"),
    [({}, LayersBuilder), ({"builder": "Layers"}, LayersBuilder), ({"builder": "Docker"}, DockerBuilder)],
)
def test_which_builder(request_: BuildRequest, kind: type) -> None:
    assert type(builder_for(request_)) is kind


@pytest.mark.parametrize(
    "request_", [{"builder": "Kaniko"}, {"builder": None}, [], None, {"extraCommands": ["true"]}, {"localImage": True}]
)
def test_a_request_nobody_can_build(request_: Any) -> None:
    with pytest.raises(BadRequestError):
        build_image(cast("BuildRequest", request_))


def test_the_door_is_in_the_rooms_face() -> None:
    assert importlib.import_module("flow_operator.images").build_image is build_image
    assert dir(images) == ["BuildError", "build_image"]
    assert not hasattr(images, "nothing")
