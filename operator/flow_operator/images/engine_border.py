"""The border to the docker SDK and to the words of an engine: what is foreign becomes an error of `errors.py`.

An engine speaks in sentences, its own and those of the registries it talks to. They are recognised here, and kept
in the message.
"""

from __future__ import annotations

import re
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING

import docker.errors
import requests.exceptions

from flow_operator.images.errors import (
    BadRequestError,
    BaseImageNotFoundError,
    BuilderFailedError,
    BuildError,
    EngineDiskFullError,
    EngineFailedError,
    EngineOutOfMemoryError,
    EngineTLSFailedError,
    EngineUnreachableError,
    ImageBuildFailedError,
    InvalidReferenceError,
    RegistryFailedError,
    RegistryForbiddenError,
    RegistryRateLimitedError,
    RegistryUnauthorizedError,
    RegistryUnreachableError,
)
from flow_operator.images.uv import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

# Every exception of docker.errors (a test counts them), and what it means to a person. The nearest base class wins.
MAPPING: dict[type[Exception], type[BuildError]] = {
    docker.errors.DockerException: EngineUnreachableError,
    docker.errors.APIError: EngineFailedError,
    docker.errors.NotFound: EngineFailedError,
    docker.errors.ImageNotFound: BaseImageNotFoundError,
    docker.errors.BuildError: ImageBuildFailedError,
    docker.errors.ContainerError: ImageBuildFailedError,
    docker.errors.ImageLoadError: EngineFailedError,
    docker.errors.StreamParseError: EngineFailedError,
    docker.errors.InvalidVersion: EngineFailedError,
    docker.errors.InvalidRepository: InvalidReferenceError,
    docker.errors.InvalidConfigFile: BadRequestError,
    docker.errors.TLSParameterError: EngineTLSFailedError,
    docker.errors.ContextException: EngineUnreachableError,
    docker.errors.ContextAlreadyExists: EngineUnreachableError,
    docker.errors.ContextNotFound: EngineUnreachableError,
    docker.errors.MissingContextParameter: EngineUnreachableError,
    docker.errors.InvalidArgument: BuilderFailedError,
    docker.errors.DeprecatedMethod: BuilderFailedError,
    docker.errors.NullResource: BuilderFailedError,
}

# The first words that are found name the failure; small letters. Order: causes before their consequences.
_OF_THE_ENGINE: tuple[tuple[type[BuildError], tuple[str, ...]], ...] = (
    (EngineDiskFullError, ("no space left on device", "disk quota exceeded")),
    (EngineOutOfMemoryError, ("out of memory", "cannot allocate memory")),
    (EngineTLSFailedError, ("client sent an http request to an https server",)),
)
_NO_TLS = ("x509:", "server gave http response to https client", "certificate", "tls: ")
_OF_A_REGISTRY: tuple[tuple[type[BuildError], tuple[str, ...]], ...] = (
    (RegistryRateLimitedError, ("toomanyrequests", "429 too many requests")),
    (BaseImageNotFoundError, ("manifest unknown", "no matching manifest", "repository does not exist", "not found")),
    (RegistryUnauthorizedError, ("unauthorized", "no basic auth credentials", "authentication required")),
    (RegistryForbiddenError, ("denied", "forbidden", "insufficient_scope")),
    (
        RegistryUnreachableError,
        (
            "connection refused",
            "no such host",
            "dial tcp",
            "timeout",
            "deadline exceeded",
            "network is unreachable",
            "connection reset",
            "broken pipe",
            "eof",
            "server misbehaving",
        ),
    ),
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # an engine shows standard error in red
# A connection that was ended by the other side.
_CUT = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_Kinds = type[BaseException] | tuple[type[BaseException], ...]
_TLS_REMEDY = (
    "The engine speaks to the registry, so it is the engine that must trust it: put the authority's certificate into "
    "/etc/docker/certs.d on its host, or name a registry without TLS in its insecure-registries."
)


@contextmanager
def engine_errors(engine: str, *, first_words: bool = False) -> Iterator[None]:
    """Turn the exceptions of docker, and of requests beneath it, into ours; they name the engine.

    `first_words` are those after a TLS handshake: an engine that does not accept our certificate ends them.
    """
    try:
        yield
    except tuple(MAPPING) as error:
        raise _of_docker(engine, error) from error
    except (requests.exceptions.RequestException, OSError) as error:
        if first_words and _cause(error, _CUT):
            raise EngineTLSFailedError(
                f"Docker engine {engine} ends the connection: it does not accept this builder's certificate."
            ) from error
        raise _of_connection(engine, error) from error


def _of_docker(engine: str, error: Exception) -> BuildError:
    words = plain(getattr(error, "explanation", None) or str(error))
    kind = next(MAPPING[cls] for cls in type(error).__mro__ if cls in MAPPING)
    found = kind_of(words, _OF_THE_ENGINE)
    if found or not isinstance(error, docker.errors.APIError):
        return (found or kind)(f"Docker engine {engine}: {words}.")
    if getattr(error.response, "status_code", 0) in (401, 403):
        return EngineUnreachableError(f"Docker engine {engine} refuses: {words}.", retryable=False)
    return kind(f"Docker engine {engine} answered: {words}.")


def _of_connection(engine: str, error: Exception) -> BuildError:
    tls = _cause(error, ssl.SSLError)
    if tls and not isinstance(tls, _CUT):
        return EngineTLSFailedError(f"Docker engine {engine} and this builder do not trust each other: {_ssl(tls)}.")
    if isinstance(error, requests.exceptions.Timeout):
        return EngineUnreachableError(f"Docker engine {engine} did not answer in time.")
    system = _cause(error, OSError, with_words=True)
    words = f": {getattr(system, 'strerror', '')}" if system else ""
    return EngineUnreachableError(f"Docker engine {engine} cannot be reached{words}.")


def _ssl(error: BaseException) -> str:
    reason = str(getattr(error, "reason", "") or error)
    said = getattr(error, "verify_message", "")
    return plain(f"{reason.replace('_', ' ').lower()}, {said}" if said else reason.replace("_", " ").lower())


def _cause(
    error: BaseException, kind: type[BaseException] | tuple[type[BaseException], ...], *, with_words: bool = False
) -> BaseException | None:
    """The first error of a kind among the causes and the arguments: urllib3 hides them in both."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, kind) and (not with_words or getattr(one, "strerror", None)):
            return one
        waiting += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
    return None


def registry_error(what: str, words: str) -> BuildError:
    """The error for what an engine says of a pull or push; `what` begins the sentence."""
    said = plain(words)
    message = f"{what}: {said}."
    of_engine = kind_of(said, _OF_THE_ENGINE)
    if of_engine:
        return of_engine(message)
    if any(sign in said.lower() for sign in _NO_TLS):
        return RegistryUnreachableError(message, remedy=_TLS_REMEDY, retryable=False)
    kind = kind_of(said, _OF_A_REGISTRY) or RegistryFailedError
    if issubclass(kind, RegistryUnreachableError):
        return kind(message, remedy="The engine speaks to the registry: check that its host reaches it.")
    return kind(message)


def step_error(what: str, words: str, code: int) -> BuildError:
    """The error for a step that ended with a code."""
    message = f"{what}: {plain(words)}" if plain(words) else f"{what}."
    kind = kind_of(words, _OF_THE_ENGINE)
    if kind:
        return kind(message)
    if code == 137:  # SIGKILL, which is how the kernel takes memory back
        return EngineOutOfMemoryError(message)
    return ImageBuildFailedError(message)


def kind_of(words: str, signs: tuple[tuple[type[BuildError], tuple[str, ...]], ...]) -> type[BuildError] | None:
    """The kind of failure that words speak of."""
    small = words.lower()
    return next((kind for kind, known in signs if any(sign in small for sign in known)), None)


def plain(words: str) -> str:
    """Words for a message: printable, on one line, without credentials, not too long, no full stop."""
    line = " ".join(without_secrets(_COLOURS.sub("", words)).split())
    line = "".join(character for character in line if character.isprintable())
    return (line if len(line) <= 600 else f"…{line[-600:]}").rstrip(". ")
