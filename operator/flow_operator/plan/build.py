"""From a FlowDeployment to what is built: inputs, their hash, and the children that build and check."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..api import labels, wire
from ..api.flow_deployment import DockerStorage, FlowDeploymentSpec
from . import names, pods

if TYPE_CHECKING:
    from ..api.settings import Settings
    from .types import Manifest

# Part of every inputs hash: raise it when the same inputs would give another image.
LAYOUT = "1"
CODE_DIR = "/source"
CA_FILE = "ca.crt"
CA_DIR = "/etc/flow-operator/ca"


@dataclass(frozen=True)
class Code:
    """The flow's bytes and the name of the file they become under /flows."""

    file: str
    data: bytes
    attribute: str

    @property
    def sha256(self) -> str:
        """Return the digest the builder checks."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def ref(self) -> wire.FlowRef:
        """Return where the flow is found in its image."""
        return {"location": f"{wire.FLOWS_DIR}/{self.file}", "attribute": self.attribute}


def code_of(spec: FlowDeploymentSpec, source: str | None) -> Code | None:
    """Return the flow's bytes, or None while its ConfigMap is not there."""
    if spec.flow.pickle:
        return Code("flow.flow", base64.b64decode(spec.flow.pickle.data), "")
    file, _, attribute = spec.flow.entrypoint.partition(":")
    text = spec.flow.source.inline if spec.flow.source and spec.flow.source.inline is not None else source
    return None if text is None else Code(file, text.encode(), attribute)


@dataclass(frozen=True)
class Inputs:
    """Everything an image is made of. Two deployments with one hash have one image."""

    code: Code
    docker: DockerStorage | None  # None: bytes storage, nothing is built
    base_image: str
    repository: str
    rebuild: str

    @property
    def hash(self) -> str:
        """Return the hash that decides whether to build."""
        storage = pods.compact(self.docker.to_wire()) if self.docker else "bytes"
        return names.digest(
            LAYOUT, storage, self.base_image, self.repository, self.code.file, self.code.attribute, self.code.sha256,
            self.rebuild,
        )  # fmt: skip


def inputs_of(deployment: Manifest, spec: FlowDeploymentSpec, code: Code, settings: Settings) -> Inputs:
    """Return what a deployment's image is made of, defaults filled in."""
    meta = deployment["metadata"]
    rebuild = meta.get("annotations", {}).get(labels.REBUILD, "")
    if spec.storage and spec.storage.bytes is not None:
        return Inputs(code, None, settings.runtime_image, "", rebuild)
    docker = (spec.storage and spec.storage.docker) or DockerStorage()
    prefix = (docker.registry_url or settings.registry).strip("/")
    image = docker.image_name or f"{meta['namespace']}-{meta['name']}".replace(".", "-")
    return Inputs(
        code,
        docker,
        docker.base_image or settings.runtime_image,
        f"{prefix}/{image}" if prefix else "",
        rebuild,
    )


def tag_of(inputs: Inputs) -> str:
    """Return the tag to push: the one asked for, or a hash of the inputs."""
    return (inputs.docker and inputs.docker.image_tag) or f"i-{inputs.hash[:16]}"


@dataclass(frozen=True)
class Target:
    """The deployment a child is for."""

    name: str
    namespace: str
    uid: str

    @classmethod
    def of(cls, deployment: Manifest) -> Target:
        """Read it off the object."""
        meta = deployment["metadata"]
        return cls(meta["name"], meta["namespace"], meta["uid"])

    @property
    def owner(self) -> Manifest:
        """Return the owner reference of its children."""
        return names.owner("FlowDeployment", self.name, self.uid)


def code_name(target: Target, code: Code) -> str:
    """Return the name of the ConfigMap that holds the flow's bytes."""
    return names.build_child(target.name, "code", names.digest(code.file, code.sha256))


def code_config_map(target: Target, code: Code) -> Manifest:
    """Return the ConfigMap that holds the flow's bytes for builder, check and (bytes storage) runs."""
    encoded = base64.b64encode(code.data).decode()
    try:
        text = {code.file: code.data.decode()}
    except UnicodeDecodeError:
        text = {}
    return pods.config_map(
        name=code_name(target, code),
        namespace=target.namespace,
        labels=names.deployment_labels(target.name, target.uid, names.digest(code.file, code.sha256), "code"),
        owner=target.owner,
        text=text,
        binary={} if text else {code.file: encoded},
    )


def ca_name(target: Target, bundle: str) -> str:
    """Return the name of the ConfigMap that holds the CA bundle for this deployment's builder."""
    return names.build_child(target.name, "ca", names.digest(bundle))


def ca_config_map(target: Target, bundle: str) -> Manifest:
    """Return the ConfigMap that holds the CA bundle; it lives as long as the deployment."""
    return pods.config_map(
        name=ca_name(target, bundle),
        namespace=target.namespace,
        labels=names.deployment_labels(target.name, target.uid, names.digest(bundle), "ca"),
        owner=target.owner,
        text={CA_FILE: bundle},
        binary={},
    )


def build_request(target: Target, inputs: Inputs, settings: Settings) -> wire.BuildRequest:
    """Return what the builder is told."""
    assert inputs.docker is not None, "bytes storage builds nothing"  # noqa: S101
    return {
        "baseImage": inputs.base_image,
        "repository": inputs.repository,
        "tag": tag_of(inputs),
        "files": [
            {
                "path": f"{wire.FLOWS_DIR}/{inputs.code.file}",
                "source": f"{CODE_DIR}/{inputs.code.file}",
                "sha256": inputs.code.sha256,
            }
        ],
        "pythonDependencies": list(inputs.docker.python_dependencies),
        "env": dict(inputs.docker.env_vars),
        "annotations": {"org.opencontainers.image.title": target.name},
        "registries": {name: {"endpoint": each.endpoint} for name, each in settings.registries.items()},
    }


def builder_pod(target: Target, inputs: Inputs, attempt: int, settings: Settings, ca: str | None) -> Manifest:
    """Return the pod that builds and pushes the image; its verdict is its termination message."""
    assert inputs.docker is not None, "bytes storage builds nothing"  # noqa: S101
    volumes = [pods.config_map_volume("source", code_name(target, inputs.code))]
    mounts = [{"name": "source", "mountPath": CODE_DIR, "readOnly": True}]
    env = {
        **pods.HOME,
        wire.BUILD_ENV: pods.compact(build_request(target, inputs, settings)),
        **_index(settings),
    }
    if ca:
        volumes.append(pods.config_map_volume("ca", ca_name(target, ca)))
        mounts.append({"name": "ca", "mountPath": CA_DIR, "readOnly": True})
        env["SSL_CERT_FILE"] = f"{CA_DIR}/{CA_FILE}"
    if inputs.docker.push_secret:
        volumes.append(
            {
                "name": "push",
                "secret": {
                    "secretName": inputs.docker.push_secret,
                    "defaultMode": 0o444,
                    "items": [{"key": ".dockerconfigjson", "path": "config.json"}],
                },
            }
        )
        mounts.append({"name": "push", "mountPath": "/secrets/push", "readOnly": True})
        env["DOCKER_CONFIG"] = "/secrets/push"
    return pods.pod(
        name=names.build_child(target.name, "build", inputs.hash, attempt),
        namespace=target.namespace,
        labels=names.deployment_labels(target.name, target.uid, inputs.hash, labels.BUILDER),
        owner=target.owner,
        containers=[
            pods.container(
                name="builder",
                image=settings.operator_image,
                command=["python3", "-m", "flow_operator.images"],
                env=pods.environment(env),
                mounts=mounts,
                resources=settings.builder.resources or None,
            )
        ],
        volumes=volumes,
        pull_secrets=list(settings.image_pull_secrets),
        activeDeadlineSeconds=1800,
        terminationGracePeriodSeconds=2,
    )


def _index(settings: Settings) -> dict[str, str]:
    index = settings.package_index
    return {
        **({"UV_DEFAULT_INDEX": index.url} if index.url else {}),
        **({"UV_INDEX": " ".join(index.extra_urls)} if index.extra_urls else {}),
    }


def check_pod(
    target: Target, spec: FlowDeploymentSpec, inputs: Inputs, image: str, attempt: int, settings: Settings
) -> Manifest:
    """Return the pod that loads the flow in its image and says what it found."""
    volumes, mounts = code_mount(target, inputs)
    request: wire.CheckRequest = {"flow": inputs.code.ref}
    return pods.pod(
        name=names.build_child(target.name, "check", check_key(spec, inputs, image), attempt),
        namespace=target.namespace,
        labels=names.deployment_labels(target.name, target.uid, inputs.hash, labels.CHECK),
        owner=target.owner,
        containers=[
            pods.container(
                name="check",
                image=image,
                command=["python3", "-m", "flow_operator.runner", "check"],
                env=[
                    *spec.runner.env,
                    *pods.environment({**pods.HOME, wire.CHECK_ENV: pods.compact(request)}),
                ],
                mounts=mounts,
                resources=settings.runner.resources or None,
            )
        ],
        volumes=volumes,
        pull_secrets=pull_secrets(inputs, settings),
        activeDeadlineSeconds=300,
        terminationGracePeriodSeconds=2,
    )


def check_key(spec: FlowDeploymentSpec, inputs: Inputs, image: str) -> str:
    """Return what a check depends on: another variable may heal an import."""
    return names.digest(inputs.hash, image, pods.compact(spec.runner.env))


def code_mount(target: Target, inputs: Inputs) -> tuple[list[Manifest], list[Manifest]]:
    """Return volumes and mounts of the code: none where it is in the image."""
    if inputs.docker is not None:
        return [], []
    return (
        [pods.config_map_volume("code", code_name(target, inputs.code))],
        [{"name": "code", "mountPath": wire.FLOWS_DIR, "readOnly": True}],
    )


def pull_secrets(inputs: Inputs, settings: Settings) -> list[str]:
    """Return the names of the Secrets a pod of the flow's image pulls with."""
    own = [inputs.docker.push_secret] if inputs.docker and inputs.docker.push_secret else []
    return list(dict.fromkeys([*own, *settings.image_pull_secrets]))
