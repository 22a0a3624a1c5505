"""What the API server may answer, in our words; foreign exceptions stop here.

KubeError
├── NotFound         404: the object is not there
│   └── NoSuchKind   404: its kind is not there, the CRDs are not installed
├── Conflict         409: it is there already, or somebody wrote first
├── Refused          400, 422: validation said no; a person must act
│   ├── Forbidden    403: RBAC, admission, quota or Pod Security said no
│   └── Unadmitted   500: an admission webhook does not answer
├── Expired          410: the version asked for is too old
├── Unavailable      429, 5xx, or no answer: try again later
│   └── Unauthorized 401: the credential is not accepted (or is being rotated)
└── NotConfigured    there is no usable kubeconfig: nothing was asked
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from kubernetes.aio.client.exceptions import ApiException

if TYPE_CHECKING:
    from collections.abc import Iterator


class KubeError(Exception):
    """The API server did not do what was asked."""


class NotFound(KubeError):
    """The object or its kind is not there."""


class NoSuchKind(NotFound):
    """The server does not know the kind."""


class Conflict(KubeError):
    """It is there already, or somebody wrote first."""


class Refused(KubeError):
    """Admission, quota, Pod Security, RBAC or validation said no."""


class Forbidden(Refused):
    """RBAC, admission, quota or Pod Security said no."""


class Unadmitted(Refused):
    """An admission webhook does not answer. The server calls it an internal error; a person must act all the same."""


class Expired(KubeError):
    """The version asked for is too old: list again."""


class Unavailable(KubeError):
    """Too busy, broken, or out of reach: try again later."""


class Unauthorized(Unavailable):
    """The credential is not accepted, or is being rotated."""


class NotConfigured(KubeError):
    """There is no kubeconfig that says where the cluster is and who asks."""


BY_STATUS: dict[int, type[KubeError]] = {
    400: Refused,
    401: Unauthorized,  # the token is being rotated
    403: Forbidden,
    404: NotFound,
    405: NotFound,
    409: Conflict,
    410: Expired,
    422: Refused,
    429: Unavailable,
}


def of_status(status: int, body: str) -> KubeError:
    """Return the exception for an answer."""
    said = _status(body)
    message = str(said.get("message") or f"HTTP {status}: {body[:300].strip()}")
    if status == 404 and not (said.get("details") or {}).get("name"):  # of an object, the server says its name
        return NoSuchKind(message)
    if status == 500 and "failed calling webhook" in message:
        return Unadmitted(message)
    return BY_STATUS.get(status, Unavailable)(message)


def _status(body: str) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


@contextmanager
def mapped() -> Iterator[None]:
    """Turn whatever the client raises into a KubeError."""
    try:
        yield
    except ApiException as error:
        raise of_status(error.status or 0, str(error.body or error.reason)) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unavailable(f"{type(error).__name__}: {error}") from error
