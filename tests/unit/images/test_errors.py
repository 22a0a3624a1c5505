"""Foreign failures become ours, all of them, and name no secret."""

from __future__ import annotations

import errno
import inspect
import ssl

import docker.errors
import httpx
import pytest

from flow_operator.images import engine_border, errors
from flow_operator.images.border import MAPPING, registry_errors, status_error
from flow_operator.images.errors import (
    BuilderDiskFullError,
    BuildError,
    DependencyConflictError,
    DependencyFailedError,
    DependencyHasNoWheelError,
    DependencyNotFoundError,
    IndexUnreachableError,
    RegistryUnreachableError,
)
from flow_operator.images.uv import uv_error


def test_every_exception_of_httpx_is_mapped() -> None:
    exported = {getattr(httpx, name) for name in httpx.__all__}
    exceptions = {one for one in exported if inspect.isclass(one) and issubclass(one, Exception)}
    assert exceptions
    assert exceptions == set(MAPPING)


def test_every_exception_of_docker_is_mapped() -> None:
    classes = {one for _, one in inspect.getmembers(docker.errors, inspect.isclass) if issubclass(one, Exception)}
    assert classes
    assert classes == set(engine_border.MAPPING)


@pytest.mark.parametrize("kind", engine_border.MAPPING, ids=lambda kind: kind.__name__)
def test_an_exception_of_docker_names_the_engine_and_no_secret(kind: type[Exception]) -> None:
    made = kind.__new__(kind)
    made.args = ("https://user:secret@engine.test/?token=secret",)
    vars(made).update(msg=made.args[0], explanation=made.args[0], response=None)
    with (
        pytest.raises(BuildError, match=r"tcp://engine\.test") as caught,
        engine_border.engine_errors("tcp://engine.test"),
    ):
        raise made
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("kind", MAPPING, ids=lambda kind: kind.__name__)
def test_a_mapped_exception_names_the_registry_and_not_the_request(kind: type[Exception]) -> None:
    made = kind.__new__(kind)
    made.args = ("https://user:secret@registry.test/?token=secret",)
    with pytest.raises(BuildError, match=r"registry\.test") as caught, registry_errors("registry.test"):
        raise made
    assert "secret" not in caught.value.message


def test_a_certificate_nobody_trusts_is_not_tried_again() -> None:
    with pytest.raises(RegistryUnreachableError, match="certificate") as caught, registry_errors("registry.test"):
        raise httpx.ConnectError("tls") from ssl.SSLCertVerificationError("self-signed")
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("status", "reason", "retryable"),
    [
        (401, "RegistryUnauthorized", False),
        (403, "RegistryForbidden", False),
        (429, "RegistryRateLimited", True),
        (400, "RegistryFailed", False),
        (500, "RegistryFailed", True),
        (503, "RegistryFailed", True),
    ],
)
def test_a_status_has_a_reason(status: int, reason: str, retryable: bool) -> None:
    body = {"errors": [{"code": "DENIED", "message": "no\x1b[31m " + "x" * 500}]}
    error = status_error("registry.test", "take a blob", httpx.Response(status, json=body))
    assert (error.reason, error.retryable) == (reason, retryable)
    assert "DENIED, no[31m" in error.message
    assert len(error.message) < 300


def _all_errors(kind: type[BuildError] = BuildError) -> list[type[BuildError]]:
    return [one for sub in kind.__subclasses__() for one in (sub, *_all_errors(sub))]


def test_every_error_has_a_reason_of_its_own_and_is_drawn() -> None:
    final = [kind for kind in _all_errors() if "reason" in vars(kind)]
    assert len({kind.reason for kind in final}) == len(final) > 15
    for kind in final:
        assert kind.__name__ == f"{kind.reason}Error"
        assert kind.remedy.endswith(".")
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in _all_errors())


def test_a_full_disk_is_a_reason() -> None:
    with pytest.raises(BuilderDiskFullError), errors.disk_errors():
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(PermissionError), errors.disk_errors():
        raise PermissionError(errno.EACCES, "denied")


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Because x was not found in the package registry, we can conclude that", DependencyNotFoundError),
        ("Because there is no version of pandas==99.0 and you require it, we can conclude", DependencyNotFoundError),
        ("Because numpy==1.20.0 has no usable wheels, we can conclude that", DependencyHasNoWheelError),
        ("Because x has no wheels with a matching platform tag, we can conclude that", DependencyHasNoWheelError),
        ("Because you require dask==1 and dask==2, we can conclude that your", DependencyConflictError),
        ("Request failed after 1 retry cause: Failed to fetch: http://index.test/", IndexUnreachableError),
        ("Failed to extract archive: x.whl cause: No space left on device (os error 28)", BuilderDiskFullError),
        ("something new", DependencyFailedError),
    ],
)  # fmt: skip
def test_what_uv_says_is_understood(words: str, kind: type[BuildError]) -> None:
    assert type(uv_error(f"error: {words}")) is kind


def test_credentials_of_an_index_stay_secret() -> None:
    error = uv_error("error: Failed to fetch: `https://user:secret@index.test/simple/?token=secret`\n  cause: x")
    assert error.message == "Failed to fetch: `https://index.test/simple/` cause: x"
