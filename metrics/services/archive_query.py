"""SQL over hot and cold months together, in DuckDB, which reads nothing but what is handed to it.

Each month is one relation, and the tables are views over all of them that give each month its bounds: where a query
asks for some weeks, DuckDB leaves the other months out while it plans, and they are never read. Archived months are
handed over as the files of their receipt; those in PostgreSQL are brought over when the plan asks for them, in one
snapshot with the receipts, so that each row is there exactly once. DuckDB itself may touch neither files nor networks.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
from django.db import connections, transaction

from audit.errors import Conflict, Invalid
from metrics.models import MetricArchive
from metrics.partitions import TABLES, Month, PartitionedTable
from metrics.services.archive_batches import adbc_connection
from metrics.services.archive_columns import Column, columns_of_table, stored
from metrics.services.archive_store import Store, files_of
from metrics.services.whereabouts import hold_months, whereabouts

MEMORY = "512MB"  # of DuckDB, which writes to a temporary directory beyond it
BATCH = 10_000  # rows
QUICK = {"compression": "zstd", "compression_level": 1}  # of files that live for one query
# DuckDB may be busy for a while between two months.
NEVER_TOO_IDLE = "SET LOCAL idle_in_transaction_session_timeout = 0"
LOCKED = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "memory_limit": MEMORY,
}
NOT_INSTALLED = (
    "This needs DuckDB, which is in the dependency group “analysis”: "
    "uv sync --group analysis, or pip install 'duckdb>=2,<3'."
)


class HotMonth:
    """A month in PostgreSQL, brought over into a temporary file when DuckDB first asks for it.

    Not straight into DuckDB: it asks for all of its sources at once, and each would need a connection of its own.
    """

    def __init__(self, hot: "Hot", table: PartitionedTable, month: Month, columns: list[Column]) -> None:
        self.hot, self.table, self.month, self.columns = hot, table, month, columns
        self.wanted: set[str] = {column.name for column in columns}
        self.file: Path | None = None

    def __arrow_c_schema__(self) -> object:
        return _schema(self.columns).__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        with self.hot.lock:
            self.file = self.file or self.hot.bring(self)
        file = pq.ParquetFile(self.file)
        batches = (self._whole(batch) for batch in file.iter_batches(BATCH))
        return pa.RecordBatchReader.from_batches(_schema(self.columns), batches).__arrow_c_stream__()

    def _whole(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """With the columns that the plan does not read: nobody looks at them."""
        arrays = [
            batch.column(column.name) if column.name in self.wanted else pa.nulls(len(batch), column.kind.stored)
            for column in self.columns
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=_schema(self.columns))


class Hot(ExitStack):
    """The connection through which months come over; all of them as they were in one instant."""

    def __init__(self, snapshot: str, directory: str) -> None:
        super().__init__()
        self.snapshot, self.directory, self.lock = snapshot, Path(directory), threading.Lock()
        self.connection: Any = None

    def bring(self, month: HotMonth) -> Path:
        file = self.directory / f"{month.table.leaf(month.month)}.parquet"
        columns = [column for column in month.columns if column.name in month.wanted]
        key, start, end = month.table.key, month.month.start, month.month.plus(1).start
        if self.connection is None:
            self.connection = self._connect()
        schema = _schema(columns)
        with self.connection.cursor() as cursor, pq.ParquetWriter(file, schema, **QUICK) as writer:
            cursor.execute(
                f"SELECT {', '.join(column.select() for column in columns)} FROM {month.table.name}"
                f" WHERE {key} >= '{start.isoformat()}' AND {key} < '{end.isoformat()}'"
            )
            for batch in cursor.fetch_record_batch():
                writer.write_batch(stored(batch, set(), marked=False).cast(schema))
        return file

    def _connect(self) -> Any:
        connection = self.enter_context(adbc_connection("default"))
        role = connections["default"].settings_dict["OPTIONS"].get("assume_role")
        with connection.cursor() as cursor:
            for statement in (
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
                f"SET TRANSACTION SNAPSHOT '{self.snapshot}'",
                *([f'SET ROLE "{role}"'] if role else []),
                NEVER_TOO_IDLE,
            ):
                cursor.execute(statement)
        return connection


@contextmanager
def query(text: str, *, cold_only: bool = False) -> Iterator[pa.RecordBatchReader]:
    """The rows that the query gives, batch by batch; they are read while this is open.

    Raises Invalid for what is no query, or one that DuckDB does not understand.
    """
    try:
        import duckdb
    except ImportError:
        raise Invalid(NOT_INSTALLED) from None
    with TemporaryDirectory(prefix="gatehouse-query-") as directory, transaction.atomic(durable=True):
        snapshot = _snapshot()
        with (
            Hot(snapshot, directory) as hot,
            closing(duckdb.connect(":memory:", config={**LOCKED, "temp_directory": directory})) as engine,
        ):
            try:
                months = [month for table in TABLES for month in _view(engine, table, hot, cold_only)]
                engine.execute("SET TimeZone = 'UTC'")
                engine.execute("SET lock_configuration = true")
                _refuse_what_is_no_query(engine, text)
                wanted = _columns_of_the_plan(engine, text)
                for month in months:
                    month.wanted = wanted & month.wanted or {month.table.key}
                yield engine.sql(text).to_arrow_reader(BATCH)
            except BrokenPipeError:
                raise  # of whoever reads our answer
            except duckdb.Error as error:
                raise Invalid(f"DuckDB says: {str(error).strip()}") from None
            except (pa.ArrowException, OSError) as error:
                raise Conflict(f"A file of the archive cannot be read (verify_archives tells more): {error}") from None


def _snapshot() -> str:
    """Everything is read as it is now, and no month moves until the end; other connections may join in."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        hold_months(*TABLES, using="default")
        cursor.execute(NEVER_TOO_IDLE)
        cursor.execute("SELECT pg_export_snapshot()")
        (name,) = cursor.fetchone()
        return str(name)


def _schema(columns: list[Column]) -> pa.Schema:
    return pa.schema([(column.name, column.kind.stored) for column in columns])


def _view(engine: Any, table: PartitionedTable, hot: Hot, cold_only: bool) -> Iterator[HotMonth]:
    """The table as a view over its months; yields those that come from PostgreSQL."""
    columns = columns_of_table(table.name, using="default")
    places = whereabouts(table)
    if places.lost:
        names = ", ".join(str(month) for month in places.lost)
        raise Conflict(f"{table.name} is not whole: {names} is in no partition, and its receipt has no files.")
    sources: dict[Month, Any] = {month: _files(receipt, columns) for month, receipt in places.cold.items()}
    if not cold_only:
        sources |= {month: HotMonth(hot, table, month, columns) for month in places.hot}
    empty = f"{table.name}_none"
    engine.register(empty, _schema(columns).empty_table())
    parts = [f"SELECT *, 0 AS year, 0 AS month FROM {empty}"]
    for month, source in sorted(sources.items()):
        engine.register(table.leaf(month), source)
        parts.append(
            f"SELECT *, {month.year} AS year, {month.month} AS month FROM {table.leaf(month)}"
            f" WHERE {table.key} >= TIMESTAMPTZ '{month.start.isoformat()}'"
            f" AND {table.key} < TIMESTAMPTZ '{month.plus(1).start.isoformat()}'"
        )
    engine.execute(f"CREATE VIEW {table.name} AS {' UNION ALL '.join(parts)}")
    yield from (source for source in sources.values() if isinstance(source, HotMonth))


def _files(receipt: MetricArchive, columns: list[Column]) -> pa.dataset.Dataset:
    """Those that the receipt names and no others; columns that are younger than they are read as nulls."""
    store = Store()
    paths = [store.full(file.path) for file in files_of(receipt)]
    # Not pa.dataset.dataset(), which looks at each file: most queries read few of them.
    return pa.dataset.FileSystemDataset.from_paths(
        paths, schema=_schema(columns), format=pa.dataset.ParquetFileFormat(), filesystem=store.fs
    )


def _refuse_what_is_no_query(engine: Any, text: str) -> None:
    statements = engine.extract_statements(text)
    if len(statements) != 1:
        raise Invalid("Give one query: SELECT … FROM metric_event or audit_log.")
    if statements[0].type.name != "SELECT":
        raise Invalid("Only queries are answered here (SELECT …): the archive is never written by a query.")


def _columns_of_the_plan(engine: Any, text: str) -> set[str]:
    """Those that some month is asked for. A plan that reads otherwise than expected gets them all."""
    import duckdb

    everything = {column.name for table in TABLES for column in columns_of_table(table.name, using="default")}
    try:
        (plan,) = json.loads(engine.execute(f"EXPLAIN (FORMAT json) {text}").fetchall()[0][1])
        scans = [node for node in _nodes(plan) if node["name"] == "PYTHON_ARROW_SCAN"]
        told = [scan["extra_info"]["Projections"] for scan in scans]
    except (duckdb.Error, KeyError, IndexError, TypeError, ValueError):
        return everything
    named = {name for names in told for name in ([names] if isinstance(names, str) else names)}
    return named if named <= everything else everything


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node["children"]:
        yield from _nodes(child)
