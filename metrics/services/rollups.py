"""Do the sums agree with the events? Asked month by month of all three tables, hot and cold.

Events and sums commit together, so within one snapshot they agree, however much is coming in.
"""

from dataclasses import dataclass, field
from typing import Any

from django.db import connections, models, transaction

from audit.context import new_trace_id
from metrics.models import MetricArchive, MetricRollup, MetricRollupCampaign, MetricRollupDaily
from metrics.partitions import EVENTS, Month
from metrics.services import cold_sums
from metrics.services.whereabouts import hold_months, whereabouts
from metrics.triggers import LARGEST, SUMMED

SHOWN = 20  # differences that are told one by one
MEASURES = ("sum", "count", "max", "last_observed_at")


@dataclass(frozen=True)
class Sums:
    """A table of sums: its key in the order in which the trigger writes it, and what its rows are the sums of."""

    model: type[models.Model]
    key: tuple[str, ...]
    expected: str  # SQL
    again: str  # SQL: the sums of the keys in `mending`, from the level below

    @property
    def name(self) -> str:
        return self.model._meta.db_table


OF_POSTS = ("content_id", "platform", "metric_type", "bucket", "agent_id", "campaign_id")
OF_CAMPAIGNS = ("metric_type", "bucket", "campaign_id", "agent_id", "platform")


def _again(below: str, when: str, step: str, summed: str, counts: str = "true") -> str:
    """Found by an index that leads with the content; a bucket that begins at no full hour has no rows."""
    same = " AND ".join(f"b.{column} = m.{column}" for column in OF_POSTS if column != "bucket")
    return f"""
        SELECT {", ".join(f"m.{column}" for column in OF_POSTS)}, s.* FROM mending m CROSS JOIN LATERAL (
            SELECT {summed} FROM {below} b
            WHERE {same} AND b.{when} >= m.bucket AND b.{when} < m.bucket + interval '{step}'
              AND date_bin('{step}', m.bucket, 'epoch') = m.bucket AND {counts}
        ) s"""


RAW = (
    f"LEAST(sum(metric_value), {LARGEST}) AS sum, count(*) AS count, max(metric_value) AS max,"
    " max(observed_at) AS last_observed_at"
)
# A row that was mended to nothing says nothing of when it was last observed.
COUNTED = "b.count > 0"
HOURLY = Sums(
    MetricRollup,
    OF_POSTS,
    "",  # from the events, or from files
    _again("metric_event", "observed_at", "1 hour", RAW),
)
DAILY = Sums(
    MetricRollupDaily,
    OF_POSTS,
    f"""SELECT date_bin('1 day', bucket, 'epoch') AS bucket, campaign_id, content_id, agent_id, platform, metric_type,
               {SUMMED} FROM expected_metric_rollup GROUP BY 1, 2, 3, 4, 5, 6""",
    _again("metric_rollup", "bucket", "1 day", SUMMED, COUNTED),
)
CAMPAIGN = Sums(
    MetricRollupCampaign,
    OF_CAMPAIGNS,
    f"""SELECT bucket, campaign_id, agent_id, platform, metric_type, {SUMMED}
        FROM expected_metric_rollup_daily GROUP BY 1, 2, 3, 4, 5""",
    # All rows of a day and metric at once: there is no index that leads with the campaign.
    f"""SELECT {", ".join(OF_CAMPAIGNS)}, s.sum, s.count, s.max, s.last_observed_at
        FROM mending LEFT JOIN (
            SELECT {", ".join(f"b.{column}" for column in OF_CAMPAIGNS)}, {SUMMED}
            FROM (SELECT DISTINCT metric_type, bucket FROM mending) m
            JOIN metric_rollup_daily b USING (metric_type, bucket) WHERE {COUNTED} GROUP BY 1, 2, 3, 4, 5
        ) s USING ({", ".join(OF_CAMPAIGNS)})""",
)
ALL = (HOURLY, DAILY, CAMPAIGN)  # each is made of the one before

HOT = f"""
    SELECT date_bin('1 hour', observed_at, 'epoch') AS bucket, campaign_id, content_id, agent_id, platform, metric_type,
           {RAW}
    FROM metric_event WHERE observed_at >= %(start)s AND observed_at < %(end)s GROUP BY 1, 2, 3, 4, 5, 6"""
COLD = f"""
    SELECT bucket, campaign_id, content_id, agent_id, platform, metric_type, {SUMMED}
    FROM {cold_sums.PARTS} GROUP BY 1, 2, 3, 4, 5, 6"""


@dataclass(frozen=True)
class Difference:
    table: str
    key: dict[str, str]
    expected: dict[str, Any] | None  # None: no event belongs here
    found: dict[str, Any] | None  # None: the row is missing

    def __str__(self) -> str:
        where = ", ".join(f"{name.removesuffix('_id')} {value}" for name, value in self.key.items())
        return f"{self.table} ({where}): expected {_said(self.expected)}, found {_said(self.found)}"


def _said(measures: dict[str, Any] | None) -> str:
    if measures is None:
        return "nothing"
    last = f"{measures['last_observed_at']:%Y-%m-%d %H:%M:%S}"
    return f"sum {measures['sum']}, count {measures['count']}, max {measures['max']}, last {last}"


@dataclass
class Checked:
    """What was found in a month."""

    month: Month
    where: str
    files: object = None  # of a cold month
    events: int = 0
    different: dict[str, int] = field(default_factory=dict)  # table: rows
    shown: list[Difference] = field(default_factory=list)
    mended: int = 0
    problem: str = ""  # why it could not be checked or mended
    trace_id: str = field(default_factory=new_trace_id)  # of what is mended

    @property
    def differences(self) -> int:
        return sum(self.different.values())

    @property
    def agrees(self) -> bool:
        return not self.problem and self.differences == 0


def months_to_check(*, using: str = "default") -> list[Month]:
    """All months that have events, or sums, or had them."""
    places = whereabouts(EVENTS, using=using)
    found = {*places.hot, *places.cold, *places.lost}
    with connections[using].cursor() as cursor:
        for sums in ALL:
            cursor.execute(f"SELECT DISTINCT to_char(bucket AT TIME ZONE 'UTC', 'YYYY-MM') FROM {sums.name}")
            found |= {Month(int(text[:4]), int(text[5:])) for (text,) in cursor.fetchall() if text}
    return sorted(found)


def check_month(month: Month, *, show: int = SHOWN, using: str = "default") -> Checked:
    """Compare what the sums of the month should be with what they are."""
    with transaction.atomic(using=using, durable=True):
        return compare(month, show=show, using=using)


def compare(month: Month, *, show: int = SHOWN, using: str, keep: bool = False) -> Checked:
    """At the beginning of a transaction. With `keep`, the table of differences outlives it, for whoever mends them."""
    with connections[using].cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        hold_months(EVENTS, using=using)
        places = whereabouts(EVENTS, using=using)
        window = {"start": month.start, "end": month.plus(1).start}
        if month in places.hot:
            checked, source = Checked(month, "hot"), HOT
        elif receipt := places.cold.get(month):
            checked, source = Checked(month, "cold", receipt.files), COLD
            checked.problem = cold_sums.bring_in(receipt, using=using)
        else:
            checked, source = Checked(month, "nowhere", problem=_nowhere(month, places.lost.get(month))), ""
        if checked.problem:
            return checked
        _expect(cursor, HOURLY.name, source, window)
        cursor.execute(f"SELECT COALESCE(sum(count), 0) FROM expected_{HOURLY.name}")
        checked.events = int(cursor.fetchone()[0])
        cursor.execute(_differences_table(keep=keep))
        for sums in ALL:
            if sums.expected:
                _expect(cursor, sums.name, sums.expected, window)
            cursor.execute(_compare(sums), window)
            if cursor.rowcount:
                checked.different[sums.name] = cursor.rowcount
                checked.shown += _shown(cursor, sums, show - len(checked.shown))
    return checked


def _nowhere(month: Month, receipt: MetricArchive | None) -> str:
    if receipt:
        return f"{month} is in no partition, and its receipt is {receipt.state}: look at it before anything else."
    return (
        f"{month} is in no partition and has no receipt: there are sums, and nothing to compare them with. "
        f"manage.py rotate_partitions --from {month} makes the month, if no event of it was ever lost."
    )


def _expect(cursor: Any, table: str, query: str, window: dict[str, Any]) -> None:
    cursor.execute(f"CREATE TEMPORARY TABLE expected_{table} ON COMMIT DROP AS {query}", window)


def _differences_table(*, keep: bool) -> str:
    measures = ", ".join(
        f"{side}_{name} {'timestamptz' if name == 'last_observed_at' else 'bigint'}"
        for side in ("expected", "found")
        for name in MEASURES
    )
    return f"""
        CREATE TEMPORARY TABLE rollup_difference (
            item bigint, in_table text, bucket timestamptz, campaign_id uuid, content_id uuid, agent_id text,
            platform text, metric_type text, {measures}
        ) ON COMMIT {"PRESERVE ROWS" if keep else "DROP"}"""


def _compare(sums: Sums) -> str:
    """Rows without an event agree once they are zero."""
    key = ", ".join(sums.key)
    expected, found = (", ".join(f"{side}.{name}" for name in MEASURES) for side in "ef")
    stored = ", ".join(f"{side}.{name}" for side in "ef" for name in MEASURES)
    columns = ", ".join(f"{side}_{name}" for side in ("expected", "found") for name in MEASURES)
    return f"""
        INSERT INTO rollup_difference (item, in_table, {key}, {columns})
        SELECT row_number() OVER (ORDER BY {key}) - 1, '{sums.name}', {key}, {stored}
        FROM expected_{sums.name} e
        FULL JOIN (SELECT * FROM {sums.name} WHERE bucket >= %(start)s AND bucket < %(end)s) f USING ({key})
        WHERE ({expected}) IS DISTINCT FROM ({found})
          AND NOT (e.count IS NULL AND (f.sum, f.count, f.max) = (0, 0, 0))"""


def _shown(cursor: Any, sums: Sums, amount: int) -> list[Difference]:
    columns = [*sums.key, *(f"{side}_{name}" for side in ("expected", "found") for name in MEASURES)]
    cursor.execute(
        f"SELECT {', '.join(columns)} FROM rollup_difference WHERE in_table = %s ORDER BY item LIMIT %s",
        [sums.name, max(amount, 0)],
    )
    shown = []
    for row in cursor.fetchall():
        values = dict(zip(columns, row, strict=True))
        sides = [
            {name: values[f"{side}_{name}"] for name in MEASURES} if values[f"{side}_count"] is not None else None
            for side in ("expected", "found")
        ]
        shown.append(Difference(sums.name, {name: str(values[name]) for name in sums.key}, *sides))
    return shown
