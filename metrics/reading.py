"""Sums for people: read from the tables of sums alone, so that no answer takes longer when there are more events.

What all contents made together is read by the day from the table that has no contents; a single content, and lists of
contents, by the day from the one that has; and hours only where a page asks for them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connections, router
from django.db.models import Max, Min, Sum

from content.choices import PublishStatus
from content.models import Artifact, PublishRecord
from metrics.choices import MetricType
from metrics.models import MetricCorrection, MetricRollup, MetricRollupCampaign, MetricRollupDaily

Scope = dict[str, Any]  # columns of a table of sums, and the one value that each has
NONE, MOST = UUID(int=0), UUID(int=2**128 - 1)
PARTS = 10  # of a breakdown; the others are counted
PAGE = 1000  # contents of a file that are read at once
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Span:
    """One measure from `start` to before `end`, and what it is compared with: as long a time, which begins at `before`.

    Compared is only what lies before `over`: what is not over yet would always be less.
    """

    measure: str
    start: datetime
    end: datetime
    before: datetime
    over: datetime
    by_hour: bool

    @property
    def before_over(self) -> datetime:
        return self.over - (self.start - self.before)


@dataclass(frozen=True)
class Point:
    measure: str
    bucket: datetime
    total: int
    compared: int  # of it, what is compared
    newest: datetime | None


@dataclass(frozen=True)
class Compared:
    total: int
    now: int  # of it, what is compared
    before: int


@dataclass(frozen=True)
class Part:
    """One of those that a sum is made of, by `column`."""

    column: str
    key: Any
    sums: Compared
    among: int  # how many there are


@dataclass(frozen=True)
class Listed:
    key: UUID
    total: int


def table(scope: Scope, by_hour: bool, *, contents: bool = False) -> Any:
    """The model of the sums that answer this."""
    if by_hour:
        return MetricRollup
    return MetricRollupDaily if contents or "content_id" in scope else MetricRollupCampaign


# A total that a source reports of a post for the first time is all that had gathered before anybody looked. It counts,
# at the moment of that look, and is left out of what is compared.
SUMS = """
    WITH first AS (
        SELECT k.metric_type, date_bin(%(step)s, k.first_observed_at, 'epoch') AS bucket, k.first_total AS total{of}
        FROM metric_counter k{join}
        WHERE k.first_observed_at >= %(before)s AND k.first_observed_at < %(end)s
          AND k.metric_type = ANY (%(measures)s)
    ), summed AS (
        SELECT metric_type, bucket, sum, sum AS compared, last_observed_at{columns} FROM {table}
        WHERE bucket >= %(before)s AND bucket < %(end)s AND metric_type = ANY (%(measures)s){scope}
        UNION ALL
        SELECT metric_type, bucket, 0, -total, NULL{columns} FROM first WHERE true{scope}
    )
"""
OF_COUNTERS = {  # what a counter counts, in the words of the sums; its posts are looked up only for contents
    "content_id": "p.artifact_id AS content_id",
    "campaign_id": "k.campaign_id",
    "platform": "k.platform",
    "agent_id": "k.agent_id",
}


def points(scope: Scope, span: Span) -> list[Point]:
    """The sums of every measure by the hour or the day, from the period before on."""
    sql = f"""{_sums(scope, span, ())}
        SELECT metric_type, bucket, sum(sum), sum(compared), max(last_observed_at) FROM summed GROUP BY 1, 2
    """
    return [
        Point(measure, bucket, int(total), int(compared), newest)
        for measure, bucket, total, compared, newest in _rows(sql, scope, span, measures=MetricType.values)
    ]


COMPARED = """
    COALESCE(sum(compared) FILTER (WHERE bucket >= %(start)s AND bucket < %(over)s), 0),
    COALESCE(sum(compared) FILTER (WHERE bucket < %(before_over)s), 0)
"""


def parts(scope: Scope, span: Span, told_apart: Sequence[str]) -> list[Part]:
    """The largest of each column, all of them from one reading."""
    columns = ", ".join(told_apart)
    total = "COALESCE(sum(sum) FILTER (WHERE bucket >= %(start)s), 0)"
    sql = f"""{_sums(scope, span, told_apart)}
        SELECT * FROM (
            SELECT GROUPING({columns}) AS grouping, {columns}, {total} AS total, {COMPARED},
                   count(*) OVER part, row_number() OVER (part ORDER BY {total} DESC, {columns}) AS place
            FROM summed GROUP BY GROUPING SETS ({", ".join(f"({column})" for column in told_apart)})
            WINDOW part AS (PARTITION BY GROUPING({columns}))
        ) found WHERE place <= {PARTS} ORDER BY grouping DESC, place
    """
    width = len(told_apart)
    which = {2**width - 1 - 2 ** (width - 1 - place): place for place in range(width)}
    found = []
    for grouping, *row in _rows(sql, scope, span, measures=[span.measure]):
        place = which[grouping]
        sums = Compared(*map(int, row[width : width + 3]))
        found.append(Part(told_apart[place], row[place], sums, row[width + 3]))
    return found


# Which contents a list is about: what was measured in the period, and what came out in it, even if nothing was.
CONTENTS = """
    WITH measured AS (
        SELECT content_id, sum(sum) AS total FROM {table}
        WHERE metric_type = %(measure)s AND bucket >= %(start)s AND bucket < %(end)s{scope} GROUP BY content_id
    ), counted AS MATERIALIZED (
        SELECT content_id, total FROM measured
        UNION ALL
        SELECT DISTINCT p.artifact_id, 0::numeric FROM publish_record p{join}
        WHERE p.status = %(published)s AND p.published_at >= %(start)s AND p.published_at < %(end)s{published_scope}
          AND NOT EXISTS (SELECT FROM measured m WHERE m.content_id = p.artifact_id)
    )
"""
BEST = "(SELECT content_id, total FROM counted WHERE (total, content_id) < (%(total)s, %(key)s)" + (
    " ORDER BY total DESC, content_id DESC LIMIT %(most)s)"
)
WORST = "(SELECT content_id, total FROM counted WHERE (total, content_id) > (%(total)s, %(key)s)" + (
    " ORDER BY total, content_id LIMIT %(most)s)"
)
PUBLISHED = {
    "campaign_id": ("", " AND p.campaign_id = %(campaign_id)s"),
    "platform": ("", " AND p.platform = %(platform)s"),
    "agent_id": (
        " JOIN artifact a USING (artifact_id) JOIN task t USING (task_id)",
        " AND t.agent_id = %(agent_id)s",
    ),
}


def best_and_worst(scope: Scope, span: Span, most: int) -> tuple[list[Listed], list[Listed], int]:
    """The contents with the largest sums, those of the others with the smallest, and how many there are."""
    sql = f"""{_contents(scope, span)}
        SELECT 0, count(*), 0::numeric, NULL::uuid FROM counted
        UNION ALL (SELECT 1, row_number() OVER (ORDER BY total DESC, content_id DESC), total, content_id FROM counted
                   ORDER BY total DESC, content_id DESC LIMIT %(most)s)
        UNION ALL (SELECT 2, row_number() OVER (ORDER BY total, content_id), total, content_id FROM counted
                   ORDER BY total, content_id LIMIT %(most)s)
    """
    lists: list[list[tuple[int, Listed]]] = [[], []]
    amount = 0
    for which, place, total, key in _rows(sql, scope, span, most=most):
        if which:
            lists[which - 1].append((place, Listed(key, int(total))))
        else:
            amount = place
    best, worst = ([listed for _, listed in sorted(found, key=lambda pair: pair[0])] for found in lists)
    seen = {listed.key for listed in best}
    return best, [listed for listed in worst if listed.key not in seen], amount


def further(scope: Scope, span: Span, *, best: bool, after: Listed | None, most: int) -> list[Listed]:
    """The list from the largest sum down, or from the smallest up, after the one where a page has ended."""
    after = after or (Listed(MOST, 2**100) if best else Listed(NONE, -1))
    sql = _contents(scope, span) + (BEST if best else WORST)
    rows = _rows(sql, scope, span, most=most, total=after.total, key=after.key)
    return [Listed(key, int(total)) for key, total in rows]


def all_contents(scope: Scope, span: Span) -> Iterator[list[Listed]]:
    """Every content of the period for a file, by its key: page by page, each by its own short query."""
    scoped = _and(scope)
    sql = f"""
        SELECT content_id, sum(sum) FROM {table(scope, span.by_hour, contents=True)._meta.db_table}
        WHERE metric_type = %(measure)s AND bucket >= %(start)s AND bucket < %(end)s{scoped} AND content_id > %(key)s
        GROUP BY content_id ORDER BY content_id LIMIT {PAGE}
    """
    last = NONE
    while page := [Listed(key, int(total)) for key, total in _rows(sql, scope, span, key=last)]:
        yield page
        last = page[-1].key


def compared(scope: Scope, span: Span, contents: Sequence[UUID]) -> dict[UUID, Compared]:
    """Of each content, its sum and what it is compared with."""
    sql = f"""{_sums(scope, span, ("content_id",), " AND content_id = ANY (%(contents)s)")}
        SELECT content_id, COALESCE(sum(sum) FILTER (WHERE bucket >= %(start)s), 0), {COMPARED}
        FROM summed GROUP BY 1
    """
    found = _rows(sql, scope, span, measures=[span.measure], contents=list(contents))
    return {key: Compared(int(total), int(now), int(before)) for key, total, now, before in found}


def named(contents: Sequence[UUID]) -> dict[UUID, Artifact]:
    """Each content with its task and its campaign."""
    wanted = ("artifact_type", "version", "task__title", "task__trace_id", "task__task_type", "task__agent_id")
    rows = Artifact.objects.select_related("task", "campaign").only(*wanted, "campaign__name")
    return {row.pk: row for row in rows.filter(pk__in=contents)}


def posts_of(contents: Sequence[UUID], platform: str | None = None) -> list[PublishRecord]:
    """What is out of these contents, on that platform or on all."""
    rows = PublishRecord.objects.filter(artifact__in=contents, status=PublishStatus.PUBLISHED)
    if platform is not None:
        rows = rows.filter(platform=platform)
    return list(
        rows.order_by("platform", "pk").only("artifact_id", "platform", "platform_post_id", "published_at", "status")
    )


def corrections_of(content: UUID, most: int) -> list[MetricCorrection]:
    """The totals of its posts that fell, newest first."""
    rows = MetricCorrection.objects.filter(publish__artifact=content).select_related("publish")
    return list(rows.order_by("-observed_at", "-pk")[:most])


def newest_observed() -> datetime | None:
    """When anything was last observed, of what is here; from the last day of each measure."""
    sql = """
        SELECT max(r.newest) FROM unnest(%(measures)s::text[]) k(measure) CROSS JOIN LATERAL (
            SELECT max(last_observed_at) AS newest FROM metric_rollup_campaign c
            WHERE c.metric_type = k.measure AND c.bucket = (
                SELECT max(bucket) FROM metric_rollup_campaign WHERE metric_type = k.measure)
        ) r
    """
    with connections[router.db_for_read(MetricRollup)].cursor() as cursor:
        cursor.execute(sql, {"measures": MetricType.values})
        found: datetime | None = cursor.fetchone()[0]
    return found


@dataclass(frozen=True)
class Measured:
    """What the contents of a trace have gathered since they came out."""

    first: datetime  # the first that was observed, to the hour
    last: datetime
    sums: list[tuple[UUID, dict[str, int]]]  # of each content, by measure


def measured_on(trace_id: str) -> Measured | None:
    contents = Artifact.objects.filter(task__trace_id=trace_id).values("pk")
    rows = MetricRollupDaily.objects.filter(content__in=contents).order_by("content_id").values("content_id")
    told = rows.values_list("content_id", "metric_type").annotate(
        total=Sum("sum"), first=Min("bucket"), last=Max("last_observed_at")
    )
    sums: dict[UUID, dict[str, int]] = {}
    found = list(told)
    for content, measure, total, _, _ in found:
        sums.setdefault(content, {})[measure] = int(total)
    if not found:
        return None
    day = min(first for *_, first, _ in found)
    hours = MetricRollup.objects.filter(content__in=list(sums), bucket__gte=day, bucket__lt=day + DAY)
    first = hours.aggregate(first=Min("last_observed_at"))["first"] or day
    return Measured(first, max(last for *_, last in found), list(sums.items()))


def _sums(scope: Scope, span: Span, columns: Sequence[str], more: str = "") -> str:
    used = sorted({*columns, *scope})
    return SUMS.format(
        table=table(scope, span.by_hour, contents="content_id" in columns)._meta.db_table,
        columns="".join(f", {column}" for column in columns),
        of="".join(f", {OF_COUNTERS[column]}" for column in used),
        join=" JOIN publish_record p USING (publish_id)" if "content_id" in used else "",
        scope=_and(scope) + more,
    )


def _contents(scope: Scope, span: Span) -> str:
    joins = [PUBLISHED[column] for column in scope]
    return CONTENTS.format(
        table=table(scope, span.by_hour, contents=True)._meta.db_table,
        scope=_and(scope),
        join="".join(join for join, _ in joins),
        published_scope="".join(condition for _, condition in joins),
    )


def _and(scope: Scope) -> str:
    return "".join(f" AND {column} = %({column})s" for column in scope)


def _rows(sql: str, scope: Scope, span: Span, **more: Any) -> list[tuple[Any, ...]]:
    given = {name: getattr(span, name) for name in ("measure", "start", "end", "before", "over", "before_over")}
    given["step"] = HOUR if span.by_hour else DAY
    with connections[router.db_for_read(MetricRollup)].cursor() as cursor:
        cursor.execute(sql, {**given, "published": PublishStatus.PUBLISHED, **scope, **more})
        return list(cursor.fetchall())
