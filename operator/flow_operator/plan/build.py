"""The children of a FlowDeployment: copies of what goes into its image, and the pods that build and check it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..api import labels, wire
from . import names, pods
from .inputs import Code, Inputs, Material, pull_secrets, tag_of

if TYPE_CHECKING:
    from ..api.flow_deployment import DockerStorage, FlowDeploymentSpec
    from ..api.settings import RegistrySetting, Settings
    from .types import Manifest

CODE_DIR = "/source"
FILES_DIR = "/files"
CA_FILE = "ca.crt"
CA_DIR = "/etc/flow-operator/ca"
PUSH_DIR = "/secrets/push"
ENGINE_DIR = "/secrets/engine"


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
    return _copy(target, code_name(target, code), names.digest(code.file, code.sha256), "code", {code.file: code.data})


def material_config_maps(target: Target, inputs: Inputs) -> list[Manifest]:
    """Return copies of what else goes to the builder, one for each ConfigMap of the user's: so each is small enough."""
    return [
        _copy(target, name, names.digest(*data), "files", data)
        for name, data in _material_copies(target, inputs).items()
    ]


def _material_copies(target: Target, inputs: Inputs) -> dict[str, dict[str, bytes]]:
    """Names of the copies, and their content by digest."""
    groups: dict[str, dict[str, bytes]] = {}
    for each in sorted(inputs.materials, key=lambda each: each.sha256):
        groups.setdefault(each.config_map, {})[each.sha256] = each.data
    return {names.build_child(target.name, "files", names.digest(*data)): data for data in groups.values()}


def _copy(target: Target, name: str, digest: str, component: str, data: dict[str, bytes]) -> Manifest:
    text = {key: each.decode() for key, each in data.items() if _is_text(each)}
    return pods.config_map(
        name=name,
        namespace=target.namespace,
        labels=names.deployment_labels(target.name, target.uid, digest, component),
        owner=target.owner,
        text=text,
        binary={key: base64.b64encode(each).decode() for key, each in data.items() if key not in text},
    )


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


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


def build_request(inputs: Inputs, settings: Settings) -> wire.BuildRequest:
    """Return what the builder is told."""
    docker, code = _built(inputs)
    request: wire.BuildRequest = {
        "baseImage": inputs.base_image,
        "repository": inputs.repository,
        "tag": tag_of(inputs),
        "files": [
            {"path": inputs.flow["location"], "source": f"{CODE_DIR}/{code.file}", "sha256": code.sha256},
            *(_file(each) for each in inputs.files),
        ],
        "pythonDependencies": list(docker.python_dependencies),
        "env": {wire.CONFIG_ENV: wire.CONFIG_FILE, **docker.env_vars},  # as Docker storage has it on a laptop
        # Nothing of the place may enter the image: not the deployment's name, but the repository's.
        "annotations": {"org.opencontainers.image.title": inputs.repository.rpartition("/")[2], **docker.annotations},
        "registries": {name: _endpoint(each) for name, each in settings.registries.items()},
    }
    if inputs.architecture:
        request["architecture"] = inputs.architecture
    if inputs.lock:
        request["lock"] = _file(inputs.lock)
    if docker.push_secret:
        request["pushSecret"] = docker.push_secret
    if docker.builder == "Docker":
        request |= _of_an_engine(docker, inputs, settings)
    return request


def _of_an_engine(docker: DockerStorage, inputs: Inputs, settings: Settings) -> wire.BuildRequest:
    engine: wire.EngineEndpoint = {"url": settings.docker_engine.url}
    if settings.docker_engine.tls_secret:
        engine["tls"] = ENGINE_DIR
    request: wire.BuildRequest = {
        "builder": docker.builder,
        "extraCommands": list(docker.extra_commands),
        "engine": engine,
        "flows": [inputs.flow],
    }
    if inputs.python:
        request["python"] = inputs.python
    return request


def _endpoint(setting: RegistrySetting) -> wire.RegistryEndpoint:
    endpoint: wire.RegistryEndpoint = {"endpoint": setting.endpoint}
    return {**endpoint, "insecure": True} if setting.insecure else endpoint


def _file(material: Material) -> wire.BuildFile:
    sha256 = material.sha256
    return {"path": material.path, "source": f"{FILES_DIR}/{sha256}", "sha256": sha256}


def _built(inputs: Inputs) -> tuple[DockerStorage, Code]:
    assert inputs.docker is not None, "asked of what is not built here"  # noqa: S101
    assert inputs.code is not None, "what is built here has its code here"  # noqa: S101
    return inputs.docker, inputs.code


def builder_pod(target: Target, inputs: Inputs, attempt: int, settings: Settings, ca: str | None) -> Manifest:
    """Return the pod that builds and pushes the image; its verdict is its termination message."""
    docker, code = _built(inputs)
    volumes = [pods.config_map_volume("source", code_name(target, code))]
    mounts = [_read_only("source", CODE_DIR)]
    env = {
        **pods.HOME,
        wire.BUILD_ENV: pods.compact(build_request(inputs, settings)),
        **_index(settings),
    }
    if inputs.materials:
        volumes.append(pods.config_maps_volume("files", list(_material_copies(target, inputs))))
        mounts.append(_read_only("files", FILES_DIR))
    if ca:
        volumes.append(pods.config_map_volume("ca", ca_name(target, ca)))
        mounts.append(_read_only("ca", CA_DIR))
        env["SSL_CERT_FILE"] = f"{CA_DIR}/{CA_FILE}"
    if docker.push_secret:
        volumes.append(_secret_volume("push", docker.push_secret))
        mounts.append(_read_only("push", PUSH_DIR))
        env["DOCKER_CONFIG"] = PUSH_DIR
    if docker.builder == "Docker" and settings.docker_engine.tls_secret:
        volumes.append(_secret_volume("engine", settings.docker_engine.tls_secret))
        mounts.append(_read_only("engine", ENGINE_DIR))
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


def _read_only(name: str, path: str) -> Manifest:
    return {"name": name, "mountPath": path, "readOnly": True}


def _secret_volume(name: str, secret: str) -> Manifest:
    """A Secret that may not be there, or not be right: the builder says so at once, a kubelet would wait in silence."""
    return {"name": name, "secret": {"secretName": secret, "defaultMode": 0o444, "optional": True}}


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
    runner = spec.runner.to_wire()
    request: wire.CheckRequest = {"flow": inputs.flow}
    if inputs.python:
        request["python"] = inputs.python
    if modules := _modules(spec):
        request["modules"] = modules
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
                mounts=[*mounts, *runner.get("volumeMounts", ())],
                resources=settings.runner.resources or None,
            )
        ],
        volumes=[*volumes, *runner.get("volumes", ())],
        pull_secrets=pull_secrets(spec, spec.environment, settings),
        # Where its runs go: another node may have another architecture, and not the volumes.
        nodeSelector=runner["nodeSelector"] or None,
        tolerations=runner["tolerations"] or None,
        activeDeadlineSeconds=300,
        terminationGracePeriodSeconds=2,
    )


def check_key(spec: FlowDeploymentSpec, inputs: Inputs, image: str) -> str:
    """Return what a check depends on: another variable, volume, node or pull secret may heal it."""
    runner = spec.runner.to_wire()
    seen = {key: runner[key] for key in ("env", "volumes", "volumeMounts")}
    # Only where they are set: a key that changed with a release would have every unfinished check made again.
    seen |= {key: runner[key] for key in ("nodeSelector", "tolerations") if runner[key]}
    elsewhere = spec.flow.image.pull_secret if spec.flow.image else None
    dask = spec.environment and spec.environment.dask_kubernetes
    private = [dask.private_registry] if dask and dask.private_registry else []
    return names.digest(inputs.hash, image, pods.compact(seen), elsewhere or "", *private, *_modules(spec))


def _modules(spec: FlowDeploymentSpec) -> dict[str, list[str]]:
    """Return what the resource's environment needs in the image; the flow's own says so by itself."""
    fargate = spec.environment and spec.environment.fargate_task
    return {"fargateTask": ["boto3", "botocore"]} if fargate else {}


def code_mount(target: Target, inputs: Inputs) -> tuple[list[Manifest], list[Manifest]]:
    """Return volumes and mounts of the code: none where it is in the image, or on a volume of the user's."""
    if inputs.code is None or not inputs.mounted:
        return [], []
    return (
        [pods.config_map_volume("code", code_name(target, inputs.code))],
        [_read_only("code", wire.FLOWS_DIR)],
    )
