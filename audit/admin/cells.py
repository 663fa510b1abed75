"""Small pieces of HTML: a state as colour and word, a moment as people say it, a link to what is meant."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from django.contrib.admin.utils import quote
from django.db import models
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString

from audit import exact_json

LONGEST = 10_000  # characters of HTML that one value becomes on a page
EMPTY = "–"
STEPS = [(60, "s", 1), (3600, "min", 60), (86_400, "h", 3600), (86_400 * 45, "d", 86_400)]
COLOURS = {"neutral", "good", "info", "warn", "bad"}


def badge(word: object, colour: str = "neutral") -> SafeString:
    return format_html('<span class="badge badge-{}">{}</span>', colour if colour in COLOURS else "neutral", word)


def state(row: models.Model, field: str, colours: Mapping[Any, str]) -> str:
    """The badge of a column with choices, in the colour that its `choices.py` gives."""
    value = getattr(row, field)
    if value in (None, ""):
        return EMPTY
    label = getattr(row, f"get_{field}_display", lambda: value)()
    return badge(label, colours.get(value, "neutral"))


def duration(length: timedelta) -> str:
    """As people say it, by its largest unit: 45 s, 18 min, 3 h, 4 d."""
    seconds = abs(length.total_seconds())
    for limit, unit, size in STEPS:
        if seconds < limit:
            return f"{int(seconds // size)} {unit}"
    months = int(seconds // (86_400 * 30))
    return f"{months} months" if months < 24 else f"{int(seconds // (86_400 * 365.25))} years"


def exact(moment: datetime) -> str:
    """To the second, in the viewer's zone, which it names."""
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S} {zone(moment)}"


def zone(moment: datetime | None = None) -> str:
    """The viewer's zone as short as it can be told: UTC, EAT, +0530."""
    return timezone.localtime(moment).strftime("%Z") or "UTC"


def clock(moment: datetime) -> str:
    """The time of day in the viewer's zone, for a moment of today: 14:06 EAT."""
    return f"{timezone.localtime(moment):%H:%M} {zone(moment)}"


def relative(moment: datetime, now: datetime | None = None) -> str:
    distance = moment - (now or timezone.now())
    if abs(distance) < timedelta(seconds=1):
        return "just now"
    return f"in {duration(distance)}" if distance > timedelta(0) else f"{duration(distance)} ago"


def when(moment: datetime | None) -> str:
    """How long ago, or how soon; the exact time on hover and for machines."""
    if moment is None:
        return EMPTY
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exact(moment), relative(moment))


def number(value: int | Decimal | None) -> str:
    return EMPTY if value is None else format_html('<span class="num">{}</span>', f"{value:,}")


def code(value: object, shown: int | None = None) -> str:
    """An id or a hash; when shortened, the whole of it on hover."""
    text = str(value).strip()
    if shown is None or len(text) <= shown:
        return format_html("<code>{}</code>", text)
    return format_html('<code title="{}">{}…</code>', text, text[:shown])


def pretty(value: object) -> str:
    return exact_json.dumps(value, indent=2, ensure_ascii=False)


def beginning(text: str, most: int = LONGEST) -> str:
    """As much of the text as a page carries: agents write megabytes, and a quote becomes six characters."""
    while len(text) > most or len(escape(text)) > most:
        text = text[: min(most, len(text) // 2)]
    return text


def json_block(value: object, whole: str = "") -> str:
    """JSON as far as somebody reads it on a page; `whole` is where the rest is."""
    if value is None:
        return EMPTY
    pieces, text = exact_json.pieces(value), ""
    while len(text) <= LONGEST and (piece := next(pieces, "")):
        text += piece
    return text_block(text, whole)


def text_block(text: str, whole: str = "") -> str:
    shown = beginning(text)
    block = format_html('<pre class="json" tabindex="0">{}</pre>', shown)
    if len(shown) == len(text):
        return block
    rest = format_html(' <a href="{}">Read all of it</a>', whole) if whole else ""
    return format_html('{}<p class="quiet">Only the beginning is shown.{}</p>', block, rest)


def value_url(row: models.Model, column: str) -> str:
    """Where all of a column's value is read; empty when its model has no pages."""
    try:
        return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_value", args=[quote(row.pk), column])
    except NoReverseMatch:
        return ""


def admin_url(row: models.Model) -> str:
    """The page of a row; empty when its model has none."""
    try:
        return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[quote(row.pk)])
    except NoReverseMatch:
        return ""


def link(row: models.Model | None) -> str:
    if row is None:
        return EMPTY
    url = admin_url(row)
    return format_html('<a href="{}">{}</a>', url, row) if url else str(row)


def trace_link(trace_id: str, word: str = "") -> str:
    url = reverse("admin:trace", args=[trace_id])
    return format_html('<a href="{}" title="{}"><code>{}</code></a>', url, trace_id, word or f"{trace_id[:8]}…")


def meter(part: Decimal, whole: Decimal, label: str) -> SafeString:
    """A bar without inline style, which the CSP forbids; `label` says the same in words."""
    share = 0 if not whole else min(part / whole, Decimal(1))
    return format_html(
        '<meter min="0" max="1" high="0.9" value="{}" aria-label="{}"></meter><span class="quiet">{}</span>',
        f"{share:.3f}",
        label,
        label,
    )


def web_address(text: object) -> str:
    """The text when a browser may follow it (http and https only), otherwise nothing: agents write these."""
    if not isinstance(text, str) or any(character.isspace() or ord(character) < 32 for character in text.strip()):
        return ""
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        return ""
    return text.strip() if parts.scheme in {"http", "https"} and parts.netloc else ""


def outside(address: str, label: str = "") -> SafeString:
    """A link that leaves the console and does not say where it came from."""
    return format_html(
        '<a href="{}" rel="noreferrer noopener external" target="_blank">{}</a>', address, label or address
    )
