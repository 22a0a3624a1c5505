"""From a name as people write it to one that files, images, labels and resources may have."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 63  # a DNS label, and the value of a label


def slug(name: str) -> str:
    """Return the name in lower case, with single hyphens for whatever is neither letter nor digit.

    Accents go. A name that has no letter or digit of ASCII, or is too long, is told apart by a hash.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = "-".join(re.findall(r"[a-z0-9]+", plain))
    if not words:
        return f"flow-{_short_hash(name)}"
    if len(words) > LONGEST:
        return f"{words[: LONGEST - 9].rstrip('-')}-{_short_hash(name)}"
    return words


def _short_hash(name: str) -> str:
    import hashlib

    return hashlib.sha256(name.encode()).hexdigest()[:8]
