"""The border to httpx and to HTTP status codes: what is foreign becomes an error of `errors.py`, here only."""

from __future__ import annotations

import json
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from flow_operator.images.errors import (
    BuilderFailedError,
    BuildError,
    RegistryError,
    RegistryFailedError,
    RegistryForbiddenError,
    RegistryRateLimitedError,
    RegistryUnauthorizedError,
    RegistryUnreachableError,
)
from flow_operator.images.retries import retry_after

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNREACHABLE = RegistryUnreachableError
_FAILED = RegistryFailedError

# Every exception httpx exports (a test counts them), and what it means to a person. The nearest base class wins.
MAPPING: dict[type[Exception], tuple[type[BuildError], str]] = {
    httpx.HTTPError: (_FAILED, "did not answer as a registry does"),
    httpx.RequestError: (_UNREACHABLE, "cannot be reached"),
    httpx.TransportError: (_UNREACHABLE, "cannot be reached"),
    httpx.TimeoutException: (_UNREACHABLE, "did not answer in time"),
    httpx.ConnectTimeout: (_UNREACHABLE, "did not accept a connection in time"),
    httpx.ReadTimeout: (_UNREACHABLE, "did not answer in time"),
    httpx.WriteTimeout: (_UNREACHABLE, "did not take what was sent in time"),
    httpx.PoolTimeout: (_UNREACHABLE, "kept every connection busy"),
    httpx.NetworkError: (_UNREACHABLE, "cannot be reached"),
    httpx.ConnectError: (_UNREACHABLE, "cannot be reached"),
    httpx.ReadError: (_UNREACHABLE, "dropped the connection"),
    httpx.WriteError: (_UNREACHABLE, "dropped the connection"),
    httpx.CloseError: (_UNREACHABLE, "dropped the connection"),
    httpx.ProtocolError: (_UNREACHABLE, "does not speak HTTP as expected"),
    httpx.LocalProtocolError: (_FAILED, "wants a request that is not valid HTTP"),
    httpx.RemoteProtocolError: (_UNREACHABLE, "dropped the connection"),
    httpx.ProxyError: (_UNREACHABLE, "cannot be reached through the proxy"),
    httpx.UnsupportedProtocol: (_FAILED, "names a URL that is neither http nor https"),
    httpx.DecodingError: (_FAILED, "sent an answer that cannot be decoded"),
    httpx.TooManyRedirects: (_FAILED, "redirects in a circle"),
    httpx.HTTPStatusError: (_FAILED, "did not answer as a registry does"),
    httpx.InvalidURL: (_FAILED, "sent a URL that is none"),
    httpx.CookieConflict: (_FAILED, "sent cookies that contradict each other"),
    httpx.StreamError: (BuilderFailedError, "was sent a body wrongly"),
    httpx.StreamConsumed: (BuilderFailedError, "was sent a body twice"),
    httpx.StreamClosed: (BuilderFailedError, "was read after its answer was closed"),
    httpx.ResponseNotRead: (BuilderFailedError, "was not read"),
    httpx.RequestNotRead: (BuilderFailedError, "was not sent its body"),
}

_TLS_REMEDY = (
    "Name the file of its authority as `ca` in the registries setting, or in SSL_CERT_FILE; `insecure` there trusts "
    "any certificate; a registry without TLS needs an http:// endpoint."
)


@contextmanager
def registry_errors(registry: str) -> Iterator[None]:
    """Turn httpx's exceptions into ours, naming the registry and nothing of the request."""
    try:
        yield
    except tuple(MAPPING) as error:
        raise _translated(registry, error) from error


def _translated(registry: str, error: Exception) -> BuildError:
    if _is_tls(error):
        return RegistryUnreachableError(
            f"Registry {registry} has no certificate this builder trusts, or speaks no TLS.",
            remedy=_TLS_REMEDY,
            retryable=False,
        )
    kind, what = next(MAPPING[cls] for cls in type(error).__mro__ if cls in MAPPING)
    made = kind(f"Registry {registry} {what}{_system_words(error)}.")
    if isinstance(made, RegistryError):
        made.silent = isinstance(error, httpx.TimeoutException)
    return made


def _system_words(error: BaseException | None) -> str:
    """The operating system's own reason: `: Connection refused`, `: Name or service not known`."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return f": {error.strerror}"
        error = error.__cause__ or error.__context__
    return ""


def _is_tls(error: BaseException | None) -> bool:
    """Whether TLS itself failed; a connection cut in the middle of the handshake is only a cut connection."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        error = error.__cause__ or error.__context__
    return False


def status_error(registry: str, what: str, response: httpx.Response) -> RegistryError:
    """The error for an answer that is not the one hoped for; `what` completes 'would not …'."""
    status = response.status_code
    message = f"Registry {registry} would not {what} ({status}{_own_words(response)})."
    match status:
        case 401:
            return RegistryUnauthorizedError(message)
        case 403:
            return RegistryForbiddenError(message)
        case 429:
            error = RegistryRateLimitedError(message)
            error.retry_after = retry_after(response.headers.get("Retry-After"))
            return error
        case 503:
            unavailable = RegistryFailedError(message)
            unavailable.retry_after = retry_after(response.headers.get("Retry-After"))
            return unavailable
    return RegistryFailedError(message, retryable=status >= 500 or status == 408)


def _own_words(response: httpx.Response) -> str:
    """The registry's first error, shortened: `: DENIED, requested access is denied`."""
    try:
        first = json.loads(response.content)["errors"][0]
        words = ", ".join(str(first[key]) for key in ("code", "message") if first.get(key))
    except (ValueError, LookupError, TypeError, AttributeError, httpx.StreamError):
        return ""
    printable = "".join(character for character in words if character.isprintable())
    return f": {printable[:160]}" if printable else ""
