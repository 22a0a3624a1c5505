"""What the API server answers, and what we call it."""

from __future__ import annotations

import json

import pytest

from flow_operator.kube import errors

WEBHOOK = 'Internal error occurred: failed calling webhook "policy.example.com": service "nobody" not found'


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (403, "forbidden: exceeded quota", errors.Forbidden),
        (422, "is invalid", errors.Refused),
        (429, "too many requests", errors.Unavailable),
        (500, "Internal error occurred: etcdserver: leader changed", errors.Unavailable),
        (500, WEBHOOK, errors.Unadmitted),
        (503, "the server is shutting down", errors.Unavailable),
    ],
)
def test_an_answer_is_an_error_of_ours(status: int, message: str, kind: type[errors.KubeError]) -> None:
    error = errors.of_status(status, json.dumps({"kind": "Status", "message": message, "code": status}))
    assert type(error) is kind
    assert str(error) == message


def test_a_webhook_that_does_not_answer_refuses() -> None:
    assert issubclass(errors.Unadmitted, errors.Refused)
