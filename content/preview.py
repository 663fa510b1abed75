"""An artifact's content as a reviewer sees it, and nothing that a browser would run or fetch by itself."""

import hashlib
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.core.files.storage import default_storage

from audit.admin.cells import pretty, web_address
from content.choices import ArtifactType
from content.models import Artifact

SHOWN = 64 * 1024  # bytes of a text
READ = 1024 * 1024  # bytes that are read at most, to compare the hash
AS_TEXT = {ArtifactType.TEXT, ArtifactType.PLAN, ArtifactType.METRICS_BATCH}
MOST_SOURCES = 50


@dataclass(frozen=True)
class Preview:
    """One of text, address (outside) or a sentence about why neither is there."""

    text: str = ""
    address: str = ""
    sentence: str = ""
    is_cut: bool = False
    differs: bool = False  # what is stored is not what was submitted


@dataclass(frozen=True)
class Source:
    label: str
    address: str  # empty when a browser must not follow it


def preview(artifact: Artifact) -> Preview:
    reference = artifact.content_ref
    if address := web_address(reference):
        return Preview(address=address)
    if "://" in reference[:20]:
        return Preview(sentence=f"The content is at {reference}, which a browser cannot open.")
    content = _stored(reference)
    if content is None:
        return Preview(sentence="The content is missing: nothing is stored under its reference.")
    differs = len(content) <= READ and hashlib.sha256(content).hexdigest() != artifact.content_sha256
    if artifact.artifact_type not in AS_TEXT:
        kind = artifact.get_artifact_type_display()
        return Preview(sentence=f"A stored {kind} file; it is not shown here yet.", differs=differs)
    text = content[:SHOWN].decode(errors="replace").replace("\x00", "�")
    return Preview(text=text, is_cut=len(content) > SHOWN, differs=differs)


def _stored(reference: str) -> bytes | None:
    try:
        with default_storage.open(reference) as file:
            content: bytes = file.read(READ + 1)
            return content
    except (OSError, ValueError, SuspiciousOperation):  # missing, a folder, or a path that leads out of the store
        return None


def sources(artifact: Artifact) -> list[Source]:
    """What it rests on. Agents write these in any shape; only http and https become links."""
    given = artifact.sources or []
    items = list(given.values()) if isinstance(given, dict) and not _is_source(given) else given
    items = [items] if isinstance(items, dict) else items
    return [_source(item) for item in items[:MOST_SOURCES]]


def _is_source(item: dict[str, Any]) -> bool:
    return any(name in item for name in ("url", "href", "title"))


def _source(item: Any) -> Source:
    if isinstance(item, dict):
        address = web_address(item.get("url") or item.get("href"))
        label = item.get("title") or item.get("name") or item.get("url") or item.get("href")
        return Source(str(label) if label else pretty(item), address)
    return Source(str(item), web_address(item))
