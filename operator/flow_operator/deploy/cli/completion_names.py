"""Names of objects for the shell's completion: asked of kubectl, which answers in a tenth of our client's start."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import click

PATIENCE = 2.0  # seconds; a shell that hangs is worse than one that does not complete
KINDS = {
    "run": "flowruns.flow-operator.io",
    "deployment": "flowdeployments.flow-operator.io",
    "any": "flowruns.flow-operator.io,flowdeployments.flow-operator.io",
}


def names_of(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return click's callback for names of a kind."""

    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        place = {key: context.params.get(key) for key in ("context", "namespace", "kubeconfig")}
        flags = [f"--{key}={value}" for key, value in place.items() if value]
        return [each for each in _ask(KINDS[kind], flags) if each.startswith(incomplete)]

    return complete


def _ask(kinds: str, flags: list[str]) -> list[str]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        return []
    command = [kubectl, "get", kinds, "-o", "name", f"--request-timeout={PATIENCE:g}s", *flags]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return sorted({line.rpartition("/")[2] for line in done.stdout.split()})
