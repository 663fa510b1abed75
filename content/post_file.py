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
from typing import BinaryIO, NamedTuple, Protocol, TypeVar

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


REST = "…"  # the problem of what follows of a line that is too long: it was told already


class Lines(Protocol):
    def readline(self, limit: int, /) -> bytes: ...


class Line(NamedTuple):
    number: int  # from 1, the header included
    text: str
    problem: str  # why it cannot be read; empty when it can
    raw: bytes


class Row(NamedTuple):
    """One row of a CSV file, or what is wrong with it, and its bytes.

    With neither cells nor a problem it is an empty line, or the rest of one that was too long.
    """

    line: int
    cells: list[str]
    problem: str
    raw: bytes


def read_records(stream: BinaryIO, required: Iterable[str]) -> Iterator[Record | Reject]:
    """Every row of the file, good or bad. Raises Invalid when it is no such file (no header, columns missing)."""
    lines = read_lines(stream)
    columns = read_header(next(lines, None), required)
    for row in read_rows(lines, columns):
        if row.problem:
            yield Reject(row.line, row.problem)
        elif row.cells:
            yield Record(row.line, {name: cell for name, cell in zip(columns, row.cells, strict=True) if name})


def read_lines(stream: Lines, after: int = 0, inside: bool = False) -> Iterator[Line]:
    """The lines of a stream that stands behind line `after`, or inside the next one, which is too long."""
    number = after + inside
    while raw := stream.readline(LONGEST_LINE):
        goes_on, inside = inside, len(raw) == LONGEST_LINE and not raw.endswith(b"\n")
        text = problem = ""
        if goes_on:
            problem = REST
        elif inside:
            problem = f"the line is longer than {LONGEST_LINE:,} bytes."
        else:
            try:
                text = raw.decode("utf-8-sig" if number == 0 else "utf-8")
            except UnicodeDecodeError:
                problem = "the line is not UTF-8."
            else:
                if "\x00" in text:
                    problem = "the line contains a NUL character."
        number += not goes_on
        yield Line(number, text, problem, raw)


def read_header(first: Line | None, required: Iterable[str] = ()) -> list[str]:
    """The names of the columns, in small letters; empty ones are passed over. Raises Invalid when it is no header."""
    if first is None:
        raise Invalid("The file is empty.")
    if first.problem:
        raise Invalid(f"The file does not begin with a header: {first.problem}")
    columns = [name.strip().lower() for name in _cells(first.text) or []]
    check_columns(columns, required)
    return columns


def check_columns(columns: Iterable[str], required: Iterable[str]) -> None:
    named = [name for name in columns if name]  # spreadsheets leave empty columns behind
    if missing := [name for name in required if name not in named]:
        raise Invalid(f"The header has no column {', '.join(missing)}; it has: {', '.join(named) or 'nothing'}.")
    if len(set(named)) < len(named):
        raise Invalid("The header names a column twice.")


def _cells(text: str) -> list[str] | None:
    """The cells of one record, or None when a quote is left open or misplaced."""
    plain = text.rstrip("\r\n")
    if '"' not in plain and "\r" not in plain:
        return plain.split(",")
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def read_rows(lines: Iterator[Line], columns: list[str]) -> Iterator[Row]:
    """Every row below the header, good or bad, and the empty lines between them."""
    width = len(columns)
    ahead: deque[Line] = deque()
    while line := ahead.popleft() if ahead else next(lines, None):
        number, text, problem, raw = line
        if problem or not text.strip():
            yield Row(number, [], "" if problem == REST else problem, raw)
            continue
        cells = _cells(text)
        if cells is None:
            ahead.extend(islice(lines, LINES_IN_A_RECORD - 1 - len(ahead)))
            cells, more = _continued(text, columns, ahead)
            raw += more
        if cells is None:
            yield Row(number, [], "a quote is opened and not closed.", raw)
        elif len(cells) != width:
            yield Row(number, [], f"{len(cells)} columns instead of {width}.", raw)
        else:
            yield Row(number, cells, "", raw)


def _continued(text: str, columns: list[str], ahead: deque[Line]) -> tuple[list[str] | None, bytes]:
    """The record that goes on over the next lines; takes from `ahead` the lines that belong to it, and only those."""
    joined, taken, cells = text, 0, None
    for following in ahead:
        if following.problem or _stands_alone(following.text, columns):
            break
        joined, taken = joined + following.text, taken + 1
        cells = _cells(joined)
        if cells is not None:
            break
    if cells is None or len(cells) != len(columns):  # only its first line is given up
        return cells, b""
    return cells, b"".join(ahead.popleft().raw for _ in range(taken))


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
    return parse_moment(record.values[column], column)


def parse_moment(text: str, column: str) -> datetime:
    """A point in time, ISO 8601; UTC where no zone is given."""
    value = text.strip()
    try:
        parsed = datetime.fromisoformat(value)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(f"{column} is not a time: {shown(value)}.") from None


LARGEST = 2**63 - 1


def whole(text: str, column: str) -> int:
    """A count."""
    value = text.strip()
    if not (value.isascii() and value.isdigit()) or len(value) > 19 or int(value) > LARGEST:
        raise Invalid(f"{column} is not a whole number from 0 to {LARGEST}: {shown(value)}.")
    return int(value)


def shown(value: str) -> str:
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
