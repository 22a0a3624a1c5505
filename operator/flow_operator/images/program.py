"""The program of the builder pod: a request in the environment, a report in the termination message."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from flow_operator.api.wire import BUILD_ENV, TERMINATION_LOG, BuildReport
from flow_operator.images.errors import BadRequestError, BuilderFailedError, BuildError
from flow_operator.images.progress import printed
from flow_operator.images.report import encoded, failure
from flow_operator.images.request import request_from
from flow_operator.images.select import builder_for

if TYPE_CHECKING:
    from flow_operator.images.build import Builder

TERMINATION_LOG_ENV = "FLOW_OPERATOR_TERMINATION_LOG"


def main(builder: Builder | None = None) -> int:
    """Build what the environment asks for; 0 with an image, 1 without."""
    report = attempt(builder)
    tell(report)
    return 0 if "image" in report else 1


def attempt(builder: Builder | None) -> BuildReport:
    """The report of a build, whatever became of it."""
    try:
        request = request_from(_text())
        return (builder or builder_for(request, progress=printed)).build(request)
    except BuildError as error:
        return failure(error)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug must be a report too
        traceback.print_exc()
        return failure(BuilderFailedError(f"The builder failed with {type(error).__name__}: {error}"))


def tell(report: BuildReport) -> None:
    """Print the outcome for people, write it for the operator."""
    printed(report.get("image") or f"{report['reason']}: {report['message']} {report['remedy']}")
    try:
        Path(os.environ.get(TERMINATION_LOG_ENV) or TERMINATION_LOG).write_bytes(encoded(report))
    except OSError as error:
        sys.stderr.write(f"The report could not be written: {error}\n{encoded(report).decode()}\n")


def _text() -> str:
    text = os.environ.get(BUILD_ENV)
    if not text:
        raise BadRequestError(f"{BUILD_ENV} is not set.", remedy="This program is started by flow-operator.")
    return text
