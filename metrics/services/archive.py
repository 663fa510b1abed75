"""A month leaves PostgreSQL: closed, exported, compared, detached, dropped.

Each step ends with one commit that holds both what was done and its receipt, so that a run that is killed at any
instruction leaves the month in one of five states, and the next run goes on from there. From the first step on nothing
can be written into the month: the export is of rows that cannot change. Rows leave PostgreSQL only after the file was
read back and found to be the same.
"""

from dataclasses import asdict
from typing import Any

from django.db import connections, transaction
from django.utils import timezone
from psycopg import sql

from audit.context import Actor, acting
from audit.errors import Conflict
from metrics.choices import ArchiveState
from metrics.models import MetricArchive
from metrics.partitions import Month, PartitionedTable, leaves
from metrics.patience import PATIENCE, patiently
from metrics.services.archive_columns import columns_of_table, fingerprint
from metrics.services.archive_files import compared, write
from metrics.services.archive_receipts import USING, change, create, receipt_of, still_mine, working_on
from metrics.services.archive_store import Store, directory
from metrics.services.watching import SILENT, Watch

EXPORTS = 3  # tries, where a file turns out not to be the table


class Changed(Exception):
    """The month is no longer what was exported."""


def archive_month(
    *, table: PartitionedTable, month: Month, actor: Actor, watch: Watch = SILENT, patience: float = PATIENCE
) -> MetricArchive | None:
    """The whole way, or what is left of it; returns the receipt, or None where the month has no rows.

    Raises Busy, Conflict (a lock, or a month that is not what it should be) and StoreProblem. A month that was closed
    stays closed then, with all of its rows in PostgreSQL, and the next run goes on.
    """
    with acting(actor), working_on(table, month):
        return _Archiving(table, month, watch, patience, str(actor.id)).go()


class _Archiving:
    def __init__(self, table: PartitionedTable, month: Month, watch: Watch, patience: float, who: str) -> None:
        self.table, self.month, self.watch, self.patience, self.who = table, month, watch, patience, who
        self.name, self.leaf = f"{table.name} {month}", table.leaf(month)
        self.directory = directory(table.name, month)

    def go(self) -> MetricArchive | None:
        receipt = receipt_of(self.table, self.month)
        if receipt is None or receipt.state in (ArchiveState.RESTORED, ArchiveState.EXPORTING):
            receipt = self.close(receipt)
        if receipt is not None and receipt.state == ArchiveState.EXPORTING:
            receipt = self.export(receipt)
        while receipt is not None and receipt.state == ArchiveState.VERIFIED:
            try:
                receipt = self.detach(receipt)
            except Changed:
                self.watch.tell(f"{self.name} is no longer what was exported: it is exported anew.")
                receipt = self.export(receipt)
        if receipt is not None and receipt.state == ArchiveState.DETACHED:
            receipt = self.drop(receipt)
        return receipt

    # --- The steps ---------------------------------------------------------------------------------------------------

    def close(self, receipt: MetricArchive | None) -> MetricArchive | None:
        """From here on no row comes in, by whatever door.

        The constraint and the receipt commit together. For the constraint PostgreSQL waits until all writers of the
        month are through, those too that looked for a receipt before there was one.
        """
        self._must_be_attached()
        columns = columns_of_table(self.table.name, using=USING)
        if receipt is None and not has_rows(self.table, self.month):
            self.watch.done(self.name, "left", why="it has no rows")
            return None
        Store().prepare(self.directory)  # what cannot be written to is told before the month is closed

        def once(cursor: Any) -> MetricArchive:
            locked = receipt_of(self.table, self.month, lock=True)
            still_mine(cursor, self.table, self.month)
            self._seal(cursor)
            if locked is None:
                return create(self.table, self.month, fingerprint=fingerprint(columns), created_by=self.who)
            if locked.state == ArchiveState.EXPORTING:
                return locked
            values = {"state": ArchiveState.EXPORTING, "created_by": self.who, "problem": None}
            return change(locked, "close", schema_fingerprint=fingerprint(columns), **values)

        closed = self._patiently(once, "Closing", self.leaf)
        self.watch.done(self.name, "closed")
        return closed

    def export(self, receipt: MetricArchive) -> MetricArchive:
        """Written, read back, compared; only then does the receipt name the file."""
        columns, store = columns_of_table(self.table.name, using=USING), Store()
        for left in reversed(range(EXPORTS)):
            store.remove_leftovers(self.directory, receipt)
            self.watch.begin(f"exporting {self.name}", estimated_rows(self.table, self.month))
            path, sent = write(self.table, self.leaf, columns, self.directory, receipt, self.watch)
            self.watch.begin(f"comparing {self.name}", estimated_rows(self.table, self.month))
            file, checks, wrong = compared(self.leaf, columns, path, sent, self.watch)
            if not wrong:
                break
            store.remove(path)
            self.watch.tell(f"The export of {self.name} is not the table: {', '.join(wrong)} differ.")
            if not left:
                raise Conflict(
                    f"The exports of {self.name} differ from the table each time ({', '.join(wrong)}); "
                    "the rows stay where they are. Look at the disk and the memory of this machine."
                )
        with transaction.atomic(using=USING), connections[USING].cursor() as cursor:
            still_mine(cursor, self.table, self.month)
            verified = change(
                receipt,
                "verify",
                state=ArchiveState.VERIFIED,
                row_count=file.rows,
                byte_count=file.bytes,
                files={"files": [asdict(file)], "columns": checks},
                schema_fingerprint=fingerprint(columns),
                verified_at=timezone.now(),
                problem=None,
            )
        self.watch.done(self.name, "verified", rows=file.rows, bytes=file.bytes, file=store.shown(file.path))
        store.remove_leftovers(self.directory, verified)
        return verified

    def detach(self, receipt: MetricArchive) -> MetricArchive:
        """The month leaves its table, and the receipt says so, in one short transaction.

        The rows are counted before the lock that everybody would wait for. Under it a look at the size is enough:
        nothing that does not grow the month can have come in since.
        """

        def once(cursor: Any) -> MetricArchive:
            receipt_of(self.table, self.month, lock=True)  # first: whoever verifies it meanwhile writes to the log
            still_mine(cursor, self.table, self.month)
            self._must_be_attached()
            rows, size = self._count(cursor)
            if rows != receipt.row_count:
                raise Changed
            names = {"parent": sql.Identifier(self.table.name), "leaf": sql.Identifier(self.leaf)}
            cursor.execute(sql.SQL("LOCK TABLE ONLY {parent} IN ACCESS EXCLUSIVE MODE").format(**names))
            cursor.execute(sql.SQL("LOCK TABLE {leaf} IN ACCESS EXCLUSIVE MODE").format(**names))
            if self._size(cursor) != size:
                raise Changed
            cursor.execute(sql.SQL("ALTER TABLE {parent} DETACH PARTITION {leaf}").format(**names))
            return change(receipt, "detach", state=ArchiveState.DETACHED)

        detached = self._patiently(once, "Detaching", self.table.name, self.leaf)
        self.watch.done(self.name, "detached")
        return detached

    def drop(self, receipt: MetricArchive) -> MetricArchive:
        def once(cursor: Any) -> MetricArchive:
            receipt_of(self.table, self.month, lock=True)
            still_mine(cursor, self.table, self.month)
            if self.month in leaves(self.table, using=USING):
                raise Conflict(f"{self.name} is attached although its receipt says detached: somebody attached it.")
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(self.leaf)))
            return change(receipt, "drop", state=ArchiveState.DROPPED)

        dropped = self._patiently(once, "Dropping", self.leaf)
        self.watch.done(self.name, "dropped", rows=dropped.row_count, bytes=dropped.byte_count)
        return dropped

    # --- What they need ----------------------------------------------------------------------------------------------

    def _patiently(self, once: Any, doing: str, *tables: str) -> MetricArchive:
        result: MetricArchive = patiently(
            once, f"{doing} {self.name}", *tables, using=USING, tell=self.watch.tell, patience=self.patience
        )
        return result

    def _must_be_attached(self) -> None:
        there = leaves(self.table, using=USING).get(self.month)
        if there is None:
            raise Conflict(f"There is no month {self.month} of {self.table.name} in PostgreSQL.")
        if there != self.leaf:
            raise Conflict(f"The month {self.name} is called {there}: rename it to {self.leaf} first.")

    def _seal(self, cursor: Any) -> None:
        """A constraint that no row meets, and that is not asked of those that are there."""
        name = f"{self.table.name}_month_closed"
        cursor.execute("SELECT FROM pg_constraint WHERE conrelid = %s::regclass AND conname = %s", [self.leaf, name])
        if cursor.fetchone() is None:
            statement = "ALTER TABLE {} ADD CONSTRAINT {} CHECK (false) NOT VALID"
            cursor.execute(sql.SQL(statement).format(sql.Identifier(self.leaf), sql.Identifier(name)))

    def _count(self, cursor: Any) -> tuple[int, int]:
        cursor.execute(
            sql.SQL("SELECT count(*), pg_relation_size({}) FROM ONLY {}").format(
                sql.Literal(self.leaf), sql.Identifier(self.leaf)
            )
        )
        rows, size = cursor.fetchone()
        return int(rows), int(size)

    def _size(self, cursor: Any) -> int:
        cursor.execute("SELECT pg_relation_size(%s)", [self.leaf])
        return int(cursor.fetchone()[0])


def has_rows(table: PartitionedTable, month: Month) -> bool:
    """An empty month costs nothing where it is, and stays open for a backfill."""
    with connections[USING].cursor() as cursor:
        cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM ONLY {})").format(sql.Identifier(table.leaf(month))))
        return bool(cursor.fetchone()[0])


def estimated_rows(table: PartitionedTable, month: Month) -> int:
    """As PostgreSQL last counted them."""
    with connections[USING].cursor() as cursor:
        cursor.execute("SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE relname = %s", [table.leaf(month)])
        row = cursor.fetchone()
        return int(row[0]) if row else 0
