"""Texts of agents as documents: Markdown, a plan as an outline, a batch of metrics as a table. Nothing in them runs."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from audit import exact_json
from audit.admin.cells import web_address

HEAVIEST = 130_000  # characters of HTML that a document may become, at most
MARKUP = 30  # of a cell or a node
MOST_ROWS, MOST_COLUMNS, LONGEST_CELL = 200, 20, 200
DEEPEST = 12
MARKDOWN = 32 * 1024  # characters: hostile ones cost the square of their number
# Characters that nobody sees, or that turn the direction of others around: a text can say something else than it shows.
UNSEEN = re.compile(
    r"[\x01-\x08\x0b\x0e-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)


@dataclass(frozen=True)
class Table:
    columns: list[str]
    rows: list[list[str]]
    total: int  # rows there are

    @property
    def is_cut(self) -> bool:
        return self.total > len(self.rows)


def parsed(text: str) -> Any:
    """A JSON object or array; None for anything else."""
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        return exact_json.loads(text)
    except (ValueError, RecursionError):
        return None


def table(text: str) -> Table | None:
    """A list of JSON objects (or an object that holds one), or CSV with a line of titles."""
    value = parsed(text)
    if isinstance(value, dict):
        value = next((inner for inner in value.values() if isinstance(inner, list)), [value])
    if isinstance(value, list):
        return _of_objects(value)
    return _of_csv(text)


def _of_objects(items: list[Any]) -> Table | None:
    rows = [item for item in items[:MOST_ROWS] if isinstance(item, dict)]
    columns = list(dict.fromkeys(key for row in rows for key in row))[:MOST_COLUMNS]
    if not columns:
        return None
    return _light(columns, ([row.get(key, "") for key in columns] for row in rows), len(items))


def _of_csv(text: str) -> Table | None:
    first = text.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    if not first.count(separator):
        return None
    try:
        lines = [line for line in csv.reader(io.StringIO(text), delimiter=separator) if line]
    except csv.Error:
        return None
    return _light(lines[0], lines[1 : MOST_ROWS + 1], len(lines) - 1) if lines else None


def _light(columns: list[str], rows: Iterable[list[Any]], total: int) -> Table:
    """As many of the rows as a page carries."""
    left, kept = HEAVIEST, []
    for row in rows:
        cells = _cells(row)
        left -= sum(MARKUP + len(escape(cell)) for cell in cells)
        if left < 0:
            break
        kept.append(cells)
    return Table(_cells(columns), kept, total)


def _cells(values: list[Any]) -> list[str]:
    texts = [value if isinstance(value, str) else exact_json.dumps(value, ensure_ascii=False) for value in values]
    return [_short(text) for text in texts[:MOST_COLUMNS]]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}…"


class Outline:
    """A plan's JSON as nested lists, as much of it as a page carries."""

    def __init__(self, value: Any) -> None:
        self.left = HEAVIEST
        self.html = self._node(value, 0)

    @property
    def is_cut(self) -> bool:
        return self.left <= 0

    def _node(self, value: Any, depth: int) -> SafeString:
        if not isinstance(value, dict | list) or not value:
            return self._text(_scalar(value))
        if depth >= DEEPEST:
            return self._text(_short(exact_json.dumps(value, ensure_ascii=False)))
        if isinstance(value, dict):
            pairs = (
                (self._text(_short(key)), self._node(inner, depth + 1)) for key, inner in self._some(value.items())
            )
            return format_html("<dl>{}</dl>", format_html_join("", "<dt>{}</dt><dd>{}</dd>", pairs))
        items = ((self._node(inner, depth + 1),) for inner in self._some(value))
        return format_html("<ol>{}</ol>", format_html_join("", "<li>{}</li>", items))

    def _some(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            if self.is_cut:
                return
            yield item

    def _text(self, text: str) -> SafeString:
        html = escape(text[: max(self.left, 0)])
        self.left -= len(html) + MARKUP
        while self.left < 0 and len(html) > LONGEST_CELL:
            text = text[: len(text) // 2]
            html = escape(text)
        return html


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return exact_json.dumps(value) if isinstance(value, int | Decimal) else "–"


class Renderer(RendererHTML):
    """Links say where they lead and lead nowhere; pictures are named, and not fetched."""

    def link_open(self, tokens: Any, index: int, options: Any, env: Any) -> str:
        return '<span class="link">'

    def link_close(self, tokens: Any, index: int, options: Any, env: Any) -> str:
        opening = next(token for token in reversed(tokens[:index]) if token.type == "link_open")
        return f'</span> <span class="address">‹{escape(opening.attrs.get("href", ""))}›</span>'

    def image(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        token = tokens[index]
        return (
            f'<span class="address">[picture from outside: {escape(token.content or "without words")}'
            f" ‹{escape(token.attrs.get('src', ''))}›]</span>"
        )


def may_follow(url: str) -> bool:
    return bool(web_address(url))


def markdown(text: str) -> SafeString:
    reader = MarkdownIt("commonmark", {"html": False}, renderer_cls=Renderer).enable(["table", "strikethrough"])
    reader.validateLink = may_follow  # type: ignore[method-assign]
    html: str = reader.render(text)
    return mark_safe(html)  # noqa: S308  (HTML of the text is off, and shown as text)


def plain(text: str) -> SafeString:
    return format_html('<pre dir="auto">{}</pre>', marked(text))


def marked(text: str) -> SafeString:
    """The text with the characters named that nobody sees."""
    named = UNSEEN.sub(lambda found: f'<b class="unseen">U+{ord(found[0]):04X}</b>', escape(text))
    return mark_safe(named)  # noqa: S308  (escaped in the line above)


def fitting(make: Callable[[str], SafeString], text: str) -> tuple[SafeString, bool]:
    """The document that `make` makes of the text, or of so much of its beginning as is not too heavy; and whether."""
    fits = text[:MARKDOWN] if make is markdown else text
    while len(html := make(fits)) > HEAVIEST:
        fits = fits[: len(fits) // 2]
    return html, len(fits) < len(text)
