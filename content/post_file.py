"""Reading files of observed posts: CSV with a header, one observation of one post a row.

Real files have broken lines: half a line at the end, an unclosed quote, bytes that are no UTF-8, a number that is none.
Each is reported with its line and the reason, and the rest goes in. A stray quote must not swallow the lines after it:
a quoted field may go on over a few lines, but where it does not end there, or would have to take a line that is a whole
record by itself, only its first line is given up.
"""

import csv
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import BinaryIO, TypeVar

from audit.errors import Invalid

LONGEST_LINE = 1 << 20  # bytes
LINES_IN_A_RECORD = 20
LONGEST_ID = 255  # characters

csv.field_size_limit(LONGEST_LINE)  # the line's length is the only limit, with its own reason

T = TypeVar("T")


@dataclass(frozen=True)
class Record:
    """One row of the file by column name; `line` counts from 1, the header included."""

    line: int
    values: dict[str, str]


@dataclass(frozen=True)
class Reject:
    """A row that could not be taken."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


def read_records(stream: BinaryIO, required: Iterable[str]) -> Iterator[Record | Reject]:
    """Every row of the file, good or bad. Raises Invalid when it is no such file (no header, columns missing)."""
    lines = _lines(stream)
    columns = _header(next(lines, None), required)
    ahead: deque[tuple[int, str | Reject]] = deque()
    while True:
        ahead.extend(islice(lines, LINES_IN_A_RECORD - len(ahead)))
        if not ahead:
            return
        number, text = ahead.popleft()
        if isinstance(text, Reject):
            yield text
        elif text.strip():
            yield _record(number, text, columns, ahead)


def _lines(stream: BinaryIO) -> Iterator[tuple[int, str | Reject]]:
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield number, Reject(number, f"the line is longer than {LONGEST_LINE:,} bytes.")
            continue
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            yield number, Reject(number, "the line is not UTF-8.")
            continue
        yield number, Reject(number, "the line contains a NUL character.") if "\x00" in text else text


def _header(first: tuple[int, str | Reject] | None, required: Iterable[str]) -> list[str]:
    if first is None:
        raise Invalid("The file is empty.")
    if isinstance(first[1], Reject):
        raise Invalid(f"The file does not begin with a header: {first[1].reason}")
    columns = [name.strip().lower() for name in _cells(first[1]) or []]
    named = [name for name in columns if name]  # spreadsheets leave empty columns behind; they are passed over
    if missing := [name for name in required if name not in named]:
        raise Invalid(f"The header has no column {', '.join(missing)}; it has: {', '.join(named) or 'nothing'}.")
    if len(set(named)) < len(named):
        raise Invalid("The header names a column twice.")
    return columns


def _cells(text: str) -> list[str] | None:
    """The cells of one record, or None when a quote is left open or misplaced."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _record(number: int, text: str, columns: list[str], ahead: deque[tuple[int, str | Reject]]) -> Record | Reject:
    """The record that begins here; takes from `ahead` the lines that belong to it, and only those."""
    joined, taken = text, 0
    cells = _cells(joined)
    for _, following in list(ahead):
        if cells is not None or isinstance(following, Reject) or _stands_alone(following, columns):
            break
        joined, taken = joined + following, taken + 1
        cells = _cells(joined)
    if cells is None:
        return Reject(number, "a quote is opened and not closed.")
    if len(cells) != len(columns):
        return Reject(number, f"{len(cells)} columns instead of {len(columns)}.")
    for _ in range(taken):
        ahead.popleft()
    return Record(number, {name: cell for name, cell in zip(columns, cells, strict=True) if name})


def _stands_alone(text: str, columns: list[str]) -> bool:
    """Whether the line is a whole record, so that no quote opened before it may take it.

    A quote in its first cell says nothing: a first column that goes on over two lines ends like that.
    """
    cells = _cells(text)
    return cells is not None and len(cells) == len(columns) and '"' not in cells[0]


def post_id(record: Record) -> str:
    """The platform's own id; ids are opaque, and may begin with a dash."""
    value = record.values["platform_post_id"].strip()
    if not value:
        raise Invalid("platform_post_id is empty.")
    if len(value) > LONGEST_ID:
        raise Invalid(f"platform_post_id has {len(value)} characters; {LONGEST_ID} is the most.")
    return value


def moment(record: Record, column: str) -> datetime:
    """A point in time, ISO 8601; UTC where no zone is given."""
    value = record.values[column].strip()
    try:
        parsed = datetime.fromisoformat(value)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(f"{column} is not a time: {_shown(value)}.") from None


LARGEST = 2**63 - 1


def total(record: Record, column: str) -> int | None:
    """A count; None where the platform gave none."""
    value = record.values.get(column, "").strip()
    if not value:
        return None
    if not (value.isascii() and value.isdigit()) or len(value) > 19 or int(value) > LARGEST:
        raise Invalid(f"{column} is not a whole number from 0 to {LARGEST}: {_shown(value)}.")
    return int(value)


def _shown(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "…")


def usable(rows: Iterable[Record | Reject], read: Callable[[Record], Iterable[T]]) -> tuple[list[T], list[Reject]]:
    """What `read` makes of the good rows, and the rows that are none, with the reason; a row is taken whole or not."""
    found: list[T] = []
    rejects: list[Reject] = []
    for row in rows:
        try:
            if isinstance(row, Reject):
                rejects.append(row)
            else:
                found += read(row)
        except Invalid as problem:
            rejects.append(Reject(row.line, problem.sentence))
    return found, rejects


def in_batches(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, size)):
        yield batch
