"""An artifact's content as a reviewer sees it: what it is, what is odd about it, and where it came from.

The content itself is shown by `content.frame`, in a sandboxed frame; here is what the console says around it.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from django.template.defaultfilters import filesizeformat

from audit.admin.cells import pretty, web_address
from audit.base import called
from content.choices import ArtifactType
from content.documents import UNSEEN, Table, parsed, table
from content.kinds import BINARY, HTML, IMAGES, PLAIN, SOUNDS, SVG, VIDEOS, Kind, as_text, media_type
from content.models import Artifact
from content.stored import Stored, look

SHOWN = 64 * 1024  # characters of a text
MOST_SOURCES = 50
MOST_LINKS = 20
HEIGHTS = (3, 6, 10, 16, 25, 32, 40, 50)  # lines of a frame; console.css knows each
LINK = re.compile(r"https?://[^\s<>\"'`\]\)]{1,2000}")
TEXTS = {PLAIN, HTML, SVG}


@dataclass(frozen=True)
class Source:
    label: str
    address: str  # empty when a browser must not follow it


@dataclass(frozen=True)
class Shown:
    """`kind` is how the frame shows it, None where there is nothing to frame; `sentence` then says why."""

    artifact: Artifact
    kind: Kind | None = None
    media_type: str = ""
    sentence: str = ""
    warnings: list[str] = field(default_factory=list)
    address: str = ""  # where it is when it is outside
    stored: Stored | None = None
    text: str = ""  # the beginning
    value: Any = None  # of a plan that is JSON
    table: Table | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.address).hostname or ""

    @property
    def is_cut(self) -> bool:
        return bool(self.text) and self.stored is not None and len(self.text.encode()) < self.stored.size

    @property
    def is_compared(self) -> bool:
        """Whether the bytes were read to the end and their hash is known."""
        return self.stored is not None and bool(self.stored.sha256)

    @property
    def differs(self) -> bool:
        """What is stored is not what was submitted."""
        return self.is_compared and self.stored is not None and self.stored.sha256 != self.artifact.content_sha256

    @cached_property
    def links(self) -> list[str]:
        """Addresses in the text, which cannot be followed inside the frame."""
        found = (web_address(link.rstrip(".,;:!?")) for link in LINK.findall(self.text))
        return list(dict.fromkeys(filter(None, found)))[:MOST_LINKS]

    @property
    def height(self) -> str:
        """How tall the frame is, as a class of the stylesheet: a usual post is read without scrolling inside of it.

        The frame runs no script that could tell, so the lines are estimated; letters of several bytes are mostly wider.
        """
        if self.kind in {Kind.IMAGE, Kind.VIDEO}:
            return "picture"
        if self.kind not in {Kind.TEXT, Kind.MARKDOWN}:
            return "audio" if self.kind == Kind.AUDIO else "tall"
        wide = 60 if len(self.text.encode()) < 1.5 * len(self.text) else 45
        lines = sum(1 + len(line) // wide for line in self.text.split("\n"))
        return next((f"lines-{most}" for most in HEIGHTS if lines <= most), "tall")


def shown(artifact: Artifact) -> Shown:
    reference = artifact.content_ref
    if address := web_address(reference):
        return Shown(artifact, address=address)
    if "://" in reference[:20]:
        return Shown(artifact, sentence=f"The content is at {reference[:500]}, which a browser cannot open.")
    stored = look(reference)
    if stored is None:
        return Shown(artifact, sentence="The content is missing: nothing is stored under its reference.")
    if stored.size == 0:
        return Shown(artifact, stored=stored, sentence="The content is empty.", warnings=_changed(artifact, stored))
    return _of_bytes(artifact, stored)


def _of_bytes(artifact: Artifact, stored: Stored) -> Shown:
    found = media_type(stored.beginning, is_cut=not stored.is_whole)
    warnings = [*_changed(artifact, stored), *_mistaken(artifact, found)]
    common: dict[str, Any] = {"artifact": artifact, "media_type": found, "stored": stored}
    for known, kind in ((IMAGES, Kind.IMAGE), (VIDEOS, Kind.VIDEO), (SOUNDS, Kind.AUDIO)):
        if found in known:
            return Shown(**common, kind=kind, warnings=warnings)
    text = as_text(stored.beginning, is_cut=not stored.is_whole)
    if found not in TEXTS or text is None:
        what = (
            "Nobody can tell what these bytes are." if found == BINARY else f"It is {found}, which is not shown here."
        )
        return Shown(**common, sentence=f"{what} Download it to look.", warnings=warnings)
    unseen = sorted({f"U+{ord(character):04X}" for character in UNSEEN.findall(text[:SHOWN])})
    if unseen:
        warnings.append(
            "It has characters that cannot be seen or that turn the text's direction around: "
            f"{', '.join(unseen[:8])}{' …' if len(unseen) > 8 else ''}. They are marked."
        )
    return Shown(**common, **_of_text(artifact, stored, text), text=text[:SHOWN], warnings=warnings)


def _of_text(artifact: Artifact, stored: Stored, text: str) -> dict[str, Any]:
    """How a text is shown: as its type says, where it can be read as such."""
    if artifact.artifact_type == ArtifactType.METRICS_BATCH and stored.is_whole and (rows := table(text)):
        return {"kind": Kind.TABLE, "table": rows}
    if artifact.artifact_type == ArtifactType.PLAN and stored.is_whole and (value := parsed(text)) is not None:
        return {"kind": Kind.OUTLINE, "value": value}
    return {"kind": Kind.MARKDOWN if is_markdown(artifact) else Kind.TEXT}


def is_markdown(artifact: Artifact) -> bool:
    told = artifact.metadata if isinstance(artifact.metadata, dict) else {}
    is_text = artifact.artifact_type in {ArtifactType.TEXT, ArtifactType.PLAN}
    return is_text and (told.get("format") == "markdown" or artifact.content_ref.endswith(".md"))


def _changed(artifact: Artifact, stored: Stored) -> list[str]:
    if not stored.sha256:
        return [f"It is too large ({filesizeformat(stored.size)}) for its hash to be compared here."]
    if stored.sha256 != artifact.content_sha256:
        return ["What is stored is not what was submitted: its hash differs. Do not approve it."]
    return []


def _mistaken(artifact: Artifact, found: str) -> list[str]:
    """Said to be one thing and found to be another."""
    expected = artifact.artifact_type if artifact.artifact_type in {ArtifactType.IMAGE, ArtifactType.VIDEO} else "text"
    if found == SVG and expected == "image":
        return ["It is an SVG drawing. Those can carry scripts, so its source is shown instead of a picture."]
    if found == BINARY or found.split("/")[0] == expected:
        return []
    return [f"It is said to be {_a(artifact.get_artifact_type_display())}, but its bytes are {found}."]


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


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
        return Source(called(str(label) if label else pretty(item)), address)
    return Source(called(str(item)), web_address(item))
