"""Runs inside the image that a Docker engine builds: pip installs the user's packages beside the runtime's.

Standard library only, started by path: the image may have nothing of ours yet.

    install.py upgrade   pip itself; a step of its own, which the engine keeps for the next build
    install.py FOLDER    what `install.json` (see `Job`), `requirements.txt` and `constraints.txt` there say
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import TypedDict

NO_PIP = "flow-operator: this image's Python has no pip"


class Job(TypedDict):
    """What is to be done."""

    target: str  # where the packages go
    runtime: dict[str, str]  # what the runtime brings, by canonical name: not installed a second time
    hashes: bool  # the requirements are a whole lock: nothing is resolved, every hash is checked


def main(what: str) -> int:
    """Do it, or let pip say why not."""
    if _pip("--version"):
        print(NO_PIP, flush=True)
        return 1
    return upgrade() if what == "upgrade" else install(Path(what))


def upgrade() -> int:
    """The youngest pip; where it cannot be had, the one that is there will do."""
    if _pip("install", "--quiet", "--upgrade", "pip"):
        print("pip could not be upgraded; going on with the one that is there", flush=True)
    return 0


def install(folder: Path) -> int:
    """The packages."""
    job: Job = json.loads((folder / "install.json").read_text())
    code = _pip("install", "--target", job["target"], *_requirements(job, folder))
    if not code:
        tidy(Path(job["target"]), job["runtime"])
    return code


def _requirements(job: Job, folder: Path) -> list[str]:
    lines = ["-r", str(folder / "requirements.txt")]
    if job["hashes"]:
        return ["--no-deps", "--require-hashes", *lines]
    return [*lines, "-c", str(folder / "constraints.txt")]


def _pip(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pip", *arguments], check=False).returncode


def tidy(target: Path, runtime: dict[str, str]) -> None:
    """Take away what the runtime has in the same version, and compile the rest: nobody can later, read-only."""
    target.mkdir(parents=True, exist_ok=True)
    for each in list(distributions(path=[str(target)])):
        if runtime.get(canonical(each.metadata["Name"])) == each.version:
            _remove(each, target)
    compile_all = ["-m", "compileall", "-q", "-q", "--invalidation-mode", "unchecked-hash", "-x", "/tests/", "."]
    subprocess.run([sys.executable, *compile_all], cwd=target, check=False)


def canonical(name: str) -> str:
    """A package's name in the one spelling."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _remove(distribution: Distribution, target: Path) -> None:
    for file in distribution.files or ():
        place = Path(str(distribution.locate_file(file))).resolve()
        if place.is_relative_to(target.resolve()):
            place.unlink(missing_ok=True)
            _remove_empty(place.parent, target.resolve())


def _remove_empty(folder: Path, target: Path) -> None:
    """Folders in which nothing but bytecode is left go too."""
    while folder != target and folder.is_relative_to(target) and folder.is_dir():
        if any(child.name != "__pycache__" for child in folder.iterdir()):
            return
        shutil.rmtree(folder)
        folder = folder.parent


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
