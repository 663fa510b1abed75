"""Sums that differ from their events are mended, while events come in.

Only the rows that differ are locked: whoever is adding to one has committed by the time that we have its lock, and
whoever comes later adds to what we have written. Nobody else waits.
"""

import time
from collections.abc import Iterator, Sequence

from django.db import OperationalError, connections, transaction

from audit.choices import EntityType, Severity
from audit.context import Actor
from audit.errors import Conflict, sqlstate
from audit.models import AuditLog
from audit.receivers import ClockTime
from metrics.models import MetricArchive
from metrics.partitions import EVENTS, Month, existing
from metrics.patience import BUSY
from metrics.services.rollups import ALL, MEASURES, SHOWN, Checked, Sums, check_month, compare
from metrics.services.whereabouts import IN_FILES, hold_months

AT_ONCE = 2000  # rows that are mended, and so locked, in one transaction
# Shorter than PostgreSQL waits before it looks for a deadlock (1 s): we step back, and never a writer.
LOCK_TIMEOUT = "500ms"
TRIES = 20


def check(months: Sequence[Month], *, repair_as: Actor | None = None) -> Iterator[Checked]:
    """Check each month, and with an actor mend it; the second look says whether it now agrees."""
    left = SHOWN
    for month in months:
        checked = repair_month(month, actor=repair_as, show=left) if repair_as else check_month(month, show=left)
        if checked.mended:
            again = check_month(month, show=0)
            checked.problem = again.problem or (
                f"{again.differences} sums of {month} still differ; run it again." if again.differences else ""
            )
        left -= len(checked.shown)
        yield checked


def repair_month(month: Month, *, actor: Actor, show: int = SHOWN, using: str = "migrator") -> Checked:
    """Compare, and mend what differs, as the owner: nobody else may write sums.

    A row to which no event belongs gets zeros, since rows of sums are never deleted. What happened before the events
    of a month were lost (no partition, no receipt) cannot be known, so its sums are left alone.
    """
    with connections[using].cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS pg_temp.rollup_difference")
    with transaction.atomic(using=using, durable=True):
        checked = compare(month, show=show, using=using, keep=True)
    if checked.differences:
        with connections[using].cursor() as cursor:
            cursor.execute("CREATE INDEX ON pg_temp.rollup_difference (in_table, item)")
    for sums in ALL if not checked.problem else ():
        for first in range(0, checked.different.get(sums.name, 0), AT_ONCE):
            checked.mended += _mend(checked, sums, first, actor, using)
    return checked


def _mend(checked: Checked, sums: Sums, first: int, actor: Actor, using: str) -> int:
    """Mend some of the rows that differ, in one transaction with its audit row; returns how many."""
    for left in reversed(range(TRIES)):
        try:
            with transaction.atomic(using=using, durable=True):
                return _mend_once(checked, sums, first, actor, using)
        except OperationalError as error:
            if sqlstate(error) not in BUSY:
                raise
            if not left:
                raise Conflict(
                    f"{sums.name} of {checked.month} is written without a pause; {checked.mended} rows were mended. "
                    "Run it again when less is coming in."
                ) from None
            time.sleep(0.2)
    raise AssertionError("unreachable")


def _mend_once(checked: Checked, sums: Sums, first: int, actor: Actor, using: str) -> int:
    key = ", ".join(sums.key)
    with connections[using].cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        _stay(checked, using)
        cursor.execute("DROP TABLE IF EXISTS pg_temp.mending")
        cursor.execute(
            "CREATE TEMPORARY TABLE mending ON COMMIT DROP AS SELECT * FROM rollup_difference"
            " WHERE in_table = %s AND item >= %s AND item < %s",
            [sums.name, first, first + AT_ONCE],
        )
        cursor.execute("ANALYZE mending")
        # Takes the lock of every row, in the order of all writers, and makes those that are missing.
        cursor.execute(
            f"INSERT INTO {sums.name} AS r ({key}, {', '.join(MEASURES)})"
            f" SELECT {key}, 0, 0, 0, bucket FROM mending ORDER BY {key}"
            f" ON CONFLICT ({key}) DO UPDATE SET updated_at = now()"
        )
        # A statement of its own: it sees what those have committed for whom the locks made us wait. The least of
        # nothing and the largest number would be the largest number.
        right = sums.again if checked.where == "hot" else _as_expected(sums)
        cursor.execute(
            f"UPDATE {sums.name} r SET sum = CASE WHEN s.count > 0 THEN s.sum ELSE 0 END,"
            " count = COALESCE(s.count, 0), max = COALESCE(s.max, 0),"
            " last_observed_at = COALESCE(s.last_observed_at, r.bucket), updated_at = now()"
            f" FROM ({right}) s WHERE ({', '.join(f'r.{name}' for name in sums.key)})"
            f" = ({', '.join(f's.{name}' for name in sums.key)})"
        )
        mended: int = cursor.rowcount
        _record(checked, sums, first, mended, actor, using)
    return mended


def _as_expected(sums: Sums) -> str:
    measures = ", ".join(f"expected_{name} AS {name}" for name in MEASURES)
    return f"SELECT {', '.join(sums.key)}, {measures} FROM mending"


def _stay(checked: Checked, using: str) -> None:
    """The month stays where it was found until we have committed: it is neither archived nor restored meanwhile."""
    hold_months(EVENTS, using=using)
    receipt = MetricArchive.objects.using(using).filter(
        table_name=EVENTS.name, range_start=checked.month.start, state__in=IN_FILES
    )
    # Locked first: whoever attaches the month changes its receipt.
    files = [] if checked.where == "hot" else [row.files for row in receipt.select_for_update()]
    is_hot = checked.month in existing(EVENTS, using=using)
    if is_hot != (checked.where == "hot") or (not is_hot and files != [checked.files]):
        raise Conflict(f"{checked.month} was archived or restored while its sums were mended; run it again.")


def _record(checked: Checked, sums: Sums, first: int, mended: int, actor: Actor, using: str) -> None:
    """On the connection of the change, so that both commit together."""
    named = [str(difference) for difference in checked.shown if difference.table == sums.name]
    AuditLog(
        trace_id=checked.trace_id,
        actor_type=actor.type,
        actor_id=actor.id,
        entity_type=EntityType.METRIC_EVENT,
        entity_id=f"{sums.name} {checked.month}",
        action="repair",
        severity=Severity.WARNING,
        output_summary=f"{mended} sums of {checked.month} did not agree with its events and were mended.",
        changes={"mended": [None, mended], "first": [None, named[:5] if not first else []]},
        created_at=ClockTime(),
    ).save(using=using)
