"""What the content store has under a reference: its size, its beginning, and whether it is what was submitted."""

import hashlib
from dataclasses import dataclass

from django.core.exceptions import SuspiciousOperation
from django.core.files.base import File
from django.core.files.storage import default_storage

MB = 1024 * 1024
BEGINNING = 2 * MB  # bytes that are kept: as much as one text of the API has
HASHED = 32 * MB  # bytes that are read at most to compare the hash while somebody waits for a page


@dataclass(frozen=True)
class Stored:
    size: int
    beginning: bytes
    sha256: str  # empty when it is too large to be read for a page

    @property
    def is_whole(self) -> bool:
        return len(self.beginning) == self.size


def opened(reference: str) -> File[bytes] | None:
    """None when it is missing, a folder, elsewhere, or a path that leads out of the store."""
    if "://" in reference[:20]:
        return None
    try:
        file = default_storage.open(reference)
        file.size  # noqa: B018  (some stores open lazily)
    except (OSError, ValueError, SuspiciousOperation):
        return None
    return file


def look(reference: str) -> Stored | None:
    file = opened(reference)
    if file is None:
        return None
    with file:
        beginning, sha256 = b"", hashlib.sha256()
        if file.size > HASHED:
            return Stored(file.size, file.read(BEGINNING), "")
        for chunk in file.chunks():
            sha256.update(chunk)
            if len(beginning) < BEGINNING:
                beginning += chunk
        return Stored(file.size, beginning[:BEGINNING], sha256.hexdigest())
