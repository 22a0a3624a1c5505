"""Options that commands share, in one place."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from . import completion_names
from .output import Screen

if TYPE_CHECKING:
    from collections.abc import Callable


UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Place:
    """Which cluster and namespace."""

    context: str | None = None
    namespace: str | None = None
    kubeconfig: str | None = None

    @property
    def flags(self) -> str:
        """The options that lead to the same place again, for commands we suggest."""
        named = (("--kubeconfig", self.kubeconfig), ("--context", self.context), ("-n", self.namespace))
        return "".join(f" {flag} {value}" for flag, value in named if value)


def in_cluster(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `place`: --context, --namespace and --kubeconfig."""

    @click.option("--context", metavar="NAME", help="Context of the kubeconfig. Default: the current one.")
    @click.option("-n", "--namespace", metavar="NAME", help="Default: that of the context.")
    @click.option("--kubeconfig", metavar="FILE", help="Default: $KUBECONFIG, else ~/.kube/config.")
    @functools.wraps(command)
    def with_place(context: str | None, namespace: str | None, kubeconfig: str | None, **rest: Any) -> Any:
        return command(place=Place(context, namespace, kubeconfig), **rest)

    return with_place


def with_output(*formats: str, default: str = "text") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command `screen`: -o, -q and --no-color."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        kinds = click.Choice(formats or ("text", "json", "yaml", "name"))

        @click.option("-o", "--output", type=kinds, default=default, show_default=True, help="How it is shown.")
        @click.option("-q", "--quiet", is_flag=True, help="Show the answer only, no progress and no hints.")
        @click.option("--no-color", is_flag=True, help="No colours; the same as a set $NO_COLOR.")
        @functools.wraps(command)
        def with_screen(output: str, quiet: bool, no_color: bool, **rest: Any) -> Any:
            return command(screen=Screen.of(output, quiet=quiet, no_color=no_color), **rest)

        return with_screen

    return decorate


class Duration(click.ParamType[float]):
    """Seconds, as 90, 90s, 5m or 1h30m."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it."""
        if isinstance(value, float):
            return value
        if re.fullmatch(r"0[0.smh]*", value):
            return self.fail(f"{value!r} is no time to wait: write 90s, 5m or 1h30m", param, ctx)
        if re.fullmatch(r"\d+(\.\d+)?", value):
            return float(value)
        if re.fullmatch(r"(\d+(\.\d+)?[smh])+", value):
            return sum(float(n) * UNITS[u] for n, u in re.findall(r"(\d+(?:\.\d+)?)([smh])", value))
        return self.fail(f"{value!r} is no duration: write 90s, 5m or 1h30m", param, ctx)


class Setting(click.ParamType[tuple[str, Any]]):
    """KEY=VALUE; the value is JSON where it reads as JSON, else text."""

    name = "k=v"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        """Read it."""
        if isinstance(value, tuple):
            return value
        key, sep, text = value.partition("=")
        if not sep or not key:
            return self.fail(f"{value!r} has no name and value: write n=10", param, ctx)
        return key, json_or_text(text)


def json_or_text(text: str) -> Any:
    """Return the value of a JSON text, or the text itself where it is none."""

    def no_number(_: str) -> Any:
        raise ValueError

    try:
        return json.loads(text, parse_constant=no_number)  # NaN and Infinity are Python's, not JSON's
    except ValueError:
        return text


def parameters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `parameters`: every -p, as a dict."""
    said = "Value of a parameter, JSON or text: -p n=10 -p name=Ada -p 'days=[1,2]'. Repeat it for more."

    @click.option("-p", "--parameter", "given", type=Setting(), multiple=True, metavar="KEY=VALUE", help=said)
    @functools.wraps(command)
    def with_parameters(given: tuple[tuple[str, Any], ...], **rest: Any) -> Any:
        twice = sorted({key for key, _ in given if [each for each, _ in given].count(key) > 1})
        if twice:
            raise click.UsageError(f"parameter {twice[0]!r} is given twice")
        return command(parameters=dict(given), **rest)

    return with_parameters


timeout = click.option(
    "--timeout",
    type=Duration(),
    metavar="DURATION",
    help="Longest wait, as 90s, 5m or 1h, never 0; then exit code 124.",
)


def watched(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command wait for the run it creates: --watch, --logs, --timeout."""
    watch = click.option("-w", "--watch", is_flag=True, help="Wait until it has ended, and show how it goes.")
    logs = click.option("--logs", is_flag=True, help="Watch, and show the logs of all its pods.")
    return watch(logs(timeout(command)))


def name_of(kind: str, **more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command `name`: of a FlowRun or FlowDeployment, completed from the cluster."""
    return click.argument("name", shell_complete=completion_names.names_of(kind), **more)
