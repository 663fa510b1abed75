"""A month as Arrow record batches: out of PostgreSQL, and out of a receipt's files."""

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple, TypeVar

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import psycopg
import pyarrow as pa
from django.db import OperationalError, connections
from psycopg.conninfo import make_conninfo

from metrics.models import MetricArchive
from metrics.partitions import PartitionedTable
from metrics.services.archive_columns import MARK, ZERO, Column, columns_of_table, few_values, received, stored
from metrics.services.archive_store import FileProblem, Store, files_of, told

BATCH_BYTES = 6 << 20  # of rows as PostgreSQL sends them: some 60,000 events, and what becomes a row group
PIECE_BYTES = 2400 << 10  # of the table, asked for at once
READERS = 2  # connections
T = TypeVar("T")
KEYWORDS = {"host", "port", "user", "password", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey", "service"}


class Piece(NamedTuple):
    """Some rows as PostgreSQL sent them; a nullable column has two values."""

    mark: bytes  # what is between texts
    rows: int
    values: Sequence[bytes]
    crcs: Sequence[int]  # of each value, as PostgreSQL computed them where the rows are


class Sent(NamedTuple):
    """What PostgreSQL said of the pieces of a batch."""

    mark: bytes
    rows: list[int]  # by piece
    crcs: list[list[int]]  # by value, and there by piece


Pieces = Generator[list[Piece], None, None]


@contextmanager
def adbc_connection(using: str = "migrator") -> Iterator[adbc.Connection]:
    """Another connection to the same database, which speaks Arrow. Its errors become Django's."""
    given = connections[using].get_connection_params()
    address = make_conninfo(**{name: value for name, value in given.items() if name in KEYWORDS and value})
    try:
        with adbc.connect(address) as connection:
            yield connection
    except adbc_driver_manager.Error as error:
        raise OperationalError(str(error).strip()) from error


def hot_batches(
    table: PartitionedTable, leaf: str, columns: Sequence[Column] | None = None, *, using: str = "migrator"
) -> Generator[tuple[pa.RecordBatch, Sent], None, None]:
    """Every row of a month that is in PostgreSQL, in the forms of the files. Memory is a few batches at any size.

    While one batch is put into form, PostgreSQL already sends the next, on two connections: one alone would take as
    long as the writing, and each would wait for the other. Close it: the connections wait for who takes the batches.
    """
    columns = columns or columns_of_table(table.name, using=using)
    few: set[str] | None = None
    readers = [_collected(_pieces(leaf, columns, using, number)) for number in range(READERS)]
    with closing(ahead(*readers)) as batches:
        for pieces in batches:
            records = _received(pieces, columns)
            if few is None:
                few = few_values(records)
            crcs = list(map(list, zip(*(piece.crcs for piece in pieces), strict=True)))
            yield stored(records, few, marked=True), Sent(pieces[0].mark, [piece.rows for piece in pieces], crcs)


def _received(pieces: Sequence[Piece], columns: Sequence[Column]) -> pa.RecordBatch:
    mark, rows = pieces[0].mark, sum(piece.rows for piece in pieces)
    left = iter(list(zip(*(piece.values for piece in pieces), strict=True)))
    arrays = [received(column, next(left), next(left) if column.nullable else (), rows, mark) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def _pieces(leaf: str, columns: Sequence[Column], using: str, number: int = 0) -> Iterator[Piece]:
    """Some blocks of the table at a time, each column in one value; every READERS-th piece, from `number` on.

    PostgreSQL puts columns together quicker than anybody takes rows apart. Each piece is small enough to stay in the
    processor's caches. That it is several statements does no harm: a closed month cannot change.
    """
    try:
        with connections[using].wrap_database_errors, connections[using].cursor() as cursor:
            cursor.execute("SET max_parallel_workers_per_gather = 0")  # all columns have the rows in the same order
            cursor.execute(
                "SELECT pg_relation_size(%s), pg_table_size(%s), current_setting('block_size')::int", [leaf, leaf]
            )
            heap, size, block = cursor.fetchone()
            blocks, mark = heap // block, MARK
            step = max(1, PIECE_BYTES * blocks // max(1, size))
            for first in range(number * step, blocks, READERS * step):
                piece = _piece(leaf, columns, first, first + step, using, mark)
                if mark == MARK and not _unmistakable(piece, columns):
                    mark = ZERO
                    piece = _piece(leaf, columns, first, first + step, using, mark)
                if piece.rows:
                    yield piece
    finally:
        connections[using].close()


def _piece(leaf: str, columns: Sequence[Column], first: int, last: int, using: str, mark: bytes) -> Piece:
    sent = [aggregate for column in columns for aggregate in column.sent(mark)]
    names = [f"value_{number}" for number in range(len(sent))]
    values = ", ".join(f"{value} AS {name}" for value, name in zip(sent, names, strict=True))
    crcs = ", ".join(f"crc32c({name})" for name in names)
    with psycopg.Cursor(connections[using].connection) as cursor:
        cursor.execute(
            f"SELECT count, {', '.join(names)}, {crcs} FROM (SELECT count(*), {values}"
            f' FROM ONLY "{leaf}" WHERE ctid >= %s::tid AND ctid < %s::tid) sent',
            (f"({first},0)", f"({last},0)"),
            binary=True,
        )
        (rows, *told) = cursor.fetchone() or (0,)
        return Piece(mark, rows, told[: len(names)], told[len(names) :])


def _unmistakable(piece: Piece, columns: Sequence[Column]) -> bool:
    """No text of it contains the mark."""
    left = iter(piece.values)
    firsts = [(column, next(left), column.nullable and next(left))[:2] for column in columns]
    return not piece.rows or all(column.kind.width or value.count(MARK) == piece.rows - 1 for column, value in firsts)


def _collected(pieces: Iterator[Piece]) -> Pieces:
    """As many pieces as make a batch, all with the same mark."""
    some: list[Piece] = []
    size = 0
    for piece in pieces:
        if some and (size >= BATCH_BYTES or some[0].mark != piece.mark):
            yield some
            some, size = [], 0
        some.append(piece)
        size += sum(map(len, piece.values))
    if some:
        yield some


def ahead(*sources: Generator[T, None, None]) -> Generator[T, None, None]:
    """What all of them give, as it comes; each is read by a thread, one step ahead."""
    ready: queue.Queue[Any] = queue.Queue(maxsize=1)
    over = threading.Event()
    end = object()

    def put(item: Any) -> None:
        while not over.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def read(source: Generator[T, None, None]) -> None:
        try:
            for item in source:
                put(item)
                if over.is_set():
                    return
            put(end)
        except BaseException as error:
            put(error)
        finally:
            source.close()

    threads = [threading.Thread(target=read, args=[source], daemon=True) for source in sources]
    for thread in threads:
        thread.start()
    left = len(threads)
    try:
        while left:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            if item is end:
                left -= 1
            else:
                yield item
    finally:
        over.set()
        for thread in threads:
            thread.join()


def cold_batches(receipt: MetricArchive, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Every row of a receipt's files, one batch a row group."""
    store = Store()
    for file in files_of(receipt):
        parquet = store.parquet(file)
        with told(f"{store.shown(file.path)} cannot be read", FileProblem):
            for group in range(parquet.num_row_groups):
                (batch,) = parquet.read_row_group(group, columns=columns).combine_chunks().to_batches() or [None]
                if batch is not None:
                    yield batch
