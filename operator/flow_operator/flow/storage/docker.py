"""An image that holds the flow and what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Docker:
    """An image, built from a base, the flow's dependencies and its code.

    Args:
        registry_url: where it is pushed, "registry.example.com/team-a".
        base_image: what it is built on; by default a slim Python of the author's minor version.
        python_dependencies: requirement lines, as pip reads them.
        image_name: by default the slug of the flow's name.
        image_tag: by default the operator's choice.
        env_vars: variables set in the image.
    """

    def __init__(
        self,
        registry_url: str | None = None,
        base_image: str | None = None,
        python_dependencies: Iterable[str] | None = None,
        image_name: str | None = None,
        image_tag: str | None = None,
        env_vars: Mapping[str, str] | None = None,
    ) -> None:
        if isinstance(python_dependencies, str):
            raise TypeError(f"python_dependencies are a list of texts, not one text: {python_dependencies!r}")
        self.registry_url = registry_url
        self.base_image = base_image
        self.python_dependencies = list(python_dependencies or ())
        self.image_name = image_name
        self.image_tag = image_tag
        self.env_vars = dict(env_vars or {})

    def to_resource(self) -> dict[str, Any]:
        """Itself as `spec.storage` of a FlowDeployment."""
        fields = {
            "registryURL": self.registry_url,
            "baseImage": self.base_image,
            "pythonDependencies": self.python_dependencies,
            "imageName": self.image_name,
            "imageTag": self.image_tag,
            "envVars": self.env_vars,
        }
        return {"docker": {key: value for key, value in fields.items() if value}}
