"""Months of the partitioned tables: which exist, and how the next ones are made.

Bounds are midnight UTC on the first of a month. There is no default partition: it would hide gaps, and rows in it
would block the making of their proper month. A new month is made beside its table and then attached, which takes a
weak lock on the parent; PostgreSQL waits for that lock a short time only, so that no writer queues behind us.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connections, models
from psycopg import sql

from audit.models import AuditLog
from metrics.choices import ArchiveState
from metrics.models import MetricArchive, MetricEvent
from metrics.patience import Tell, patiently, quiet

LOCK_NOT_AVAILABLE = "55P03"  # SQLSTATE


@dataclass(frozen=True, order=True)
class Month:
    year: int
    month: int

    @classmethod
    def of(cls, moment: date) -> "Month":
        return cls(moment.year, moment.month)

    @classmethod
    def parse(cls, text: str) -> "Month":
        """From `2017-11`; raises ValueError for anything else."""
        if not re.fullmatch(r"\d{4}-\d{2}", text):
            raise ValueError(f"{text!r} is not a month; write it like 2017-11.")
        year, month = int(text[:4]), int(text[5:])
        if not (EARLIEST.year <= year <= 9000 and 1 <= month <= 12):
            raise ValueError(f"{text!r} is not a month of the calendar.")
        return cls(year, month)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"

    def plus(self, months: int) -> "Month":
        index = self.year * 12 + self.month - 1 + months
        return Month(index // 12, index % 12 + 1)

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC)


EARLIEST = Month(1970, 1)


def this_month() -> Month:
    return Month.of(datetime.now(UTC))


def months(first: Month, last: Month) -> Iterator[Month]:
    while first <= last:
        yield first
        first = first.plus(1)


@dataclass(frozen=True)
class PartitionedTable:
    """A table that is partitioned by month: how many months ahead must always exist, and how long months stay hot.

    `retention` names the setting that says after how many days a month may leave; 0 days mean never.
    """

    model: type[models.Model]
    key: str
    retention: str
    ahead: int = 6

    @property
    def name(self) -> str:
        return self.model._meta.db_table

    @property
    def retention_days(self) -> int:
        return int(getattr(settings, self.retention))

    def leaf(self, month: Month) -> str:
        return f"{self.name}_{month.year:04}_{month.month:02}"


EVENTS = PartitionedTable(MetricEvent, "observed_at", "METRIC_RETENTION_DAYS")
AUDIT = PartitionedTable(AuditLog, "created_at", "AUDIT_RETENTION_DAYS")
TABLES = (EVENTS, AUDIT)


def leaves(table: PartitionedTable, *, using: str = "default") -> dict[Month, str]:
    """The months that are attached to the table, with the names of their partitions: their bounds decide.

    A partition that is no month (a default, one without a lower bound), made by hand, is passed over.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \\(''(\\d{4}-\\d{2})'), c.relname"
            " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = %s::regclass",
            [table.name],
        )
        return {Month(int(text[:4]), int(text[5:])): name for text, name in cursor.fetchall() if text}


def existing(table: PartitionedTable, *, using: str = "default") -> set[Month]:
    return set(leaves(table, using=using))


def closed(table: PartitionedTable, *, using: str = "default") -> set[Month]:
    """Months with a receipt: no row goes in and none is made anew, because idempotency lives in the rows that left.

    Closed from the first step on: a row that came in while its month is exported would be in no file. Only a month
    that was restored is open again.
    """
    gone = MetricArchive.objects.using(using).filter(table_name=table.name).exclude(state=ArchiveState.RESTORED)
    return {Month.of(start) for start in gone.values_list("range_start", flat=True)}


def gaps(table: PartitionedTable, *, using: str = "default") -> list[Month]:
    """Months between the first and the last that are neither there nor archived: nobody intends one."""
    there = existing(table, using=using)
    receipts = MetricArchive.objects.using(using).filter(table_name=table.name)
    known = there | {Month.of(start) for start in receipts.values_list("range_start", flat=True)}
    return sorted(set(months(min(known), max(known))) - known) if known else []


def months_to_archive(table: PartitionedTable, older_than: int, *, using: str = "default") -> list[Month]:
    """Attached months of which the last instant lies more than so many days back, the oldest first."""
    horizon = datetime.now(UTC) - timedelta(days=older_than)
    return sorted(month for month in existing(table, using=using) if month.plus(1).start <= horizon)


def months_ahead(table: PartitionedTable, *, using: str = "default") -> int:
    """How many months after this one exist without a gap; -1 when not even this one does."""
    present, month, ahead = existing(table, using=using), this_month(), -1
    while month in present:
        month, ahead = month.plus(1), ahead + 1
    return ahead


def rotate(*, start: Month | None = None, using: str = "migrator", tell: Tell = quiet) -> list[str]:
    """Make every missing month from the last one (or, for events, from `start`) to the months ahead.

    Returns the names of what was made; empty when everything was in place. Two at once, or a run that is killed, do
    no harm: each month is one transaction. Raises Conflict when somebody's lock was in the way for too long.
    """
    made = []
    for table in TABLES:
        first = this_month().plus(-1)
        if start and table is EVENTS:
            first = min(start, first)
        missing = set(months(first, this_month().plus(table.ahead)))
        missing -= existing(table, using=using) | closed(table, using=using)
        made += [table.leaf(month) for month in sorted(missing) if make(table, month, using=using, tell=tell)]
    return made


def make(table: PartitionedTable, month: Month, *, using: str = "migrator", tell: Tell = quiet) -> bool:
    """Make one month; False when another run was quicker."""

    def once(cursor: Any) -> bool:
        # One rotation at a time: the second waits here, and then finds the month in place.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('gatehouse.rotate'))")
        if month in existing(table, using=using):
            return False
        names = {"parent": sql.Identifier(table.name), "leaf": sql.Identifier(table.leaf(month))}
        like = "CREATE TABLE {leaf} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)"
        cursor.execute(sql.SQL(like).format(**names))
        attach(cursor, table, month, table.leaf(month))
        return True

    return patiently(once, f"Making {table.leaf(month)}", table.name, using=using, tell=tell)


def attach(cursor: Any, table: PartitionedTable, month: Month, name: str) -> None:
    """Make a table that is like the parent one of its months."""
    statement = sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})")
    bounds = sql.Literal(month.start), sql.Literal(month.plus(1).start)
    cursor.execute(statement.format(sql.Identifier(table.name), sql.Identifier(name), *bounds))
    # Row triggers came with the attachment; those that fire once a statement do not, and the owner can write
    # straight into a month.
    cursor.execute(
        "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger"
        " WHERE tgrelid = %s::regclass AND NOT tgisinternal AND tgtype & 1 = 0",
        [table.name],
    )
    for trigger, definition in cursor.fetchall():
        on_leaf = definition.replace(f" ON public.{table.name} ", f" ON public.{name} ", 1)
        assert on_leaf != definition, trigger
        cursor.execute(on_leaf)
