"""The receipt of a month, and the lock of whoever works on it.

Both live on the migrator's connection: a change of a receipt commits together with what it says. The receipt itself is
written as the application, so that the log has its one row of who did it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import OperationalError, connections, transaction

from audit.errors import Conflict
from audit.triggers import APP_ROLE
from metrics.choices import UNFINISHED, ArchiveState
from metrics.models import MetricArchive
from metrics.partitions import Month, PartitionedTable

USING = "migrator"
GRACE = timedelta(days=7)  # for which a month that was restored stays, unless it is named
LOCK = "hashtext('gatehouse.archive'), hashtext(%s)"
_IS_IT = (
    "locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND classid = hashtext('gatehouse.archive')::bit(32)::bigint::oid AND objid = hashtext(%s)::bit(32)::bigint::oid"
)


def due(receipts: Iterable[MetricArchive], old: Iterable[Month], now: datetime) -> list[Month]:
    """Which months of a table leave next: what was begun, and what is old; not what was just brought back."""
    begun, wanted_back = set(), set()
    for receipt in receipts:
        if receipt.state in UNFINISHED:
            begun.add(Month.of(receipt.range_start))
        elif receipt.state == ArchiveState.RESTORED and receipt.updated_at > now - GRACE:
            wanted_back.add(Month.of(receipt.range_start))
    return sorted(begun | (set(old) - wanted_back))


class Busy(Conflict):
    """Somebody else works on this month."""


@contextmanager
def working_on(table: PartitionedTable, month: Month) -> Iterator[None]:
    """Nobody else archives, restores or drops this month inside. Raises Busy where somebody already does.

    The session holds the lock, so a process that is killed gives it back with its connection.
    """
    key = table.leaf(month)
    with connections[USING].cursor() as cursor:
        cursor.execute(f"SELECT pg_try_advisory_lock({LOCK})", [key])
        if cursor.fetchone() != (True,):
            holder = _holder(cursor, key) or 0
            raise Busy(f"Process {holder} of PostgreSQL already works on {table.name} {month}.")
    try:
        yield
    finally:
        if connections[USING].is_usable():
            with connections[USING].cursor() as cursor:
                cursor.execute(f"SELECT pg_advisory_unlock({LOCK})", [key])


def _holder(cursor: Any, key: str) -> int | None:
    cursor.execute(f"SELECT pid FROM pg_locks WHERE {_IS_IT}", [key])
    row = cursor.fetchone()
    return int(row[0]) if row else None


def still_mine(cursor: Any, table: PartitionedTable, month: Month) -> None:
    """A connection that broke and came back has lost the lock, and somebody else may have it now."""
    cursor.execute(f"SELECT pid = pg_backend_pid() FROM pg_locks WHERE {_IS_IT}", [table.leaf(month)])
    if cursor.fetchone() != (True,):
        raise OperationalError("the connection to PostgreSQL was lost on the way")


def receipt_of(table: PartitionedTable, month: Month, *, lock: bool = False) -> MetricArchive | None:
    receipts = MetricArchive.objects.using(USING).filter(table_name=table.name, range_start=month.start)
    return (receipts.select_for_update() if lock else receipts).first()


@contextmanager
def as_application() -> Iterator[None]:
    """Inside a transaction: rows are written by `gatehouse_app`, which writes its own audit rows."""
    with connections[USING].cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {APP_ROLE}")
        yield
        cursor.execute("SET LOCAL ROLE NONE")


def change(receipt: MetricArchive, action: str, **values: Any) -> MetricArchive:
    """In a transaction of the migrator's. The receipt is the one that was read: its state decides who was first."""
    with transaction.atomic(using=USING), as_application():
        same = MetricArchive.objects.using(USING).filter(pk=receipt.pk, state=receipt.state)
        changed = same.change(action, **values)
    if not changed:
        raise Conflict(f"The archive of {receipt} is no longer {receipt.get_state_display()}: somebody was quicker.")
    return changed[0]


def create(table: PartitionedTable, month: Month, *, fingerprint: str, created_by: str) -> MetricArchive:
    receipt = MetricArchive(
        table_name=table.name,
        range_start=month.start,
        range_end=month.plus(1).start,
        row_count=0,
        byte_count=0,
        files={"files": [], "columns": {}},
        schema_fingerprint=fingerprint,
        state=ArchiveState.EXPORTING,
        created_by=created_by,
    )
    with transaction.atomic(using=USING), as_application():
        MetricArchive.objects.using(USING).create_all([receipt], action="close")
    return receipt
