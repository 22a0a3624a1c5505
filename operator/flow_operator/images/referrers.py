"""Things attached to an image, as OCI 1.1 has them: a manifest whose subject is the image.

A registry that knows referrers says so, and lists them itself. For the others the list is an index under the tag
`sha256-<digest of the subject>`, kept by whoever attaches: read, extended, and written back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flow_operator.images.blobs import Blob, BytesBlob
from flow_operator.images.errors import RegistryError, RegistryFailedError
from flow_operator.images.oci import INDEX, MANIFEST, Descriptor, Manifest, canonical

if TYPE_CHECKING:
    from flow_operator.images.progress import Progress
    from flow_operator.images.registry import Repository
    from flow_operator.images.sbom import Sbom

_EMPTY = "application/vnd.oci.empty.v1+json"
_NOTHING = BytesBlob(b"{}")


def referrer(subject: Manifest, sbom: Sbom) -> Manifest:
    """The manifest that attaches a document to an image."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": sbom.descriptor["mediaType"],
        "config": Descriptor(mediaType=_EMPTY, digest=_NOTHING.digest, size=_NOTHING.size),
        "layers": [sbom.descriptor],
        "subject": Descriptor(mediaType=MANIFEST, digest=subject.digest, size=len(subject.body)),
    }
    return Manifest(canonical(document), MANIFEST)


def attach(subject: Manifest, sbom: Sbom, target: Repository, progress: Progress) -> str:
    """The digest under which a document is attached; empty when the registry would not have it."""
    manifest = referrer(subject, sbom)
    try:
        if target.digest_of(manifest.digest) is None:
            _push(manifest, subject, sbom, target)
            progress(f"Attached the SBOM as {manifest.digest[:19]}.")
    except RegistryError as error:
        progress(f"The image is without an SBOM: {error.message}")
        return ""
    return manifest.digest


def _push(manifest: Manifest, subject: Manifest, sbom: Sbom, target: Repository) -> None:
    _bring(_NOTHING.digest, _NOTHING, target)
    _bring(sbom.descriptor["digest"], sbom.blob, target)
    if not target.put_manifest(manifest.digest, manifest).get("OCI-Subject"):
        _list(manifest, subject, target)


def _bring(digest: str, blob: Blob | None, target: Repository) -> None:
    if target.knows(digest) or target.has(digest):
        return
    if blob is None:
        raise RegistryFailedError(f"{target.public} lost the SBOM of an earlier build.", retryable=False)
    target.upload(blob)


def _list(manifest: Manifest, subject: Manifest, target: Repository) -> None:
    """Extend the index of what is attached; others' entries stay as they are."""
    tag = subject.digest.replace(":", "-")
    found = target.manifest(tag)
    index = _index(found, f"{target.public}:{tag}")
    if all(entry.get("digest") != manifest.digest for entry in index["manifests"]):
        index["manifests"].append(_entry(manifest))
        target.put_manifest(tag, Manifest(canonical(index), INDEX))


def _index(found: Manifest | None, name: str) -> dict[str, Any]:
    if found is None:
        return {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    try:
        index = found.json()
        if not all(isinstance(entry, dict) for entry in index["manifests"]):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        raise RegistryFailedError(f"{name} is no list of what is attached to the image.", retryable=False) from None
    return index


def _entry(manifest: Manifest) -> dict[str, Any]:
    artifact_type = manifest.json()["artifactType"]
    descriptor = Descriptor(mediaType=manifest.media_type, digest=manifest.digest, size=len(manifest.body))
    return {**descriptor, "artifactType": artifact_type}
