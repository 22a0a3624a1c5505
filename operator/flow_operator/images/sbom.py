"""What is in the dependency layer, for scanners: a CycloneDX document made from the lock alone.

Equal locks give equal bytes: no time, no serial number, nothing of the place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from flow_operator.images.blobs import Blob, BytesBlob
from flow_operator.images.oci import Descriptor, canonical

if TYPE_CHECKING:
    from flow_operator.images.requirements import Lock, Pin

CYCLONEDX = "application/vnd.cyclonedx+json"


@dataclass(frozen=True)
class Sbom:
    """A document, and where its bytes are: here (`blob`), or in the target's repository since an earlier build."""

    descriptor: Descriptor
    blob: Blob | None = None


def sbom_of(lock: Lock) -> Sbom:
    """The document of a lock."""
    blob = BytesBlob(canonical(_document(lock)))
    return Sbom(Descriptor(mediaType=CYCLONEDX, digest=blob.digest, size=blob.size), blob)


def _document(lock: Lock) -> dict[str, Any]:
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "pythonDependencies", "version": lock.digest}},
        "components": [_component(pin) for pin in lock.pins],
    }


def _component(pin: Pin) -> dict[str, Any]:
    url = pin.requirement.url
    version = _version_in(url) if url else pin.version
    purl = f"pkg:pypi/{pin.name}" + (f"@{quote(version, safe='')}" if version else "")
    if url:
        purl += f"?download_url={quote(_public(url), safe='')}"
    hashes = [one.removeprefix("sha256:") for one in pin.hashes if one.startswith("sha256:")]
    return {
        "type": "library",
        "bom-ref": purl,
        "name": pin.name,
        **({"version": version} if version else {}),
        "purl": purl,
        # Every file the lock allows: a wheel for each platform.
        **({"hashes": [{"alg": "SHA-256", "content": one} for one in hashes]} if hashes else {}),
    }


def _version_in(url: str) -> str:
    try:
        return str(parse_wheel_filename(urlsplit(url).path.rpartition("/")[2])[1])
    except InvalidWheelFilename:
        return ""


def _public(url: str) -> str:
    """A URL without what may be secret: user, password, query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
