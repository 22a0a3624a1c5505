"""What the API server may answer, in our words; foreign exceptions stop here.

KubeError
├── NotFound         404: the object or its kind is not there
├── Conflict         409: it is there already, or somebody wrote first
├── Refused          403, 422: admission, quota, Pod Security or validation said no; a person must act
├── Expired          410: the version asked for is too old
└── Unavailable      429, 5xx, or no answer: try again later
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp
from kubernetes.aio.client.exceptions import ApiException

if TYPE_CHECKING:
    from collections.abc import Iterator


class KubeError(Exception):
    """The API server did not do what was asked."""


class NotFound(KubeError):
    """The object or its kind is not there."""


class Conflict(KubeError):
    """It is there already, or somebody wrote first."""


class Refused(KubeError):
    """Admission, quota, Pod Security, RBAC or validation said no."""


class Expired(KubeError):
    """The version asked for is too old: list again."""


class Unavailable(KubeError):
    """Too busy, broken, or out of reach: try again later."""


BY_STATUS: dict[int, type[KubeError]] = {
    400: Refused,
    401: Unavailable,  # the token is being rotated
    403: Refused,
    404: NotFound,
    405: NotFound,
    409: Conflict,
    410: Expired,
    422: Refused,
    429: Unavailable,
}


def of_status(status: int, body: str) -> KubeError:
    """Return the exception for an answer."""
    return BY_STATUS.get(status, Unavailable)(_message(status, body))


def _message(status: int, body: str) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}: {body[:300]}"


@contextmanager
def mapped() -> Iterator[None]:
    """Turn whatever the client raises into a KubeError."""
    try:
        yield
    except ApiException as error:
        raise of_status(error.status or 0, str(error.body or error.reason)) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unavailable(f"{type(error).__name__}: {error}") from error
