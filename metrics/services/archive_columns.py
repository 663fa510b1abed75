"""The columns of a table on their way into files and back, and the checks by which both sides are compared.

Each kind of column has one form in PostgreSQL, one as it comes over the wire, and one in the files, where every reader
can use it: UUIDs and JSON are strings there, times are microseconds in UTC. Its checks are whole numbers that
PostgreSQL and we can both compute, each from its own copy; a sum that depended on the order of the rows could not be
compared exactly.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from django.db import connections

from audit.errors import Conflict
from metrics.services.uuid_texts import bytes_of_texts, crc32c_of_texts, texts_of_bytes

Checks = dict[str, dict[str, int]]  # by column and name
Numbers = np.ndarray[Any, np.dtype[Any]]
EPOCH = 946_684_800_000_000  # PostgreSQL counts microseconds from 2000, everybody else from 1970
MERGE: dict[str, Callable[[int, int], int]] = {"min": min, "max": max}  # every other check is added up
JSONB_VERSION = b"\x01"  # before the text, in PostgreSQL's binary form
MARK, ZERO = b"\x1f", b"\0"  # between texts: ASCII's own separator of units is hardly ever in one
FIRST = 30_000  # rows that say which columns have few values
FEW = 0.5  # of the rows; a column with fewer different values is kept as numbers of its values


@dataclass(frozen=True)
class Kind:
    """`sql` gives the checks as PostgreSQL computes them, `checks` as we do; {} stands for the column.

    `sent` are the bytes of a value in PostgreSQL's binary form, always `width` of them; texts have 0.
    """

    stored: pa.DataType
    sql: Mapping[str, str]
    checks: Callable[[pa.Array], dict[str, int]]
    sent: str
    width: int = 0
    select: str = "{}"

    def texts(self) -> bool:
        return bool(pa.types.is_string(self.stored))


def _crc32(values: pa.Array) -> Numbers:
    return np.fromiter(map(zlib.crc32, values.cast(pa.binary()).to_pylist()), np.int64, len(values))


def _summed(hashes: Callable[[pa.Array], Numbers], name: str) -> Callable[[pa.Array], dict[str, int]]:
    """Of a column with few different values each is hashed once."""

    def checks(column: pa.Array) -> dict[str, int]:
        if not pa.types.is_dictionary(column.type):
            return {name: int(hashes(column.drop_null()).sum(dtype=np.int64))}
        often = np.bincount(column.indices.drop_null().to_numpy(), minlength=len(column.dictionary))
        return {name: int(often @ hashes(column.dictionary).astype(np.int64))}

    return checks


def _exact_sum(numbers: Numbers) -> int:
    """Of any bigints: the halves are summed apart, so that nothing overflows."""
    return (int((numbers >> 32).sum()) << 32) + int((numbers & 0xFFFFFFFF).sum())


def _range(column: pa.Array) -> dict[str, int]:
    numbers = column.drop_null().cast(pa.int64()).to_numpy(zero_copy_only=False)
    if not len(numbers):
        return {"sum": 0}
    return {"sum": _exact_sum(numbers), "min": int(numbers.min()), "max": int(numbers.max())}


_TEXTS = _summed(_crc32, "crc32")
KINDS = {
    "uuid": Kind(
        pa.string(), {"crc32c": "sum(crc32c(uuid_send({})))"}, _summed(crc32c_of_texts, "crc32c"), "uuid_send({})", 16
    ),
    "text": Kind(pa.string(), {"crc32": "sum(crc32(textsend({})))"}, _TEXTS, "{}"),
    "jsonb": Kind(
        pa.string(),
        {"crc32": "sum(crc32(textsend({}::text)))"},
        _TEXTS,
        "{}::text",
        select="{}::text AS {}",
    ),
    "bigint": Kind(pa.int64(), {"sum": "sum({})", "min": "min({})", "max": "max({})"}, _range, "int8send({})", 8),
    "timestamp with time zone": Kind(
        pa.timestamp("us", tz="UTC"),
        {
            "sum": f"sum(timestamptz_send({{}})::bigint) + {EPOCH}::numeric * count({{}})",
            "min": f"timestamptz_send(min({{}}))::bigint + {EPOCH}",
            "max": f"timestamptz_send(max({{}}))::bigint + {EPOCH}",
        },
        _range,
        "timestamptz_send({})",
        8,
    ),
}


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    nullable: bool

    @property
    def kind(self) -> Kind:
        return KINDS[self.type]

    def select(self) -> str:
        return self.kind.select.replace("{}", f'"{self.name}"')

    def sent(self, mark: bytes) -> list[str]:
        """One string of bytes for many rows; where there may be nulls, a second one that says at which rows.

        Between two texts there is a mark: MARK, or where some text contains that, ZERO, which none can contain, but
        which costs PostgreSQL more.
        """
        name, kind = f'"{self.name}"', self.kind
        value, end = kind.sent.replace("{}", name), "''"
        if mark == ZERO and not kind.width:
            value, end = f"textsend({value})", "'\\x00'"
        if self.nullable:  # what stands there instead is not looked at
            value = f"coalesce({value}, {_nothing(kind.width)})"
        if kind.width or mark == ZERO:
            values = f"string_agg({value}, {end}::bytea)"
        else:
            values = f"textsend(string_agg({value}, chr({MARK[0]})))"
        return [values, f"string_agg(boolsend({name} IS NULL), ''::bytea)"] if self.nullable else [values]


def _nothing(width: int) -> str:
    return f"'\\x{'00' * width}'::bytea" if width else "''"


def columns_of_table(name: str, *, using: str) -> list[Column]:
    """In the table's own order. Raises Conflict where one is of a type that was never taught to travel."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT attname, format_type(atttypid, atttypmod), NOT attnotnull FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            [name],
        )
        columns = [Column(*row) for row in cursor.fetchall()]
    if strange := [f"{column.name} ({column.type})" for column in columns if column.type not in KINDS]:
        raise Conflict(f"{name} has columns that no archive can hold yet: {', '.join(strange)}.")
    return columns


def fingerprint(columns: Sequence[Column]) -> str:
    said = "\n".join(f"{column.name} {column.type}" for column in sorted(columns, key=lambda column: column.name))
    return hashlib.sha256(said.encode()).hexdigest()


# --- On the way --------------------------------------------------------------------------------------------------


def few_values(batch: pa.RecordBatch) -> set[str]:
    """The columns of strings that repeat themselves, by their first rows: of those only the numbers are written."""
    kinds = (pa.types.is_string, pa.types.is_fixed_size_binary)
    return {
        field.name
        for field, column in zip(batch.schema, map(_plain, batch.slice(length=FIRST).columns), strict=True)
        if any(kind(column.type) for kind in kinds) and pc.count_distinct(column).as_py() < FEW * len(column)
    }


def received(column: Column, pieces: Sequence[bytes], nulls: Sequence[bytes], rows: int, mark: bytes) -> pa.Array:
    """What PostgreSQL sent for some rows, piece by piece; behind each text there still is the mark.

    Raises ValueError where it is not as many.
    """
    width = column.kind.width
    joined = b"".join(pieces) if width else mark.join([*pieces, b""])
    raw = np.frombuffer(joined, np.uint8)
    valid = None
    if any(map(any, nulls)):
        valid = pa.py_buffer(np.packbits(np.frombuffer(b"".join(nulls), np.uint8) == 0, bitorder="little"))
    if not width:
        offsets = np.append(0, np.flatnonzero(raw == mark[0]) + 1).astype(np.int32)
        if len(offsets) != rows + 1:
            raise ValueError(f"{len(offsets) - 1} values of {column.name} in {rows} rows")
        return pa.Array.from_buffers(pa.string(), rows, [valid, pa.py_buffer(offsets), pa.py_buffer(joined)])
    if len(raw) != rows * width:
        raise ValueError(f"{len(raw)} bytes of {column.name} in {rows} rows")
    if column.type == "uuid":
        return pa.Array.from_buffers(pa.binary(width), rows, [valid, pa.py_buffer(raw)])
    numbers = raw.view(">i8").astype(np.int64)
    if pa.types.is_timestamp(column.kind.stored):
        numbers += EPOCH
    return pa.Array.from_buffers(column.kind.stored, rows, [valid, pa.py_buffer(numbers)])


def sent_again(
    batch: pa.RecordBatch, columns: Sequence[Column], rows: Sequence[int], mark: bytes
) -> Iterator[tuple[str, list[int]]]:
    """From the forms of the files back into what PostgreSQL sent, in pieces of so many rows: for each value of a column
    its name, and the CRC-32C of each piece. Raises ValueError where something in it is not of the column's kind."""
    rest = np.cumsum([0, *rows])
    for column in columns:
        array = _plain(batch.column(column.name))
        data, places = _as_sent(column, array, mark)
        between = 0 if column.kind.width else len(mark)
        ends = [int(place) for place in places[rest]]
        yield column.name, [google_crc32c.value(data[begin : end - between]) for begin, end in pairwise(ends)]
        if column.nullable:
            nulls = array.is_null().to_numpy(zero_copy_only=False).tobytes()
            yield column.name, [google_crc32c.value(nulls[begin:end]) for begin, end in pairwise(rest)]


def _as_sent(column: Column, array: pa.Array, mark: bytes) -> tuple[bytes, Numbers]:
    """All values one after another, a text with the mark behind it, and where each begins (and the last one ends)."""
    width, rows = column.kind.width, len(array)
    if not width:
        texts = _of_values(array, lambda values: pc.binary_join_element_wise(values.cast(pa.binary()), b"", mark))
        texts = texts.fill_null(mark)
        _, offsets, data = texts.buffers()
        return data.to_pybytes(), np.frombuffer(offsets, np.int32, rows + 1, 4 * texts.offset)
    places = np.arange(rows + 1) * width
    if column.type == "uuid":
        raw = _of_values(array, bytes_of_texts).fill_null(bytes(width))
        return raw.buffers()[1].slice(width * raw.offset, width * rows).to_pybytes(), places
    epoch = EPOCH if pa.types.is_timestamp(column.kind.stored) else 0
    numbers = array.cast(pa.int64()).fill_null(epoch).to_numpy() - epoch
    return numbers.astype(">i8").tobytes(), places


def _of_values(array: pa.Array, change: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Each value changed; one that repeats itself only once."""
    if pa.types.is_dictionary(array.type):
        return change(array.dictionary).take(array.indices)
    return change(array)


def stored(batch: pa.RecordBatch, few: set[str], *, marked: bool) -> pa.RecordBatch:
    """As it came over the wire, in the forms of the files; texts may still be `marked`, as they are when received."""
    arrays = [_stored(_plain(batch.column(name)), name in few, marked) for name in batch.schema.names]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _plain(column: pa.Array) -> pa.Array:
    return column.storage if isinstance(column, pa.ExtensionArray) else column


def _stored(column: pa.Array, few: bool, marked: bool) -> pa.Array:
    if few:
        coded = column.dictionary_encode()
        return pa.DictionaryArray.from_arrays(coded.indices, _stored(coded.dictionary, False, marked))
    if marked and pa.types.is_string(column.type):
        return pc.binary_slice(column.cast(pa.binary()), 0, -1).cast(pa.string())
    return texts_of_bytes(column) if pa.types.is_fixed_size_binary(column.type) else column


def for_copy(batch: pa.RecordBatch, columns: Sequence[Column]) -> pa.RecordBatch:
    """From the forms of the files into those that PostgreSQL's binary COPY takes."""
    arrays = [_for_copy(batch.column(column.name), column.type) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def _for_copy(column: pa.Array, kind: str) -> pa.Array:
    if kind not in {"uuid", "jsonb"}:
        return column
    if kind == "uuid":
        return _of_values(column, bytes_of_texts)
    return _of_values(column, lambda texts: pc.binary_join_element_wise(JSONB_VERSION, texts.cast(pa.binary()), b""))


# --- Compared ----------------------------------------------------------------------------------------------------


def checks_of(batch: pa.RecordBatch, columns: Sequence[Column]) -> Checks:
    found: Checks = {}
    for column in columns:
        array = batch.column(column.name)
        nulls = {"nulls": array.null_count} if column.nullable else {}
        found[column.name] = nulls | column.kind.checks(array)
    return found


def merged(one: Checks, other: Checks) -> Checks:
    """Of two parts of a table together."""
    both = {}
    for column in one.keys() | other.keys():
        mine, theirs = one.get(column, {}), other.get(column, {})
        both[column] = {
            name: MERGE.get(name, int.__add__)(mine[name], theirs[name])
            if name in mine and name in theirs
            else {**mine, **theirs}[name]
            for name in mine.keys() | theirs.keys()
        }
    return both


def checks_sql(table: str, columns: Sequence[Column]) -> str:
    """One statement for all checks of a table, which PostgreSQL spreads over its workers."""
    said = ["count(*)"]
    for column in columns:
        name = f'"{column.name}"'
        said += [f"count(*) - count({name})"] if column.nullable else []
        said += [check.replace("{}", name) for check in column.kind.sql.values()]
    return f'SELECT {", ".join(said)} FROM ONLY "{table}"'


def checks_from_row(row: Sequence[Any], columns: Sequence[Column]) -> tuple[int, Checks]:
    """The rows, and the checks as `checks_of` gives them."""
    rows, *values = row
    left, found = iter(values), {}
    for column in columns:
        names = [*(["nulls"] if column.nullable else []), *column.kind.sql]
        told = {name: next(left) for name in names}
        sums = {name: int(value or 0) for name, value in told.items() if name not in MERGE}
        found[column.name] = sums | {name: int(told[name]) for name in MERGE if told.get(name) is not None}
    return int(rows), found


def columns_of_checks(checks: Checks) -> list[Column]:
    """The columns as they were when these checks were taken, whatever the table has become since."""
    kinds = {"crc32c": "uuid", "crc32": "text", "sum": "bigint"}
    return [
        Column(name, next(kinds[check] for check in found if check in kinds), "nulls" in found)
        for name, found in checks.items()
    ]


def different(one: Checks, other: Checks) -> list[str]:
    """The columns whose checks differ."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
