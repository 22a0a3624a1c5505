"""Small wheels in a directory, which uv takes for an index: real resolving, no network."""

from __future__ import annotations

import hashlib
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def make_wheel(
    directory: Path,
    name: str,
    version: str,
    *,
    requires: tuple[str, ...] = (),
    tag: str = "py3-none-any",
    scripts: tuple[str, ...] = (),
    megabytes: int = 0,
) -> Path:
    module = name.replace("-", "_")
    metadata = f"{module}-{version}.dist-info"
    files = {
        f"{module}/__init__.py": f"version = {version!r}\n",
        f"{metadata}/METADATA": "".join(
            [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", *(f"Requires-Dist: {r}\n" for r in requires)]
        ),
        f"{metadata}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    if megabytes:
        files[f"{module}/data.txt"] = "x" * (megabytes << 20)
    if scripts:
        files[f"{metadata}/entry_points.txt"] = "[console_scripts]\n" + "".join(
            f"{s} = {module}:main\n" for s in scripts
        )
    files[f"{metadata}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{metadata}/RECORD"])
    wheel = directory / f"{module}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return wheel


def lock_line(wheel: Path) -> str:
    name, version, *_ = wheel.name.split("-")
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def make_uv_lock(*packages: Mapping[str, Any], requires: str = ">=3.11", root: str = 'virtual = "."') -> str:
    """A uv.lock of a project `mine` that needs some packages: name, version, hash, marker, source."""
    needs = ", ".join(_dependency(package, packages) for package in packages)
    head = f'version = 1\nrevision = 3\nrequires-python = "{requires}"\n'
    mine = f'[[package]]\nname = "mine"\nversion = "0.1"\nsource = {{ {root} }}\ndependencies = [{needs}]\n'
    return "\n".join([head, *map(_locked_package, packages), mine])


def _source(package: Mapping[str, Any]) -> str:
    default = 'registry = "https://pypi.org/simple"'
    return f"{{ {package.get('source', default)} }}"


def _dependency(package: Mapping[str, Any], packages: tuple[Mapping[str, Any], ...]) -> str:
    marker = f', marker = "{package["marker"]}"' if "marker" in package else ""
    several = sum(each["name"] == package["name"] for each in packages) > 1
    which = f', version = "{package["version"]}", source = {_source(package)}' if several else ""
    return f'{{ name = "{package["name"]}"{which}{marker} }}'


def _locked_package(package: Mapping[str, Any]) -> str:
    name, version = package["name"], package["version"]
    head = f'[[package]]\nname = "{name}"\nversion = "{version}"\nsource = {_source(package)}\n'
    stem = f"https://files.test/{name.replace('-', '_')}-{version}"
    if package.get("sdist"):
        return f'{head}sdist = {{ url = "{stem}.tar.gz", hash = "{package["hash"]}" }}\n'
    if "source" in package:
        return head
    return f'{head}wheels = [{{ url = "{stem}-py3-none-any.whl", hash = "{package["hash"]}" }}]\n'
