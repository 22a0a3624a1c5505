"""Everything that can go wrong in a build, typed by what the reader must do about it.

    BuildError                        reason, message, remedy, retryable
    +-- InputError                    the request or the base must change
    |   +-- BadRequestError
    |   |   `-- BadSettingsError
    |   +-- InvalidReferenceError
    |   +-- PushSecretMissingError
    |   +-- PushSecretMalformedError
    |   +-- BaseImageNotFoundError
    |   +-- BaseImageHasNoPythonError
    |   +-- InvalidLockError
    |   `-- SourceChangedError        retryable: a mount that lags behind
    +-- RegistryError
    |   +-- RegistryUnreachableError  retryable, unless its certificate is not trusted
    |   +-- RegistryUnauthorizedError
    |   +-- RegistryForbiddenError
    |   +-- RegistryRateLimitedError  retryable
    |   +-- RegistryFailedError       retryable when the registry says 5xx
    |   +-- TagLostError              retryable
    |   `-- DigestMismatchError
    +-- DependencyError
    |   +-- DependencyNotFoundError
    |   +-- DependencyHasNoWheelError
    |   +-- DependencyConflictError
    |   +-- DependencyHashMismatchError
    |   +-- DependencyFailedError     what uv says and we do not recognise
    |   `-- IndexUnreachableError     retryable
    +-- EngineError                   of the Docker builder
    |   +-- EngineUnreachableError    retryable
    |   +-- EngineTLSFailedError
    |   +-- EngineDiskFullError       retryable
    |   +-- EngineOutOfMemoryError
    |   +-- EngineFailedError         what the engine says and we do not recognise
    |   `-- ImageBuildFailedError     a step of the build, a user's command most likely
    +-- FlowCheckFailedError          the image is there and its flow cannot run; the reason is the check's own
    +-- BuilderDiskFullError
    `-- BuilderFailedError            a bug: ours, not the user's

Messages name the thing (image, registry, requirement line) and never a credential or a URL's query.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flow_operator.api.errors import FlowOperatorError

if TYPE_CHECKING:
    from collections.abc import Iterator


class BuildError(FlowOperatorError):
    """A build that ended without an image: what happened, and what to do."""

    reason: str
    retryable: bool = False

    def __init__(self, message: str, *, remedy: str | None = None, retryable: bool | None = None) -> None:
        super().__init__(message, remedy=remedy)
        if retryable is not None:
            self.retryable = retryable


class InputError(BuildError):
    """The request or the base image must change."""


class BadRequestError(InputError):
    """The request cannot be read, or asks for something we refuse."""

    reason = "BadRequest"
    remedy = "Correct the storage of the FlowDeployment."


class BadSettingsError(BadRequestError):
    """What an administrator or this machine has set cannot be used; no input of the build's says so."""

    reason = "BadSettings"
    remedy = "Correct the setting; what failed is tried again by itself."


class InvalidReferenceError(InputError):
    """Text that is no image reference."""

    reason = "InvalidReference"
    remedy = "Write it as registry/repository:tag or registry/repository@sha256:digest, in lower case."


class PushSecretMissingError(InputError):
    """A push secret is named, and there is none of that name."""

    reason = "PushSecretMissing"
    remedy = (
        "Create it in the flow's namespace: kubectl create secret docker-registry NAME --docker-server=… "
        "--docker-username=… --docker-password=…; the build is tried again by itself."
    )


class PushSecretMalformedError(InputError):
    """The push secret, or docker's own configuration, cannot be read."""

    reason = "PushSecretMalformed"
    remedy = (
        "Make it anew as kubectl does: kubectl create secret docker-registry NAME --docker-server=… "
        "--docker-username=… --docker-password=…; the build is tried again by itself."
    )


class BaseImageNotFoundError(InputError):
    """The registry does not know the base, or has none for this architecture."""

    reason = "BaseImageNotFound"
    remedy = "Check the name, tag and architecture of baseImage; a private image needs a pull secret."


class BaseImageHasNoPythonError(InputError):
    """No Python in the base that we could use."""

    reason = "BaseImageHasNoPython"
    remedy = (
        "Use a base with Python 3.11 or newer (python:3.12-slim, say), or, if it has one in an unusual place, "
        "give it the label flow-operator.io/python=3.12."
    )


class InvalidLockError(InputError):
    """A lock file that cannot be read, or that leaves something open."""

    reason = "InvalidLock"
    remedy = (
        "Bring a uv.lock, or a requirements file in which every line has one version (==) and its hashes: "
        "uv pip compile --generate-hashes writes one."
    )


class SourceChangedError(InputError):
    """The bytes mounted are not those the operator decided on."""

    reason = "SourceChanged"
    remedy = "Nothing, if the source was just edited: the next build sees the new bytes."
    retryable = True


class RegistryError(BuildError):
    """A registry that did not do what it was asked."""

    retry_after: float | None = None  # seconds, what the registry asks for
    silent: bool = False  # nothing was heard for as long as we listen


class RegistryUnreachableError(RegistryError):
    """No answer, or a connection that broke."""

    reason = "RegistryUnreachable"
    remedy = "Check that the builder's pod reaches the registry (name, network policy, proxy, registries setting)."
    retryable = True


class RegistryUnauthorizedError(RegistryError):
    """No credential, or one the registry does not accept."""

    reason = "RegistryUnauthorized"
    remedy = "Give the storage a pushSecret of type kubernetes.io/dockerconfigjson with a credential for it."


class RegistryForbiddenError(RegistryError):
    """The credential is known and not allowed to do this."""

    reason = "RegistryForbidden"
    remedy = "Give the credential of pushSecret the right to pull the base and to push to the repository."


class RegistryRateLimitedError(RegistryError):
    """Too many requests, and waiting did not help."""

    reason = "RegistryRateLimited"
    remedy = "Wait, log in with a credential that has a higher limit, or use a mirror of the base image."
    retryable = True


class RegistryFailedError(RegistryError):
    """An answer that is no help: 5xx, or one the distribution API does not know."""

    reason = "RegistryFailed"
    remedy = "Look at the registry's own logs."
    retryable = True


class TagLostError(RegistryError):
    """A tag that the registry took and does not have."""

    reason = "TagLost"
    remedy = (
        "Look for what deletes or moves this tag: a clean-up rule of the registry, or another build that pushes it."
    )
    retryable = True


class DigestMismatchError(RegistryError):
    """Bytes that are not what their digest says."""

    reason = "DigestMismatch"
    remedy = "The registry, or something in front of it, changes or damages content: repair it, then rebuild."


class DependencyError(BuildError):
    """The requirements cannot be turned into installed packages."""


class DependencyNotFoundError(DependencyError):
    """No such package or version in the index."""

    reason = "DependencyNotFound"
    remedy = "Check the spelling and the version in pythonDependencies, and which package index is set."


class DependencyHasNoWheelError(DependencyError):
    """A package exists, but with no wheel for this Python and platform."""

    reason = "DependencyHasNoWheel"
    remedy = "Builders install wheels only: choose a version with a wheel for this Python, or a base that has it."


class DependencyConflictError(DependencyError):
    """Requirements that exclude each other, or the runtime's own versions."""

    reason = "DependencyConflict"
    remedy = (
        "Loosen one of the two. dask, distributed and cloudpickle come with flow-operator and have one version in "
        "runner, scheduler and workers: do not pin them, or choose the flow-operator release that has yours."
    )


class DependencyHashMismatchError(DependencyError):
    """A wheel that is not the one the lock was made for."""

    reason = "DependencyHashMismatch"
    remedy = (
        "The package index serves other bytes than those that were locked. If the lock was made for another index, "
        "make it again for this one; else do not trust what is served."
    )


class DependencyFailedError(DependencyError):
    """uv failed in a way we have no word for; its own words are in the message."""

    reason = "DependencyFailed"
    remedy = "Read the message: it is what the resolver said."


class IndexUnreachableError(DependencyError):
    """The package index did not answer."""

    reason = "IndexUnreachable"
    remedy = "Check that the builder's pod reaches the package index (UV_DEFAULT_INDEX, proxy, network policy)."
    retryable = True


class EngineError(BuildError):
    """A Docker engine that did not do what it was asked."""


class EngineUnreachableError(EngineError):
    """No answer from the engine, or a connection that broke."""

    reason = "EngineUnreachable"
    remedy = (
        "Start Docker, or say where it is: base_url or DOCKER_HOST here, dockerEngine.url of the chart in a cluster. "
        "The Layers builder needs no engine."
    )
    retryable = True


class EngineTLSFailedError(EngineError):
    """The engine's certificate is not trusted here, or ours not there."""

    reason = "EngineTLSFailed"
    remedy = (
        "Give the builder ca.pem, cert.pem and key.pem that the engine accepts: dockerEngine.tlsSecret of the chart "
        "in a cluster, DOCKER_CERT_PATH here."
    )


class EngineDiskFullError(EngineError):
    """No space left where the engine keeps its images."""

    reason = "EngineDiskFull"
    remedy = "Make room on the engine's host: docker system prune."
    retryable = True


class EngineOutOfMemoryError(EngineError):
    """A step or the check was killed for its memory."""

    reason = "EngineOutOfMemory"
    remedy = "Give the engine's host more memory, or install wheels where something is compiled."


class EngineFailedError(EngineError):
    """The engine failed in a way we have no word for; its own words are in the message."""

    reason = "EngineFailed"
    remedy = "Look at the engine's own log."
    retryable = True


class ImageBuildFailedError(EngineError):
    """A step of the build failed."""

    reason = "ImageBuildFailed"
    remedy = "Read the message: it is what the step said last. The whole output is the builder's log."


class FlowCheckFailedError(BuildError):
    """The image cannot run its flow: the reason, words and remedy are those of the check."""

    reason = "FlowCheckFailed"
    remedy = "Read the builder's log: it holds what the check said."

    def __init__(self, message: str, *, reason: str = "", remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        if reason:
            self.reason = reason


class BuilderDiskFullError(BuildError):
    """No space left where layers are made."""

    reason = "BuilderDiskFull"
    remedy = "Raise the builder's ephemeral-storage (it needs about three times the size of the dependencies)."


class BuilderFailedError(BuildError):
    """A bug of ours."""

    reason = "BuilderFailed"
    remedy = "Please report it with the log of the builder's pod."


@contextmanager
def disk_errors() -> Iterator[None]:
    """A full disk, wherever it is noticed, is one reason."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BuilderDiskFullError("The builder's disk is full.") from error
        raise
