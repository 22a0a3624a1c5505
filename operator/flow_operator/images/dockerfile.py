"""The Dockerfiles of a build, as text. Pure functions.

    prepared    base, pip's own upgrade, the extra commands            (only where there are commands)
    finished    prepared, runtime, dependencies, files, variables, labels

and a third that keeps the runtime in the engine, for all builds that need the same.

What a user wrote never becomes Dockerfile syntax: commands are JSON, values of variables and labels are build
arguments (which travel as JSON beside the text), files are tars with names of ours. So blanks, quotes, `$`, `#` and
newlines arrive as they were.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flow_operator.api.wire import DEPS_DIR, LIB_DIR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# Our own things, in stages that are not kept or until the stage's end: TOOLS do not change from build to build.
BUILD_DIR = "/opt/flow-operator/build"
TOOLS, PACKAGES = "tools", "packages"  # folders of the context
SHELL = ("/bin/sh", "-c")

_VALUE = "FLOW_OPERATOR_VALUE_"
_SALT = "FLOW_OPERATOR_SALT"

# Where there is no pip yet (a command may install Python), there is none to upgrade.
_UPGRADE_PIP = "if python3 -m pip --version >/dev/null 2>&1; then python3 -m pip install --quiet --upgrade pip; fi"
# What cannot be compiled (templates) is left as it is; on a read-only root nobody could do it later.
_COMPILE = (
    "import compileall, py_compile, re; "
    f"compileall.compile_dir({LIB_DIR!r}, quiet=2, workers=0, rx=re.compile('/tests/'), "
    "invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)"
)


@dataclass(frozen=True)
class Step:
    """One instruction, and what it is for."""

    kind: str  # "", "pip", "command", "dependencies"
    text: str


@dataclass(frozen=True)
class Dockerfile:
    """A Dockerfile and the arguments it is built with."""

    steps: tuple[Step, ...]
    arguments: Mapping[str, str]

    @property
    def text(self) -> str:
        """What the engine reads."""
        return "".join(f"{step.text}\n" for step in self.steps)

    def step(self, number: int) -> Step:
        """The step the engine calls by this number, which starts with 1: arguments are steps too."""
        return self.steps[number - 1] if 0 < number <= len(self.steps) else Step("", "")


def prepared(
    base: str, user: str, commands: Sequence[str], settings: Mapping[str, str], shell: Sequence[str] = SHELL
) -> Dockerfile:
    """The base after the extra commands, as root; they see how packages and certificates are reached from here."""
    steps = [
        Step("", f"FROM {base}"),
        *_as_root(user),
        *_arguments(settings),
        Step("", f"COPY {TOOLS} {BUILD_DIR}/{TOOLS}"),
        Step("pip", _run([*SHELL, _UPGRADE_PIP])),
        *(Step("command", _run([*shell, command])) for command in commands),
        Step("", _run([*SHELL, f"rm -rf {BUILD_DIR}"])),
        *([Step("", f"USER {_quoted(user)}")] if user else []),
    ]
    return Dockerfile(tuple(steps), dict(settings))


@dataclass(frozen=True)
class Content:
    """What is put on a prepared base."""

    runtime: str  # the image that holds it, where the base lacks it
    dependencies: bool  # a stage of its own installs them; of it only DEPS_DIR is kept
    files: tuple[str, ...]  # tars in the context, what changes most often last
    variables: Mapping[str, str]
    labels: Mapping[str, str]
    salt: str = ""  # another one installs the dependencies again


def finished(base: str, user: str, content: Content, settings: Mapping[str, str]) -> Dockerfile:
    """The flow's image. Its user is still the base's."""
    named = {f"{_VALUE}{number}": value for number, value in enumerate(_values(content))}
    steps = [
        *(_dependencies(base, user, settings) if content.dependencies else []),
        Step("", f"FROM {base}"),
        *([Step("", f"COPY --from={content.runtime} {LIB_DIR} {LIB_DIR}")] if content.runtime else []),
        *([Step("", f"COPY --from=dependencies {DEPS_DIR} {DEPS_DIR}")] if content.dependencies else []),
        *(Step("", f"ADD {name} /") for name in content.files),
        *_arguments(named),
        *_assigned(content, list(named)),
    ]
    stage = {**settings, _SALT: content.salt} if content.dependencies else {}
    return Dockerfile(tuple(steps), {**stage, **named})


def runtime_alone(base: str, user: str) -> Dockerfile:
    """An image of nothing but the runtime, with bytecode of the base's very Python."""
    steps = [
        Step("", f"FROM {base} AS compiled"),
        *_as_root(user),
        Step("", "ADD runtime.tar.gz /"),
        Step("bytecode", _run(["python3", "-c", _COMPILE])),
        Step("", "FROM scratch"),
        Step("", f"COPY --from=compiled {LIB_DIR} {LIB_DIR}"),
    ]
    return Dockerfile(tuple(steps), {})


def _dependencies(base: str, user: str, settings: Mapping[str, str]) -> list[Step]:
    program = f"{BUILD_DIR}/{TOOLS}/install.py"
    return [
        Step("", f"FROM {base} AS dependencies"),
        *_as_root(user),
        *_arguments(settings),
        Step("", f"COPY {TOOLS} {BUILD_DIR}/{TOOLS}"),
        Step("dependencies", _run(["python3", program, "upgrade"])),
        Step("", f"COPY {PACKAGES} {BUILD_DIR}/{PACKAGES}"),
        *_arguments([_SALT]),
        Step("dependencies", _run(["python3", program, f"{BUILD_DIR}/{PACKAGES}"])),
    ]


def _values(content: Content) -> list[str]:
    return [*content.variables.values(), *content.labels.values()]


def _assigned(content: Content, names: Sequence[str]) -> list[Step]:
    """ENV and LABEL, one line each; their values are replaced from arguments and not looked into again."""
    variables, labels = names[: len(content.variables)], names[len(content.variables) :]
    return [*_pairs("ENV", content.variables, variables), *_pairs("LABEL", content.labels, labels)]


def _pairs(instruction: str, keys: Iterable[str], names: Sequence[str]) -> list[Step]:
    pairs = " ".join(f'{key}="${{{name}}}"' for key, name in zip(keys, names, strict=True))
    return [Step("", f"{instruction} {pairs}")] if pairs else []


def _arguments(names: Iterable[str]) -> list[Step]:
    line = " ".join(names)
    return [Step("", f"ARG {line}")] if line else []


def _as_root(user: str) -> list[Step]:
    """Nothing where the base has no user: it is root already, and stays unset."""
    return [Step("", "USER 0")] if user else []


def _run(command: Sequence[str]) -> str:
    """A command as JSON, which no parser of Dockerfiles looks into; `<` not even for here-documents."""
    return "RUN " + json.dumps(list(command)).replace("<", "\\u003c")


def _quoted(text: str) -> str:
    """A word in which nothing is replaced."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'
