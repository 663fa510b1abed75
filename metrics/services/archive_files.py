"""A month into a file, and a file read back: both sides of the comparison before anything leaves PostgreSQL."""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.db import connections

from metrics.models import MetricArchive
from metrics.partitions import PartitionedTable
from metrics.services.archive_batches import Sent, ahead, hot_batches
from metrics.services.archive_columns import (
    Checks,
    Column,
    checks_from_row,
    checks_of,
    checks_sql,
    merged,
    sent_again,
)
from metrics.services.archive_receipts import USING
from metrics.services.archive_store import ArchiveFile, FileProblem, Store, told
from metrics.services.watching import SILENT, Watch


def write(
    table: PartitionedTable, leaf: str, columns: Sequence[Column], directory: str, receipt: MetricArchive, watch: Watch
) -> tuple[str, list[Sent]]:
    """Every row of the month into a new file; returns its path, and what PostgreSQL said of the rows that it sent.
    Nothing of it stays when it fails."""
    store, writer, written = Store(), None, None
    sent: list[Sent] = []
    batches = hot_batches(table, leaf, columns, using=USING)
    with (
        store.new_file(directory, receipt) as (path, stream),
        closing(batches),
        ThreadPoolExecutor(1) as pen,  # one batch is written while the next is put into form
    ):
        for batch, told_of_it in batches:
            writer = writer or pq.ParquetWriter(stream, batch.schema, **_options(batch.schema))
            if written is not None:
                written.result()
            written = pen.submit(writer.write_batch, batch)
            sent.append(told_of_it)
            watch.rows(batch.num_rows)
        if writer is not None and written is not None:
            written.result()
            writer.close()
    return path, sent


def _options(schema: pa.Schema) -> dict[str, Any]:
    """How each column is written: repeated strings as numbers of their values, numbers and times by their steps."""
    kinds = {field.name: field.type for field in schema}
    few = [name for name, kind in kinds.items() if pa.types.is_dictionary(kind)]
    texts = [name for name, kind in kinds.items() if pa.types.is_string(kind)]
    steps = dict.fromkeys(kinds.keys() - {*few, *texts}, "DELTA_BINARY_PACKED")
    return {
        "compression": "zstd",
        "use_dictionary": few,
        "column_encoding": steps,
        "write_statistics": sorted(steps),  # texts that repeat lie all over, others are not asked by range
        "store_schema": False,  # without Arrow's own schema every reader finds plain strings, ours too
    }


def checks_of_table(leaf: str, columns: Sequence[Column]) -> tuple[int, Checks]:
    """What PostgreSQL itself says of the month."""
    with connections[USING].cursor() as cursor:
        cursor.execute(checks_sql(leaf, columns))
        return checks_from_row(cursor.fetchone() or (), columns)


def batches_of_file(
    store: Store, file: ArchiveFile, columns: Sequence[Column]
) -> Generator[pa.RecordBatch, None, None]:
    """Row group by row group, repeated strings as numbers of their values, which is how they were written."""
    with told(f"{store.shown(file.path)} cannot be read", FileProblem):
        with store.parquet(file) as plain:
            names, few = plain.schema_arrow.names, _repeating(plain.metadata)
        if missing := [column.name for column in columns if column.name not in names]:
            raise FileProblem(f"{store.shown(file.path)} has no column {', '.join(missing)}.")
        with store.parquet(file, read_dictionary=few) as parquet:
            for group in range(parquet.num_row_groups):
                yield from parquet.read_row_group(group).combine_chunks().to_batches()


def _repeating(metadata: pq.FileMetaData) -> list[str]:
    if not metadata.num_row_groups:
        return []
    group = metadata.row_group(0)
    chunks = [group.column(index) for index in range(group.num_columns)]
    return [
        chunk.path_in_schema
        for chunk in chunks
        if "RLE_DICTIONARY" in chunk.encodings and chunk.physical_type == "BYTE_ARRAY"
    ]


def checks_of_file(
    store: Store, file: ArchiveFile, columns: Sequence[Column], watch: Watch = SILENT
) -> tuple[int, Checks]:
    """What is really in the file."""
    rows, found = 0, Checks()
    with closing(ahead(batches_of_file(store, file, columns))) as batches, _told_of_damage(store, file):
        for batch in batches:
            found = merged(found, checks_of(batch, columns))
            rows += batch.num_rows
            watch.rows(batch.num_rows)
    return rows, found


def compared(
    leaf: str, columns: Sequence[Column], path: str, sent: Sequence[Sent], watch: Watch
) -> tuple[ArchiveFile, Checks, list[str]]:
    """The file as it now lies there, its checks, and the columns in which it is not the table.

    What is read back is put into the form again in which PostgreSQL sent it, and must have, byte by byte, the CRC-32C
    that PostgreSQL computed where the rows are. That no row was left out is told by PostgreSQL's own count.
    """
    store, file = Store(), ArchiveFile(path, 0, 0, "")
    rows, found, wrong, left = 0, Checks(), set[str](), iter(sent)
    with ThreadPoolExecutor(2) as beside, closing(ahead(batches_of_file(store, file, columns))) as batches:
        counted = beside.submit(_count_beside, leaf)
        hashed = beside.submit(store.sha256, path)
        with _told_of_damage(store, file):
            for batch in batches:
                found = merged(found, checks_of(batch, columns))
                wrong |= _not_as_sent(batch, columns, next(left, None))
                rows += batch.num_rows
                watch.rows(batch.num_rows)
        size, sha256 = hashed.result()
        if rows != counted.result() or next(left, None):
            wrong.add("rows")
    return ArchiveFile(path, rows, size, sha256), found, sorted(wrong)


def _not_as_sent(batch: pa.RecordBatch, columns: Sequence[Column], sent: Sent | None) -> set[str]:
    if sent is None or batch.num_rows != sum(sent.rows):
        return {"rows"}
    again = sent_again(batch, columns, sent.rows, sent.mark)
    return {name for (name, crcs), theirs in zip(again, sent.crcs, strict=True) if crcs != theirs}


@contextmanager
def _told_of_damage(store: Store, file: ArchiveFile) -> Iterator[None]:
    try:
        yield
    except ValueError as problem:
        raise FileProblem(f"{store.shown(file.path)} is damaged: {problem}.") from None


def _count_beside(leaf: str) -> int:
    """In a thread, which has a connection of its own."""
    try:
        with connections[USING].cursor() as cursor:
            cursor.execute(f'SELECT count(*) FROM ONLY "{leaf}"')
            return int(cursor.fetchone()[0])
    finally:
        connections.close_all()
