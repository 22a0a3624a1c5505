"""What goes to the engine with a Dockerfile, and how packages are reached from here."""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flow_operator.images import install
from flow_operator.images.dockerfile import BUILD_DIR, PACKAGES, TOOLS
from flow_operator.images.errors import disk_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

_CA = "ca.crt"
# Everything that is said to trust a bundle: pip, Python, requests, curl.
_TRUSTING = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_ALWAYS = {
    "DEBIAN_FRONTEND": "noninteractive",
    "PIP_BREAK_SYSTEM_PACKAGES": "1",  # an image is no system: Debian's pip may install
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_CACHE_DIR": "1",
    "PIP_NO_INPUT": "1",
    "PIP_PROGRESS_BAR": "off",
    "PIP_ROOT_USER_ACTION": "ignore",
}
# pip's name of a setting, and where it may be written here: pip's own name first, then uv's.
_INDEXES = {
    "PIP_INDEX_URL": ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
    "PIP_EXTRA_INDEX_URL": ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
    "PIP_TRUSTED_HOST": ("PIP_TRUSTED_HOST",),
}


@dataclass(frozen=True)
class Context:
    """The files of a context. Every one has the tools besides."""

    dockerfile: str
    packages: Mapping[str, bytes] = field(default_factory=dict)
    archives: Mapping[str, Path] = field(default_factory=dict)  # unpacked into the image by ADD


def write_context(context: Context, file: Path) -> None:
    """The context as a tar."""
    with disk_errors(), tarfile.open(file, "w") as tar:
        _add(tar, "Dockerfile", context.dockerfile.encode())
        for name, data in sorted(_tools().items()):
            _add(tar, f"{TOOLS}/{name}", data)
        for name, data in sorted(context.packages.items()):
            _add(tar, f"{PACKAGES}/{name}", data)
        for name, archive in sorted(context.archives.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = archive.stat().st_size, 0o644
            with archive.open("rb") as opened:
                tar.addfile(info, opened)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    tar.addfile(info, io.BytesIO(data))


def _tools() -> dict[str, bytes]:
    return {"install.py": Path(install.__file__).read_bytes(), **authorities()}


def authorities(environ: Mapping[str, str] = os.environ) -> dict[str, bytes]:
    """The certificates this builder was told to trust, for what the build downloads."""
    bundle = Path(environ.get("SSL_CERT_FILE") or "/nowhere")
    return {_CA: bundle.read_bytes()} if bundle.is_file() else {}


def pip_settings(environ: Mapping[str, str] = os.environ, *, secret: bool) -> dict[str, str]:
    """Variables for pip and for commands that download; `secret` says whether they may hold a credential.

    Arguments of a stage that is kept are in the image's history.
    """
    urls = {name: next((environ[one] for one in places if environ.get(one)), "") for name, places in _INDEXES.items()}
    shown = {name: url for name, url in urls.items() if url and (secret or not _has_credential(url))}
    trusting = dict.fromkeys(_TRUSTING, f"{BUILD_DIR}/{TOOLS}/{_CA}") if authorities(environ) else {}
    return {**_ALWAYS, **shown, **trusting}


def _has_credential(urls: str) -> bool:
    return any("@" in urlsplit(url).netloc for url in urls.split())
