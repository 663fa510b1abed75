"""Where each month of a partitioned table is: in PostgreSQL (hot), in the archive's files (cold), or nowhere.

Whatever reads hot and cold together asks here, in the transaction in which it reads, so that each row is seen once: a
month that is attached is read from the table, whatever its receipt says, and every other one from its files.
"""

from dataclasses import dataclass, field

from django.db import connections
from psycopg import sql

from metrics.choices import ArchiveState
from metrics.models import MetricArchive
from metrics.partitions import Month, PartitionedTable, existing

# Of these the files are the only copy, or the one that counts.
IN_FILES = {ArchiveState.DETACHED, ArchiveState.DROPPED}


@dataclass(frozen=True)
class Whereabouts:
    hot: frozenset[Month]
    cold: dict[Month, MetricArchive]
    lost: dict[Month, MetricArchive] = field(default_factory=dict)  # a receipt, but neither a partition nor files


def hold_months(*tables: PartitionedTable, using: str) -> None:
    """First of all in a transaction: nothing leaves the tables until it ends.

    LOCK TABLE takes no snapshot, so what a transaction of REPEATABLE READ sees is what was there once it had this lock.
    """
    with connections[using].cursor() as cursor:
        for table in tables:
            cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(sql.Identifier(table.name)))


def whereabouts(table: PartitionedTable, *, using: str = "default") -> Whereabouts:
    hot = existing(table, using=using)
    receipts = {
        Month.of(receipt.range_start): receipt
        for receipt in MetricArchive.objects.using(using).filter(table_name=table.name).order_by("range_start")
    }
    gone = {month: receipt for month, receipt in receipts.items() if month not in hot}
    return Whereabouts(
        frozenset(hot),
        {month: receipt for month, receipt in gone.items() if receipt.state in IN_FILES},
        {month: receipt for month, receipt in gone.items() if receipt.state not in IN_FILES},
    )
