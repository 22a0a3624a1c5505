"""What a command ends with when it cannot do what was asked: one line what, one line remedy, and an exit code."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

OK = 0
FAILED = 1  # the run or the deployment failed
USAGE = 2  # there is no such option, file, name or parameter
UNREACHABLE = 3  # no cluster, no right to ask it, or it does not know our kinds
TIMEOUT = 124  # what was waited for did not come in time, as timeout(1) says it
INTERRUPTED = 130


class Trouble(Exception):
    """The command cannot do what was asked, for a reason a person can understand."""

    def __init__(self, message: str, remedy: str = "", code: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.code = code


def of(error: Exception) -> Trouble | None:
    """Return the trouble an exception means to a person; None where it is a bug of ours."""
    if isinstance(error, Trouble):
        return error
    return _of_kubernetes(error) or _of_kubernetes(error.__cause__) or _with_remedy(error)


def _of_kubernetes(error: BaseException | None) -> Trouble | None:
    from ...kube import errors

    said = str(error)
    match error:
        case errors.NotConfigured():
            return Trouble(_sentence(said), "Name one with --kubeconfig or $KUBECONFIG, and --context.", UNREACHABLE)
        case errors.Unauthorized():
            return Trouble(f"The cluster does not accept your credential: {said}", "Log in again.", UNREACHABLE)
        case errors.Unavailable():
            remedy = "Check --context and the network: kubectl cluster-info"
            return Trouble(f"The cluster does not answer: {said}", remedy, UNREACHABLE)
        case errors.NoSuchKind():
            remedy = "Install the chart flow-operator, or look at another cluster with --context."
            return Trouble("The cluster does not know flows: their CRDs are not installed.", remedy, UNREACHABLE)
        case errors.Forbidden() if " cannot " in said:
            remedy = "Ask for a role that allows it, or name another namespace with -n."
            return Trouble(f"You may not do this: {said}", remedy, UNREACHABLE)
        case errors.Refused():
            return Trouble(f"The cluster refused it: {said}", "Correct what it names.", FAILED)
        case errors.NotFound():
            return Trouble(_sentence(said), "Check the name and the namespace: kubectl flow status", USAGE)
        case errors.Conflict():
            remedy = "Somebody else manages it, Git perhaps: change it there, with what kubectl flow render prints."
            return Trouble(_sentence(said), remedy, FAILED)
        case errors.KubeError():
            return Trouble(_sentence(said), "Try again.", FAILED)
    return None


def _with_remedy(error: Exception) -> Trouble | None:
    """An exception of ours, from any room: it says what, and what to do."""
    from ...api.errors import FlowOperatorError

    if not isinstance(error, FlowOperatorError):
        return None
    code = USAGE if isinstance(error, ValueError) else FAILED
    return Trouble(error.message, error.remedy, TIMEOUT if getattr(error, "reason", "") == "Timeout" else code)


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a remedy for a name that is not there, by the names that are."""
    there = sorted(set(known))
    close = difflib.get_close_matches(name, there, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    if there:
        return f"There are: {', '.join(there[:10])}{', …' if len(there) > 10 else ''}."
    return ""
