"""When what failed is tried again."""

from __future__ import annotations

import pytest

from flow_operator.plan import healing

SOON, LATER = [10, 20, 40, 80, 160, 300, 300], [30, 60, 120, 240, 480, 600, 600]


@pytest.mark.parametrize(
    ("reason", "retryable", "pauses"),
    [
        ("RegistryUnreachable", True, SOON),
        ("RegistryRateLimited", True, SOON),
        ("IndexUnreachable", True, SOON),
        ("EngineUnreachable", True, SOON),
        ("SourceChanged", True, SOON),
        ("Killed", True, SOON),
        ("Evicted", True, SOON),
        ("RegistryUnauthorized", False, LATER),
        ("RegistryForbidden", False, LATER),
        ("RegistryUnreachable", False, LATER),  # a certificate that is not trusted
        ("BaseImageNotFound", False, LATER),
        ("BaseImageHasNoPython", False, LATER),
        ("DependencyNotFound", False, LATER),
        ("DependencyHasNoWheel", False, LATER),
        ("PushSecretMissing", False, LATER),
        ("PushSecretMalformed", False, LATER),
        ("BuilderDiskFull", False, LATER),
        ("OutOfMemory", True, LATER),
        ("DeadlineExceeded", True, LATER),
        ("BadRequest", False, None),
        ("InvalidReference", False, None),
        ("BadSettings", False, LATER),  # an administrator mends it, and no input of the build changes
        ("DependencyConflict", False, LATER),  # a new release of a package may end it
    ],
)
def test_after_a_build(reason: str, retryable: bool, pauses: list[float] | None) -> None:
    for attempt in range(1, 8):
        expected = None if pauses is None else pauses[attempt - 1]
        assert healing.pause_after_build(reason, {"retryable": retryable}, attempt) == expected


@pytest.mark.parametrize(
    ("reason", "error", "outside", "pause"),
    [
        ("ImportFailed", "ModuleNotFoundError", False, None),
        ("ImportFailed", "SyntaxError", False, None),
        ("ImportFailed", "ModuleNotFoundError", True, 30),  # a volume may bring the module
        ("ImportFailed", "ConnectionError", False, 30),  # it asks somebody while it is imported
        ("ImportFailed", "KeyError", True, 30),  # a variable from a Secret
        ("NoSuchFlow", "", False, None),
        ("NoSuchFlow", "", True, 30),
        ("FlowInvalid", "", False, None),
        ("UnpicklingFailed", "ValueError", False, None),
        ("EnvironmentDependencyMissing", "", False, None),
    ],
)
def test_after_a_check(reason: str, error: str, outside: bool, pause: float | None) -> None:
    report = {"reason": reason, "error": {"type": error}}
    assert healing.pause_after_check(reason, report, 1, outside=outside) == pause


def test_after_a_check_that_said_nothing() -> None:
    assert healing.pause_after_check("Killed", {}, 1, outside=False) == 10
    assert healing.pause_after_check("OutOfMemory", {}, 1, outside=False) == 30


def test_the_pause_stays_a_number_after_a_year() -> None:
    assert healing.pause(100_000, transient=True) == 300
