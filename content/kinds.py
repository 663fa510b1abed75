"""What bytes are, from looking at them: never what the agent that made them says."""

import codecs
import re
from enum import StrEnum


class Kind(StrEnum):
    """How content is shown."""

    TEXT = "text"
    MARKDOWN = "markdown"
    OUTLINE = "outline"
    TABLE = "table"
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"


UTF8 = codecs.getincrementaldecoder("utf-8")
LOOKED_AT = 4096  # characters of a text
BINARY, PLAIN, SVG, HTML = "application/octet-stream", "text/plain", "image/svg+xml", "text/html"
# What browsers show; anything else is offered as a download.
IMAGES = {"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"}
VIDEOS = {"video/mp4", "video/quicktime", "video/webm", "video/ogg"}
SOUNDS = {"audio/mpeg", "audio/mp4", "audio/ogg", "audio/wav", "audio/flac"}
# (pattern at the beginning, media type); the first that fits.
SIGNS = [
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"RIFF....WEBP", "image/webp"),
    (rb"RIFF....WAVE", "audio/wav"),
    (rb"RIFF....AVI ", "video/x-msvideo"),
    (rb"....ftypavi[fs]", "image/avif"),
    (rb"....ftyp(hei|mif)", "image/heic"),
    (rb"....ftypM4[AB]", "audio/mp4"),
    (rb"....ftypqt", "video/quicktime"),
    (rb"....ftyp", "video/mp4"),
    (rb"\x1aE\xdf\xa3.{0,60}webm", "video/webm"),
    (rb"\x1aE\xdf\xa3", "video/x-matroska"),
    (rb"OggS\x00.{0,60}theora", "video/ogg"),
    (rb"OggS\x00", "audio/ogg"),
    (rb"ID3[\x00-\x05]|\xff[\xfb\xf3\xf2]", "audio/mpeg"),
    (rb"fLaC[\x00\x80]", "audio/flac"),
    (rb"%PDF-", "application/pdf"),
]
LOOKS_LIKE_SVG = re.compile(
    r"\ufeff?\s*(<\?xml[^>]*>\s*)?(<!--.{0,2000}?-->\s*)?(<!doctype[^>]*>\s*)?<svg[\s>]", re.I | re.S
)
LOOKS_LIKE_HTML = re.compile(
    r"\ufeff?\s*(<!--.{0,2000}?-->\s*)?<(!doctype html|html|head|body|script|iframe)\b", re.I | re.S
)


def media_type(head: bytes, *, is_cut: bool = False) -> str:
    """Of the bytes with which a file begins; BINARY when nobody can tell."""
    for sign, name in SIGNS:
        if re.match(sign, head, re.S):
            return name
    text = as_text(head, is_cut=is_cut)
    if text is None:
        return BINARY
    text = text[:LOOKED_AT]
    if LOOKS_LIKE_SVG.match(text):
        return SVG
    return HTML if LOOKS_LIKE_HTML.match(text) else PLAIN


def as_text(head: bytes, *, is_cut: bool = False) -> str | None:
    """None when they are no UTF-8, or have a NUL. Where more follows, the last character may be cut in two."""
    try:
        text = UTF8().decode(head, final=not is_cut)
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text else text
