"""A month as Arrow record batches: out of PostgreSQL, and out of a receipt's files."""

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
from adbc_driver_postgresql import StatementOptions
from django.db import OperationalError, connections
from psycopg.conninfo import make_conninfo

from metrics.models import MetricArchive
from metrics.partitions import PartitionedTable
from metrics.services.archive_columns import Column, columns_of_table, few_values, stored
from metrics.services.archive_store import FileProblem, Store, files_of, told

BATCH_BYTES = 8 << 20  # of rows as PostgreSQL sends them: some 75,000 events, and what becomes a row group
KEYWORDS = {"host", "port", "user", "password", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey", "service"}


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
) -> Iterator[pa.RecordBatch]:
    """Every row of a month that is in PostgreSQL, in the forms of the files. Memory is a few batches at any size.

    While one batch is put into form, PostgreSQL already sends the next.
    """
    columns = columns or columns_of_table(table.name, using=using)
    few: set[str] | None = None
    with adbc_connection(using) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(BATCH_BYTES)})
        cursor.execute(f'SELECT {", ".join(column.select() for column in columns)} FROM ONLY "{leaf}"')
        for batch in _ahead(cursor.fetch_record_batch()):
            if few is None:
                few = few_values(batch)
            yield stored(batch, few)


def _ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same, with one batch read in advance by a thread."""
    ready: queue.Queue[Any] = queue.Queue(maxsize=1)
    over = threading.Event()

    def put(item: Any) -> None:
        while not over.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def read() -> None:
        try:
            for batch in batches:
                put(batch)
                if over.is_set():
                    return
            put(None)
        except (OSError, pa.ArrowException) as error:  # PostgreSQL's, although they look like a file's
            put(OperationalError(str(error).strip()))
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        over.set()
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
