"""Lock files that users bring: told by what is in them, checked line by line, and never resolved again.

Two kinds are read: a requirements file in which every line has one version and its hashes (of `uv pip compile
--generate-hashes`, `uv export`, `pip-compile --generate-hashes`, `poetry export`, `pdm export`), and a `uv.lock`.
The latter holds a graph with markers; uv itself turns it into lines, without resolving.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from flow_operator.images.errors import DependencyHasNoWheelError, InvalidLockError
from flow_operator.images.requirements import Lock, Pin, is_wheel_url

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from flow_operator.images.uv import Target, Uv

_COMMENT = re.compile(r"\s#.*")
_GOES_ON = "\\"
_OPTION = re.compile(r"\s+--(?=[a-z])")
_HASH = re.compile(r"hash[= ](sha256|sha384|sha512):([0-9a-f]{64,128})")
_EXACT = re.compile(r"===?[^*,;\s]+")


@dataclass(frozen=True)
class LockFile:
    """A lock as it was brought."""

    name: str  # what its owner calls it
    text: str


def read_lock(file: LockFile, uv: Uv, target: Target) -> Lock:
    """The packages a lock names for a target."""
    document = _document(file)
    if document is None:
        lock = _lines(file.name, file.text)
    elif isinstance(document.get("package"), list) and isinstance(document.get("version"), int):
        lock = _uv_lock(file, document, uv, target)
    else:
        raise InvalidLockError(f"{file.name} is neither a requirements file nor a uv.lock.")
    return _for_target(file, lock, target)


def _document(file: LockFile) -> dict[str, Any] | None:
    """The TOML document of a file, None where it is lines."""
    try:
        return tomllib.loads(file.text) or None
    except tomllib.TOMLDecodeError as error:
        if "[[package]]" in file.text:
            raise InvalidLockError(f"{file.name} is no valid TOML: {error}.") from None
        return None


def _for_target(file: LockFile, lock: Lock, target: Target) -> Lock:
    pins = lock.on(target.python, target.machine)
    names = [pin.name for pin in pins.pins]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InvalidLockError(f"{file.name} has {twice[0]} more than once for Python {target.python}.")
    if not lock.pins:
        raise InvalidLockError(f"{file.name} names no package.")
    return pins


# ---- lines


def _lines(name: str, text: str) -> Lock:
    pins = (_pin(f"{name}, line {number}", line) for number, line in _logical_lines(text))
    return Lock(tuple(sorted(pins, key=str)))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, without comments; one that ends in a backslash goes on in the next."""
    begun, number = "", 0
    for here, raw in enumerate(text.splitlines(), 1):
        if raw.lstrip().startswith("#"):
            continue
        line = _COMMENT.sub("", raw).strip()
        number = number if begun else here
        begun = f"{begun} {line.removesuffix(_GOES_ON).strip()}".strip()
        if begun and not line.endswith(_GOES_ON):
            yield number, begun
            begun = ""
    if begun:
        yield number, begun


def _pin(where: str, line: str) -> Pin:
    words, *options = _OPTION.split(line)
    if words.startswith("-"):
        raise _unread(where, words)
    hashes = tuple(sorted(_hash(where, option) for option in options))
    try:
        requirement = Requirement(words)
    except InvalidRequirement as error:
        raise InvalidLockError(f"{where} is no requirement: {_first_line(error)}.") from None
    if requirement.url and not is_wheel_url(requirement.url):
        raise DependencyHasNoWheelError(
            f"{where} has {requirement.name} from a URL, and not that of a wheel, by https."
        )
    if not requirement.url and not _EXACT.fullmatch(str(requirement.specifier)):
        raise InvalidLockError(f"{where} has {requirement.name} without one version (==).")
    if not hashes:
        raise InvalidLockError(f"{where} has {requirement.name} without a hash.")
    return Pin(requirement, hashes)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _hash(where: str, option: str) -> str:
    match = _HASH.fullmatch(option.strip())
    if match:
        return f"{match.group(1)}:{match.group(2)}"
    if option.startswith("hash"):
        raise InvalidLockError(f"{where} has a hash that is not sha256, sha384 or sha512 in hexadecimal digits.")
    raise _unread(where, f"--{option}")


def _unread(where: str, option: str) -> InvalidLockError:
    word = re.split(r"[\s=]", option)[0]  # its value may hold a credential
    return InvalidLockError(f"{where} has the option {word}; of options only --hash is read.")


# ---- uv.lock


def _uv_lock(file: LockFile, document: dict[str, Any], uv: Uv, target: Target) -> Lock:
    packages = [package for package in document["package"] if isinstance(package, dict)]
    roots = [str(package.get("name")) for package in packages if _place(package)[1] == "."]
    if len(roots) != 1:
        raise InvalidLockError(
            f"{file.name} does not say which project it is for: {len(roots)} of its packages have the source '.'.",
            remedy="Bring its lines instead: uv export --no-emit-project --format requirements.txt.",
        )
    requires = str(document.get("requires-python", ">=3"))
    _check_python(file.name, requires, target.python)
    exported = uv.export(file.text, roots[0], requires)
    folders = (line for line in exported.splitlines() if line.startswith(("-e ", ".", "/")))
    local = next((line.removeprefix("-e ").split(" ;")[0] for line in folders), "")
    if local:
        raise _local(file.name, local, packages)
    _check_wheels(
        file.name, exported, {canonicalize_name(str(each.get("name"))) for each in packages if _has_wheel(each)}
    )
    return _lines(file.name, exported)


def _place(package: dict[str, Any]) -> tuple[str, str]:
    """Kind and place of a package's source: ("registry", "https://pypi.org/simple"), ("editable", ".")."""
    source = package.get("source")
    kind, place = next(iter(source.items()), ("", "")) if isinstance(source, dict) else ("", "")
    return str(kind), str(place)


def _has_wheel(package: dict[str, Any]) -> bool:
    kind, place = _place(package)
    return bool(package.get("wheels")) and (kind == "registry" or (kind == "url" and is_wheel_url(place)))


def _check_python(name: str, requires: str, python: str) -> None:
    try:
        allowed = SpecifierSet(requires)
    except InvalidSpecifier:
        raise InvalidLockError(f"{name} has requires-python = {requires!r}, which cannot be read.") from None
    # The base's patch release is not always known: any of its minor version will do.
    if not any(allowed.contains(f"{python}.{patch}") for patch in range(40)):
        raise InvalidLockError(
            f"{name} is for Python {requires}, and the base image has {python}.",
            remedy="Lock for the base's Python (requires-python), or choose another base image.",
        )


def _local(name: str, path: str, packages: list[dict[str, Any]]) -> DependencyHasNoWheelError:
    found = [str(each.get("name")) for each in packages if _place(each)[1] == path.removeprefix("./").rstrip("/")]
    package = found[0] if found else path
    return DependencyHasNoWheelError(
        f"{name} has {package} from the folder {path}, which a builder does not have.",
        remedy="Publish it as a wheel in a package index, or bring its modules as files of the storage.",
    )


def _check_wheels(name: str, exported: str, wheels: Container[str]) -> None:
    for _, line in _logical_lines(exported):
        package = canonicalize_name(re.split(r"[\s=\[;@]", line)[0])
        if package not in wheels:
            raise DependencyHasNoWheelError(f"{name} has {package} without a wheel: a source, or a repository.")
