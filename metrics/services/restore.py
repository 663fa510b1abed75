"""A month comes back from its files: into a table beside, and on request into the table that it left.

The files are hashed before anything is read from them. Rows, indexes and key come in one transaction that ends by
giving the table its name, so a table of that name is whole, whenever a run was killed. Indexes are built after the
rows are in, which is several times quicker than keeping them up to date.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from django.db import connections
from psycopg import sql

from audit.context import Actor, acting
from audit.errors import Conflict
from metrics.choices import UNFINISHED, ArchiveState
from metrics.models import MetricArchive
from metrics.partitions import Month, PartitionedTable, attach
from metrics.patience import PATIENCE, patiently
from metrics.services.archive_batches import adbc_connection
from metrics.services.archive_columns import Column, columns_of_table, different, fingerprint, for_copy
from metrics.services.archive_files import batches_of_file, checks_of_table
from metrics.services.archive_receipts import USING, change, receipt_of, still_mine, working_on
from metrics.services.archive_store import FileProblem, Store, columns_of, files_of
from metrics.services.watching import SILENT, Watch

MEMORY = "256MB"  # of PostgreSQL's, while it builds an index
INDEX = re.compile(r"^CREATE (UNIQUE )?INDEX .+? ON (?:ONLY )?\S+ USING ")


def restore_month(
    *,
    table: PartitionedTable,
    month: Month,
    actor: Actor,
    attached: bool = False,
    watch: Watch = SILENT,
    patience: float = PATIENCE,
) -> str:
    """Bring a month back; returns the name of the table that holds it.

    Raises Conflict where it never left, where a lock was in the way or the rows are not those of the receipt, and
    FileProblem where a file is not what it was. Nothing has changed then.
    """
    with acting(actor), working_on(table, month):
        return _Restoring(table, month, watch, patience).go(attached)


def drop_restored(
    *, table: PartitionedTable, month: Month, actor: Actor, watch: Watch = SILENT, patience: float = PATIENCE
) -> str:
    """Remove the table beside; its rows are in the files. Returns its name."""
    with acting(actor), working_on(table, month):
        return _Restoring(table, month, watch, patience).drop()


class _Restoring:
    def __init__(self, table: PartitionedTable, month: Month, watch: Watch, patience: float) -> None:
        self.table, self.month, self.watch, self.patience = table, month, watch, patience
        self.name, self.leaf = f"{table.name} {month}", table.leaf(month)
        self.beside, self.draft = f"{self.leaf}_restored", f"{self.leaf}_restoring"

    def go(self, attached: bool) -> str:
        receipt = receipt_of(self.table, self.month)
        if receipt is None:
            raise Conflict(f"{self.name} was never archived.")
        if receipt.state in UNFINISHED:
            raise Conflict(
                f"{self.name} has not left PostgreSQL: its archive is {receipt.get_state_display()}. "
                "Run archive_metrics to its end first."
            )
        if receipt.state == ArchiveState.RESTORED:
            self.watch.done(self.name, "left", why="it is attached already")
            return self.leaf
        columns = columns_of_table(self.table.name, using=USING)
        if fingerprint(columns) != receipt.schema_fingerprint:
            raise Conflict(
                f"The columns of {self.table.name} have changed since {self.month} was archived; "
                "read the files with query_archive instead."
            )
        if self._exists(self.beside):
            self.watch.done(self.name, "left", why=f"{self.beside} is there already")
            if attached:
                self._must_be_the_receipts(self.beside, receipt, columns)
        else:
            self.load(receipt, columns)
        if not attached:
            return self.beside
        self.attach(receipt)
        return self.leaf

    # --- The steps ---------------------------------------------------------------------------------------------------

    def load(self, receipt: MetricArchive, columns: Sequence[Column]) -> None:
        self._files_must_be_whole(receipt)
        patiently(self._make_draft, f"Making {self.draft}", self.table.name, self.draft, using=USING, tell=self._tell)
        self.watch.begin(f"loading {self.name}", receipt.row_count)
        with adbc_connection(USING) as connection, connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL maintenance_work_mem = '{MEMORY}'")
            batches = self._batches(receipt, columns)
            first = next(batches)
            reader = pa.RecordBatchReader.from_batches(first.schema, _again(first, batches))
            cursor.adbc_ingest(self.draft, reader, mode="append")
            self.watch.begin(f"building the indexes of {self.name}", 0)
            for statement in self._indexes():
                cursor.execute(statement)
            cursor.execute(f'ALTER TABLE "{self.draft}" RENAME TO "{self.beside}"')
            connection.commit()
        self._must_be_the_receipts(self.beside, receipt, columns)
        self.watch.done(self.name, "restored", rows=receipt.row_count, name=self.beside)

    def attach(self, receipt: MetricArchive) -> None:
        def once(cursor: Any) -> None:
            receipt_of(self.table, self.month, lock=True)
            still_mine(cursor, self.table, self.month)
            names = {"beside": sql.Identifier(self.beside), "leaf": sql.Identifier(self.leaf)}
            for reader in self._readers(cursor):
                cursor.execute(sql.SQL("REVOKE ALL ON {beside} FROM {}").format(sql.Identifier(reader), **names))
            cursor.execute(sql.SQL("ALTER TABLE {beside} RENAME TO {leaf}").format(**names))
            attach(cursor, self.table, self.month, self.leaf)
            cursor.execute(sql.SQL("ALTER TABLE {leaf} DROP CONSTRAINT {}").format(self._bounds, **names))
            change(receipt, "restore", state=ArchiveState.RESTORED)

        what = f"Attaching {self.name}"
        tables = (self.table.name, self.beside)
        patiently(once, what, *tables, using=USING, tell=self._tell, patience=self.patience)
        self.watch.done(self.name, "attached", name=self.leaf)

    def drop(self) -> str:
        if not self._exists(self.beside):
            raise Conflict(
                f"There is no table {self.beside}. A month that is attached leaves again with archive_metrics "
                f"--table {self.table.name} --month {self.month}."
            )

        def once(cursor: Any) -> None:
            still_mine(cursor, self.table, self.month)
            cursor.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(self.beside)))

        what = f"Dropping {self.beside}"
        patiently(once, what, self.beside, using=USING, tell=self._tell, patience=self.patience)
        self.watch.done(self.name, "removed", name=self.beside)
        return self.beside

    # --- What they need ----------------------------------------------------------------------------------------------

    @property
    def _tell(self) -> Any:
        return self.watch.tell

    @property
    def _bounds(self) -> sql.Identifier:
        return sql.Identifier(f"{self.leaf}_bounds")

    def _make_draft(self, cursor: Any) -> None:
        """Empty, with the parent's columns and checks, and with the month's bounds as one more: ATTACH need not look
        at the rows then."""
        still_mine(cursor, self.table, self.month)
        draft, parent, key = map(sql.Identifier, (self.draft, self.table.name, self.table.key))
        bounds = sql.Literal(self.month.start), sql.Literal(self.month.plus(1).start)
        cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(draft))  # of a run that was killed
        cursor.execute(
            sql.SQL(
                "CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE,"
                " CONSTRAINT {} CHECK ({} >= {} AND {} < {}))"
            ).format(draft, parent, self._bounds, key, bounds[0], key, bounds[1])
        )
        for reader in self._readers(cursor):
            cursor.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(draft, sql.Identifier(reader)))

    def _readers(self, cursor: Any) -> list[str]:
        """Whoever may read the table may read the month beside it."""
        cursor.execute(
            "SELECT DISTINCT grantee::regrole::text FROM pg_class, aclexplode(relacl)"
            " WHERE oid = %s::regclass AND privilege_type = 'SELECT' AND grantee <> relowner AND grantee <> 0",
            [self.table.name],
        )
        return [name for (name,) in cursor.fetchall()]

    def _batches(self, receipt: MetricArchive, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
        store = Store()
        for file in files_of(receipt):
            for batch in batches_of_file(store, file, columns):
                yield for_copy(batch, columns)
                self.watch.rows(batch.num_rows)

    def _indexes(self) -> list[str]:
        """The parent's key and indexes, on the draft; ATTACH then takes them for its own."""
        with connections[USING].cursor() as cursor:
            cursor.execute(
                "SELECT c.contype = 'p', pg_get_constraintdef(c.oid), pg_get_indexdef(i.indexrelid)"
                " FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid"
                " WHERE i.indrelid = %s::regclass ORDER BY c.contype = 'p', i.indexrelid",
                [self.table.name],
            )
            return [
                f'ALTER TABLE "{self.draft}" ADD {constraint}'
                if is_key
                else INDEX.sub(rf'CREATE \1INDEX ON "{self.draft}" USING ', definition)
                for is_key, constraint, definition in cursor.fetchall()
            ]

    def _files_must_be_whole(self, receipt: MetricArchive) -> None:
        store, files = Store(), files_of(receipt)
        if not files:
            raise FileProblem(f"The receipt of {self.name} names no file.")
        for file in files:
            if store.sha256(file.path) != (file.bytes, file.sha256):
                raise FileProblem(f"{store.shown(file.path)} is not what was written: its SHA-256 differs.")

    def _must_be_the_receipts(self, name: str, receipt: MetricArchive, columns: Sequence[Column]) -> None:
        rows, found = checks_of_table(name, columns)
        wrong = different(found, columns_of(receipt))
        if rows != receipt.row_count:
            wrong = ["rows", *wrong]
        if wrong:
            raise Conflict(
                f"{name} is not what was archived ({', '.join(wrong)} differ): remove it with --drop and restore again."
            )

    def _exists(self, name: str) -> bool:
        with connections[USING].cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name])
            return bool(cursor.fetchone()[0])


def _again(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest
