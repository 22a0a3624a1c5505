"""Where botocore's exceptions stop: each becomes a reason, a sentence that names the thing, and a remedy."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flow_operator.flow.errors import EnvironmentFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

_SECRET = "Correct the Secret that spec.environment.fargateTask.credentialsSecret names, or the role of the pod."  # noqa: S105 - a sentence
_OPTIONS = "Correct the options of the environment: registerOptions and runOptions."
_REMEDIES = {
    "AccessDenied": "Allow it in the IAM policy of whose credentials these are; docs/environment-fargate.md has the "
    "list of actions.",
    "UnrecognizedClient": _SECRET,
    "InvalidSignature": _SECRET,
    "SignatureDoesNotMatch": _SECRET,
    "InvalidClientTokenId": _SECRET,
    "IncompleteSignature": _SECRET,
    "MissingAuthenticationToken": _SECRET,
    "ExpiredToken": "Temporary credentials have expired: renew them in the Secret, or use a role.",
    "RequestExpired": "The clock of the node is wrong, or temporary credentials have expired.",
    "ClusterNotFound": "Create the cluster, or correct cluster in runOptions and the region.",
    "ClientException": _OPTIONS,
    "InvalidParameter": _OPTIONS,
    "PlatformUnknown": "Correct platformVersion in runOptions.",
    "UnsupportedFeature": _OPTIONS,
}

# What may be over the next time it is tried.
_PASSING = frozenset(
    {
        "Internal",
        "InternalFailure",
        "InternalServerError",
        "LimitExceeded",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestTimeout",
        "Server",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
    }
)


class Passing(EnvironmentFailed):
    """AWS did not answer, or not now."""


@contextmanager
def border(action: str) -> Iterator[None]:
    """Turn what botocore raises into what a person can act on.

    Args:
        action: what was asked, for the message: "ecs:RunTask in cluster 'flows'".
    """
    from botocore import exceptions

    try:
        yield
    except exceptions.ClientError as error:
        raise _of_answer(action, error) from error
    except exceptions.ParamValidationError as error:
        said = " ".join(str(error).split())
        raise EnvironmentFailed("AwsRefused", f"{action} was not sent: {said}", remedy=_OPTIONS) from error
    except (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.CredentialRetrievalError,
    ) as e:
        said = f"{action} was not sent: there are no credentials of AWS ({_clean(str(e))})."
        remedy = (
            "Name a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in "
            "spec.environment.fargateTask.credentialsSecret, or give the pod a role by its service account."
        )
        raise EnvironmentFailed("AwsRefused", said, remedy=remedy) from e
    except exceptions.NoRegionError as error:
        remedy = "Set spec.environment.fargateTask.region, or AWS_REGION in the Secret."
        raise EnvironmentFailed("AwsRefused", "No region of AWS is known.", remedy=remedy) from error
    except exceptions.HTTPClientError as error:  # connections, time-outs, TLS, proxies
        remedy = "Check network policies, the region and endpointURL; a private subnet needs a VPC endpoint of ECS."
        raise Passing("AwsUnreachable", f"{action} got no answer: {_clean(str(error))}", remedy=remedy) from error
    except exceptions.BotoCoreError as error:
        raise EnvironmentFailed("AwsRefused", f"{action} failed: {_clean(str(error))}", remedy=_OPTIONS) from error


def _of_answer(action: str, error: Any) -> EnvironmentFailed:
    answer = error.response.get("Error") or {}
    code = str(answer.get("Code", ""))
    status = (error.response.get("ResponseMetadata") or {}).get("HTTPStatusCode", 0)
    word = code.rpartition("#")[2].removesuffix("Exception").removesuffix("Error")
    said = _clean(str(answer.get("Message") or "no message"))
    if word in _PASSING or code in _PASSING or status in (429, 500, 502, 503, 504):
        remedy = "Nothing, if it is over; else look at AWS' health page and the account's quotas."
        return Passing("AwsUnreachable", f"{action} was put off by AWS: {code or status}: {said}", remedy=remedy)
    remedy = _REMEDIES.get(word) or _REMEDIES.get(code) or "Read the message; it has AWS' own words."
    return EnvironmentFailed("AwsRefused", f"{action} was refused by AWS: {code}: {said}", remedy=remedy)


def _clean(text: str) -> str:
    """One line of at most 600 characters, without this process' credentials."""
    text = " ".join(re.sub(r"<[^>]*>", " ", text).split())
    for name in CREDENTIALS:
        if value := os.environ.get(name):
            text = text.replace(value, "***")
    return text[:600]
