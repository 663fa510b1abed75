"""Files and streams of measurements, read piece by piece: CSV, NDJSON and Parquet.

A CSV file or a Parquet file is long (a column metric_type, and one number a row) or wide (a column for each measure).
What a piece holds and where it ends are known together, so that whoever stopped there goes on from there.
"""

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property, partial
from hashlib import sha256
from typing import Any, BinaryIO
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq

from audit.errors import Invalid
from content.post_file import (
    LONGEST_ID,
    LONGEST_LINE,
    REST,
    Line,
    Reject,
    Row,
    check_columns,
    parse_moment,
    read_header,
    read_lines,
    read_rows,
    shown,
    whole,
)
from metrics.choices import MetricType
from metrics.events import measured
from metrics.services.ingest import CHUNK, KINDS, Columns, Measurement, Thing

HEAD = 1 << 16  # bytes by which an input is known again
MB = 1 << 20
MANY = 100_000  # texts whose meaning is remembered
# The specification's names are understood beside ours.
OTHER_NAMES = {"content_id": "artifact_id", "metric_value": "increase"}
UNDERSTOOD = {
    *("platform", "platform_post_id", "artifact_id", "metric_type", "observed_at", "source", "event_id"),
    *("increase", "total", "value", *MetricType.values),
}

NAMES = ("platform", "platform_post_id", "artifact_id", "metric_type", "source")  # the same few, over and over
BLOCK = 16 * MB  # of a file of lines, read at once
Reading = Callable[[Row], Iterable[Measurement]]  # raises Invalid: a row is taken whole or not


class Format(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


@dataclass(frozen=True)
class HowToRead:
    """What the input itself does not say."""

    format: Format
    platform: str = ""  # of rows that name none
    source: str = "file"  # likewise
    cumulative: bool = False  # the numbers of a wide file, and those of a column `value`, are running totals


@dataclass(frozen=True)
class Piece:
    """Some rows of an input, and where they end."""

    measurements: list[Measurement | Columns]
    rejects: list[Reject]
    row_count: int
    text: Callable[[], bytes]  # as it was read, a row in a line
    first_line: int
    position: int  # bytes up to here; of Parquet, rows
    line: int
    sha256: str  # of the input up to here; of Parquet, of all of it

    def row(self, line: int) -> str:
        """What stands in that line."""
        lines = self._lines
        at = line - self.first_line
        return lines[at].decode(errors="backslashreplace").rstrip("\r") if at < len(lines) else ""

    @cached_property
    def _lines(self) -> list[bytes]:
        return self.text().split(b"\n")


class Changed(Exception):
    """The input does not begin as it did when it was read up to here."""


class Input:
    """A file or stream that stands at its beginning. `identity` is what it is known by when it comes again."""

    def __init__(self, stream: BinaryIO, how: HowToRead) -> None:
        self.spool = _spooled(stream) if how.format == Format.PARQUET and not stream.seekable() else None
        stream = self.spool or stream
        self.stream, self.how = stream, how
        head = b""
        while len(head) < HEAD and (more := stream.read(HEAD - len(head))):
            head += more
        self.identity = sha256(repr(how).encode() + head).hexdigest()
        self.size = None
        if stream.seekable():
            self.size = stream.seek(0, os.SEEK_END)
            self.rewind()
        else:
            self.stream = io.BufferedReader(_Again(head, stream), MB)

    def close(self) -> None:
        if self.spool:
            self.spool.close()

    def rewind(self) -> bool:
        """Whether it can be read from its beginning once more."""
        if self.size is not None:
            self.stream.seek(0)
        return self.size is not None

    def pieces(self, *, position: int = 0, line: int = 0, digest: str = "") -> Iterator[Piece]:
        """What comes after `position`. Raises Changed when what comes before has not that digest."""
        if self.how.format == Format.PARQUET:
            return self._of_parquet(position, digest)
        return self._of_lines(position, line, digest)

    def _of_lines(self, position: int, line: int, digest: str) -> Iterator[Piece]:
        """Block by block; a block is read at once where all of it is plain, and row by row where not."""
        hashed, table, start, inside = sha256(), None, 0, False
        if self.how.format == Format.CSV:
            first = next(read_lines(self.stream), None)
            table = Table(read_header(first), self.how)
            raw = first.raw if first else b""
            hashed.update(raw)
            start, line = len(raw), max(line, 1)
        if position:
            inside = _skip(self.stream, position - start, hashed) not in {b"", b"\n"}
            if hashed.hexdigest() != digest:
                raise Changed
        position, block, is_last = max(position, start), b"", False
        while True:
            if not is_last and len(block) < BLOCK // 2:
                more = self.stream.read(BLOCK)
                is_last = len(more) < BLOCK
                block += more if is_last else more + self.stream.readline(LONGEST_LINE)
            if not block:
                return
            measurements: list[Measurement | Columns]
            rejects: list[Reject] = []
            is_whole = not inside and (is_last or block.endswith(b"\n"))
            found = (table.at_once if table else json_at_once)(block, line) if is_whole else None
            if found:
                taken, block, measurements = block, b"", [found]
                row_count = taken.count(b"\n") + (not taken.endswith(b"\n"))
            else:
                rows, block = _some_rows(block, self.stream, line, inside, table)
                taken = b"".join(row.raw for row in rows)
                measurements, rejects = _taken(rows, table.row if table else _read_json)
                row_count = sum(bool(row.cells or row.problem) for row in rows)
                inside = not taken.endswith(b"\n") and len(rows[-1].raw) == LONGEST_LINE
            hashed.update(taken)
            position += len(taken)
            first_line = line + 1
            line += taken.count(b"\n") + (is_last and not block and not taken.endswith(b"\n"))
            yield Piece(
                measurements, rejects, row_count, partial(bytes, taken), first_line, position, line, hashed.hexdigest()
            )

    def _of_parquet(self, position: int, digest: str) -> Iterator[Piece]:
        """A batch at once where all of it is plain; otherwise row by row as text, so that a time or a number is
        understood as in a CSV file. A row's line is its number.
        """
        hashed = sha256()
        while part := self.stream.read(MB):
            hashed.update(part)
        if position and hashed.hexdigest() != digest:
            raise Changed
        self.stream.seek(0)
        try:
            file = pq.ParquetFile(self.stream)
            names = {name: name.strip().lower() for name in file.schema_arrow.names}
            check_columns(names.values(), ())
            wanted = [name for name, told in names.items() if OTHER_NAMES.get(told, told) in UNDERSTOOD]
            table = Table([names[name] for name in wanted], self.how)
            first = 0
            for group in range(file.num_row_groups):
                last = first + file.metadata.row_group(group).num_rows
                if last > position:
                    for batch in file.iter_batches(CHUNK, row_groups=[group], columns=wanted):
                        begin, first = first, first + batch.num_rows
                        if first > position:
                            here = max(begin, position)
                            rows = batch.select(wanted).slice(here - begin)
                            yield _of_batch(rows, table, here, hashed.hexdigest())
                first = last
        except (pa.ArrowException, OSError) as problem:
            if getattr(problem, "errno", None):
                raise
            raise Invalid(f"This is no Parquet file that can be read: {str(problem).splitlines()[0]}") from None


def _of_batch(batch: pa.RecordBatch, table: "Table", line: int, digest: str) -> Piece:
    """`line` is the number of the row before it."""
    measurements: list[Measurement | Columns]
    if found := table.batch_at_once(batch, line):
        measurements, rejects = [found], list[Reject]()
    else:
        measurements, rejects = _taken(_text_rows(batch, line + 1), table.row)

    def text() -> bytes:
        return b"\n".join(row.raw for row in _text_rows(batch, line + 1))

    last = line + batch.num_rows
    return Piece(measurements, rejects, batch.num_rows, text, line + 1, last, last, digest)


def _some_rows(
    block: bytes, stream: BinaryIO, line: int, inside: bool, table: "Table | None"
) -> tuple[list[Row], bytes]:
    """The rows that begin in the block, and what was read behind them: a record may go on behind its end."""
    source = _Recorded(block, stream)
    lines = read_lines(source, line, inside)
    rows, size = [], 0
    for row in read_rows(lines, table.columns) if table else map(_row, lines):
        rows.append(row)
        size += len(row.raw)
        if size >= len(block) or len(rows) == CHUNK:
            break
    return rows, source.after(size)


class _Recorded:
    """Lines of a block, and then of what comes after it."""

    def __init__(self, block: bytes, stream: BinaryIO) -> None:
        self.block, self.lines, self.stream, self.beyond = block, io.BytesIO(block), stream, b""

    def readline(self, limit: int, /) -> bytes:
        line = self.lines.readline(limit)
        if not line.endswith(b"\n") and len(line) < limit:
            more = self.stream.readline(limit - len(line))
            self.beyond += more
            line += more
        return line

    def after(self, size: int) -> bytes:
        return (self.block + self.beyond)[size:]


def _taken(rows: Iterable[Row], read: Reading) -> tuple[list[Measurement | Columns], list[Reject]]:
    measurements: list[Measurement | Columns] = []
    rejects: list[Reject] = []
    for row in rows:
        if row.problem:
            rejects.append(Reject(row.line, row.problem))
        elif row.cells:
            try:
                measurements += read(row)
            except Invalid as problem:
                rejects.append(Reject(row.line, problem.sentence))
    return measurements, rejects


# What the columns say


class Table:
    """How rows with these columns are understood. Raises Invalid when they cannot be."""

    def __init__(self, columns: list[str], how: HowToRead) -> None:
        self.columns, self.how = columns, how
        told = [OTHER_NAMES.get(name, name) for name in columns]
        check_columns(told, ())
        self.place = place = {name: at for at, name in enumerate(told) if name}
        if not {"platform_post_id", "artifact_id"} & place.keys():
            check_columns(columns, ["platform_post_id"])
        check_columns(columns, ["observed_at"])
        if "platform" not in place and not how.platform:
            raise Invalid("The file has no column platform, so say which it is: --platform youtube.")
        self.measures = [kind for kind in MetricType.values if kind in place]
        self.numbers: list[str] = [name for name in ("increase", "total", "value") if name in place]
        self.is_long = "metric_type" in place
        if self.is_long and not self.numbers:
            check_columns(columns, ["increase"])
        if not self.is_long and not self.measures:
            raise Invalid(f"The file has neither a column metric_type nor one called {', '.join(MetricType.values)}.")
        if not self.is_long and len(self.measures) > 1 and "event_id" in place:
            raise Invalid(
                "One event_id cannot name the several measures of a row. Leave that column out, or write one measure in"
                " each row, with the columns metric_type and increase."
            )
        self.moments = _Remembered(lambda text: parse_moment(text, "observed_at"))
        self.artifacts = _Remembered(lambda text: _uuid(text, "artifact_id"))

    def row(self, row: Row) -> Iterable[Measurement]:
        """One row, looked at with care."""

        def cell(name: str) -> str:
            return row.cells[self.place[name]].strip() if name in self.place else ""

        post, artifact = cell("platform_post_id"), cell("artifact_id")
        if not post and not artifact:
            raise Invalid(f"{'platform_post_id' if 'platform_post_id' in self.place else 'artifact_id'} is empty.")
        if len(post) > LONGEST_ID:
            raise Invalid(f"platform_post_id has {len(post)} characters; {LONGEST_ID} is the most.")
        numbers = self._long(cell) if self.is_long else self._wide(cell)
        moment = self.moments[cell("observed_at")]
        platform, source = cell("platform") or self.how.platform, cell("source") or self.how.source
        event_id = _uuid(cell("event_id"), "event_id") if cell("event_id") else None
        return [
            Measurement(
                row.line,
                platform,
                kind,
                moment,
                source,
                post or None,
                None if post else self.artifacts[artifact],
                None if is_total else number,
                number if is_total else None,
                event_id,
            )
            for kind, number, is_total in numbers
        ]

    def _wide(self, cell: Callable[[str], str]) -> list[tuple[str, int, bool]]:
        """An empty cell is a number that the platform does not tell."""
        told = [(kind, whole(cell(kind), kind), self.how.cumulative) for kind in self.measures if cell(kind)]
        if not told:
            raise Invalid(f"no totals; the columns are called {', '.join(MetricType.values)}.")
        return told

    def _long(self, cell: Callable[[str], str]) -> list[tuple[str, int, bool]]:
        kind = cell("metric_type")
        if kind not in KINDS:
            raise Invalid(f"metric_type is none of {', '.join(KINDS)}: {shown(kind)}.")
        told = [(name, whole(cell(name), name)) for name in self.numbers if cell(name)]
        if len(told) != 1:
            raise Invalid(f"give one number: {' or '.join(self.numbers)}.")
        ((name, number),) = told
        return [(kind, number, self._is_total(name))]

    def _is_total(self, name: str) -> bool:
        return name == "total" or (name != "increase" and self.how.cumulative)

    def at_once(self, block: bytes, line: int) -> Columns | None:
        """All rows of a block that holds nothing unusual; None when it does, and then each row says what is wrong.

        What is understood here is understood by `row` in the same way, a hundred times slower.
        """
        if b'"' in block or b"\0" in block or b"\n\n" in block or block.startswith(b"\n"):
            return None
        if _longest_line(block) >= LONGEST_LINE or block.count(b"\r") != block.count(b"\r\n") or (b"\r\n\r\n" in block):
            return None
        try:
            block.decode()  # also what stands in columns that nobody reads
            return self._columns(self._arrow(block), line)
        except (UnicodeDecodeError, pa.ArrowException, _Unusual):
            return None

    def batch_at_once(self, batch: pa.RecordBatch, line: int) -> Columns | None:
        """The same for rows of a Parquet file."""
        found = {}
        names = (OTHER_NAMES.get(name, name) for name in self.columns)
        try:
            for name, column in zip(names, batch.columns, strict=True):
                if name in NAMES:
                    found[name] = _given_texts(column).dictionary_encode()
                elif name == "event_id":
                    found[name] = _hex(column) if column.type == pa.binary(16) else _given_texts(column)
                elif name == "observed_at":
                    found[name] = _moments(column)
                elif name in self._numbers:
                    found[name] = column if pa.types.is_integer(column.type) else _numbers(_given_texts(column))
            return self._columns({**found, **{name: _not_negative(found[name]) for name in self._numbers}}, line)
        except (UnicodeDecodeError, pa.ArrowException, _Unusual):
            return None

    @property
    def _numbers(self) -> list[str]:
        return self.numbers if self.is_long else list(self.measures)

    def _arrow(self, block: bytes) -> dict[str, Any]:
        names = [OTHER_NAMES.get(name, name) or f" {at}" for at, name in enumerate(self.columns)]
        few = pa.dictionary(pa.int32(), pa.string())
        numbers = self._numbers
        types = dict.fromkeys(NAMES, few)
        types |= {"observed_at": pa.timestamp("us", "UTC"), "event_id": pa.string()}
        types |= dict.fromkeys(numbers, pa.string())  # Arrow's own numbers may be negative or hexadecimal
        wanted = [name for name in names if name in types]
        table = pacsv.read_csv(
            pa.BufferReader(block),
            pacsv.ReadOptions(column_names=names, use_threads=False, block_size=len(block) + 1),
            pacsv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            pacsv.ConvertOptions(
                column_types=types, include_columns=wanted, null_values=[""], strings_can_be_null=True
            ),
        )
        found = {name: table.column(name).combine_chunks() for name in wanted}
        return found | {name: _numbers(found[name]) for name in numbers}

    def _columns(self, found: dict[str, Any], line: int) -> Columns:
        amount = len(found["observed_at"])
        platforms, platform = _texts(found.get("platform"), amount, self.how.platform)
        sources, source = _texts(found.get("source"), amount, self.how.source)
        keys, key = self._keys(found, amount)
        pairs, thing = np.unique(platform.astype(np.int64) << 32 | key, return_inverse=True)
        things: list[Thing] = [(platforms[pair >> 32], keys[pair & 0xFFFFFFFF]) for pair in pairs.tolist()]
        given = found.get("event_id")
        ids, id_given = _ids(given, amount) if given is not None else (np.zeros(amount, "V16"), False)
        parts = [
            (kind, values, is_total, np.flatnonzero(told)) for kind, values, is_total, told in self._told(found, amount)
        ]
        if sum(len(rows) for *_, rows in parts) < amount or not amount:
            raise _Unusual
        rows = np.concatenate([rows for *_, rows in parts])
        instant = _whole(found["observed_at"].cast(pa.int64()))
        return Columns(
            lines=line + 1 + rows,
            things=things,
            thing=thing[rows],
            sources=sources,
            source=source[rows],
            kind=np.concatenate([np.broadcast_to(kind, amount)[rows] for kind, _, _, rows in parts]),
            instant=instant[rows],
            value=np.concatenate([values[rows] for _, values, _, rows in parts]),
            is_total=np.concatenate([np.full(len(rows), is_total) for _, _, is_total, rows in parts]),
            key=ids[rows],
            id_given=np.full(len(rows), id_given),
        )

    def _told(self, found: dict[str, Any], amount: int) -> Iterator[tuple[Any, Any, bool, Any]]:
        """(measure of each row, numbers, whether they are totals, which rows have one)."""
        if not self.is_long:
            told = np.zeros(amount, int)
            for kind in self.measures:
                there = np.asarray(found[kind].is_valid())
                told += there
                yield KINDS[kind], _whole(found[kind].fill_null(0)), self.how.cumulative, there
            if not told.all():
                raise _Unusual
            return
        kinds, kind = _texts(found["metric_type"], amount, "")
        if not set(kinds) <= KINDS.keys():
            raise _Unusual
        numbered = np.array([KINDS[name] for name in kinds])[kind]
        told = np.zeros(amount, int)
        for name in self.numbers:
            there = np.asarray(found[name].is_valid())
            told += there
            yield numbered, _whole(found[name].fill_null(0)), self._is_total(name), there
        if (told != 1).any():
            raise _Unusual

    def _keys(self, found: dict[str, Any], amount: int) -> tuple[list[str | UUID], Any]:
        """What each row is of: a post where it names one, an artifact otherwise."""
        posts, post = _texts(found.get("platform_post_id"), amount, "")
        artifacts, artifact = _texts(found.get("artifact_id"), amount, "")
        is_artifact = np.array([not text for text in posts], bool)[post]
        if (is_artifact & np.array([not text for text in artifacts], bool)[artifact]).any():
            raise _Unusual
        try:
            ids: list[str | UUID] = [UUID(text) if text else "" for text in artifacts]
        except ValueError:
            raise _Unusual from None
        return [*posts, *ids], np.where(is_artifact, artifact + len(posts), post)


# Lines of JSON

_JSON = {"increase": pa.int64(), "total": pa.int64()}
_TEXTS = ("event_id", "platform", "artifact_id", "platform_post_id", "metric_type", "observed_at", "source")
_AS_JSON = pajson.ParseOptions(
    explicit_schema=pa.schema(dict.fromkeys(_TEXTS, pa.string()) | _JSON), unexpected_field_behavior="error"
)
_UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_MOMENT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$"


def json_at_once(block: bytes, line: int) -> Columns | None:
    """The events of all lines, as `measured` understands each by itself; None when one of them is unusual."""
    if b"\\u" in block or b"null" in block or b"\r" in block or _longest_line(block) >= LONGEST_LINE:
        return None
    try:
        block.decode()
        options = pajson.ReadOptions(use_threads=False, block_size=len(block) + 1)
        found = pajson.read_json(pa.BufferReader(block), options, _AS_JSON)
        is_post, is_artifact = (found[name].is_valid() for name in ("platform_post_id", "artifact_id"))
        if (
            found.num_rows != block.count(b"\n") + (not block.endswith(b"\n"))
            or found["platform"].null_count
            or not pc.all(pc.xor(is_post, is_artifact)).as_py()
            or any(pc.any(pc.equal(found[name], "")).as_py() for name in _TEXTS)
            or not _all_match(found["event_id"], _UUID)
            or not _all_match(found["artifact_id"], _UUID)
            or not _all_match(found["observed_at"], _MOMENT)
        ):
            return None
        at = found.schema.get_field_index("observed_at")
        found = found.set_column(at, "observed_at", found["observed_at"].cast(pa.timestamp("us", "UTC")))
        (batch,) = found.combine_chunks().to_batches()
        return Table(found.column_names, HowToRead(Format.NDJSON, source="api")).batch_at_once(batch, line)
    except (UnicodeDecodeError, pa.ArrowException):
        return None


def _all_match(column: Any, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(column.drop_null(), pattern), min_count=0).as_py())


def _longest_line(block: bytes) -> int:
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10)
    return int(np.diff(ends, prepend=-1, append=len(block)).max())


class _Unusual(Exception):
    """Something that only a careful look can name."""


def _given_texts(column: Any) -> Any:
    """An empty text says nothing, as NULL does."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise _Unusual
    return pc.if_else(pc.equal(column, ""), None, column.cast(pa.string()))


def _hex(column: Any) -> Any:
    return pa.array([key and key.hex() for key in column.to_pylist()], pa.string())


def _moments(column: Any) -> Any:
    if column.null_count or not (pa.types.is_timestamp(column.type) and column.type.tz):
        raise _Unusual
    return column.cast(pa.timestamp("us", "UTC"), safe=False)  # Spark and pandas write nanoseconds


def _not_negative(column: Any) -> Any:
    whole = column.cast(pa.int64())
    if not pc.all(pc.greater_equal(whole, 0), min_count=0).as_py():
        raise _Unusual
    return whole


def _texts(column: Any, amount: int, default: str) -> tuple[list[str], Any]:
    """The few texts of a column, and which of them each row has."""
    if column is None:
        return [default], np.zeros(amount, np.int64)
    texts = column.dictionary.to_pylist()
    if any(text != text.strip() for text in texts):
        raise _Unusual
    places = np.asarray(column.indices.fill_null(len(texts)), np.int64)
    return texts + [default] * bool(column.null_count), places


def _numbers(column: Any) -> Any:
    """Digits, and nothing else, as whole numbers."""
    digits = pc.and_(pc.string_is_ascii(column), pc.utf8_is_decimal(column))
    if not pc.all(pc.and_(digits, pc.less_equal(pc.binary_length(column), 19)), min_count=0).as_py():
        raise _Unusual
    return column.cast(pa.int64())


def _whole(column: Any) -> Any:
    return column.to_numpy(zero_copy_only=False)


def _ids(column: Any, amount: int) -> tuple[Any, bool]:
    """16 bytes of each UUID; all rows have one, or none."""
    if column.null_count == amount:
        return np.zeros(amount, "V16"), False
    digits = pc.replace_substring(column, "-", "")
    if column.null_count or not pc.all(pc.equal(pc.binary_length(digits), 32)).as_py():
        raise _Unusual
    try:
        ids = np.frombuffer(bytes.fromhex("".join(digits.to_pylist())), "V16")
    except ValueError:
        raise _Unusual from None
    if len(ids) != amount:  # spaces inside
        raise _Unusual
    return ids, True


def _uuid(text: str, column: str) -> UUID:
    try:
        return UUID(text.strip())
    except ValueError:
        raise Invalid(f"{column} is not a UUID: {shown(text)}.") from None


class _Remembered(dict[str, Any]):
    """What a text means; files say the same times and names over and over."""

    def __init__(self, mean: Callable[[str], Any]) -> None:
        self.mean = mean

    def __missing__(self, text: str) -> Any:
        if len(self) >= MANY:
            self.clear()
        self[text] = found = self.mean(text)
        return found


def _row(line: Line) -> Row:
    """A line of NDJSON; one that is too long was told once."""
    is_empty = line.problem == REST or not (line.problem or line.text.strip())
    return Row(line.number, [] if is_empty else [line.text], "" if is_empty else line.problem, line.raw)


def _read_json(row: Row) -> Iterable[Measurement]:
    found = measured(row.line, row.cells[0].encode())
    if isinstance(found, Reject):
        raise Invalid(found.reason)
    return [found]


def _text_rows(batch: pa.RecordBatch, first: int) -> list[Row]:
    columns = [_column_of_texts(name.strip().lower(), batch.column(name)) for name in batch.schema.names]
    rows = enumerate(zip(*columns, strict=True), first)
    return [
        Row(number, list(cells), "", ",".join(cells).replace("\n", " ").encode(errors="backslashreplace"))
        for number, cells in rows
    ]


def _column_of_texts(name: str, column: Any) -> list[str]:
    """As a CSV file has it: nothing for NULL, whole numbers without a point, ids as UUIDs."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)  # Spark and pandas write nanoseconds
    is_id = OTHER_NAMES.get(name, name) in {"event_id", "artifact_id"}
    return [_text(each, is_id) for each in column]


def _text(scalar: Any, is_id: bool) -> str:
    try:
        value = scalar.as_py()
    except (ValueError, OverflowError, UnicodeDecodeError):
        return "unreadable"
    if value is None:
        return ""
    if isinstance(value, bytes):
        return str(UUID(bytes=value)) if is_id and len(value) == 16 else value.decode(errors="backslashreplace")
    if isinstance(value, float | Decimal) and value == value // 1:
        return str(int(value))
    return value.isoformat() if isinstance(value, datetime) else str(value)


# Streams


class _Again(io.RawIOBase):
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self.head, self.rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self.head[: len(buffer)] or self.rest.read(len(buffer))
        self.head = self.head[len(part) :]
        buffer[: len(part)] = part
        return len(part)


def _spooled(stream: BinaryIO) -> BinaryIO:
    """Parquet is read from its end; what comes through a pipe waits in a file without a name."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - it goes when the stream does
    shutil.copyfileobj(stream, spool, MB)
    spool.seek(0)
    return spool


def _skip(stream: BinaryIO, amount: int, hashed: Any) -> bytes:
    """Read on by so much; returns the last byte."""
    last = b""
    while amount > 0 and (part := stream.read(min(amount, MB))):
        hashed.update(part)
        amount -= len(part)
        last = part[-1:]
    return last
