"""Views, likes, comments and shares of two weeks, from the hourly sums; and whether measurements still come in."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

from django.utils import timezone

from audit.admin.cells import duration
from audit.admin.charts import Chart, chart, compared, short
from config.console.overview.figures import Card, listed
from config.console.overview.kept import kept
from metrics.choices import MetricType
from metrics.models import MetricEvent
from metrics.reading import HOUR, Point, Span, newest_observed, points
from metrics.views.subject import page_of

DAYS = 7
WEEK = timedelta(days=DAYS)
SHOWN = [MetricType.VIEWS, MetricType.LIKES, MetricType.COMMENTS, MetricType.SHARES]
TOGETHER = 4  # hours that one point of a curve sums up
FRESH = timedelta(hours=2)  # hours that are read anew each time; what is late for an older one shows after KEPT
KEPT = 300  # seconds
SAMPLE = 200  # events, for their lag
EVENTS = "metrics_metricevent"
Sums = dict[tuple[str, datetime], Point]
NOTHING = Point("", datetime.min, 0, 0, None)


@dataclass(frozen=True)
class Measure:
    """One kind of number over a week."""

    kind: str
    total: int
    in_short: str
    compared: str
    url: str
    curve: Chart


@dataclass(frozen=True)
class Week:
    measures: list[Measure]
    days: list[tuple[str, list[int]]]  # for the table: each day with its sums

    @property
    def is_empty(self) -> bool:
        return not any(measure.total for measure in self.measures)


def week(now: datetime) -> Week:
    """This hour is the last one: 168 hours, and the 168 before them to compare with."""
    last = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [last - timedelta(hours=back) for back in range(24 * DAYS - 1, -1, -1)]
    sums = _sums(hours[0] - WEEK, last)
    return Week([_measure(kind, hours, sums) for kind in SHOWN], _days(hours, sums))


def _sums(first: datetime, last: datetime) -> Sums:
    """By kind and hour. The older hours hardly change any more, and are what takes time to read."""
    fresh = last - FRESH
    older = kept(f"sums:{first.isoformat()}", KEPT, lambda: _read(first, fresh))
    return older | _read(fresh, last + HOUR)


def _read(first: datetime, end: datetime) -> Sums:
    span = Span(measure="", start=first, end=end, before=first, over=end, by_hour=True)
    return {(point.measure, point.bucket): point for point in points({}, span)}


def _measure(kind: MetricType, hours: list[datetime], sums: Sums) -> Measure:
    hourly = [sums.get((kind.value, hour), NOTHING) for hour in hours]
    together = [hourly[place : place + TOGETHER] for place in range(0, len(hourly), TOGETHER)]
    values = [sum(point.total for point in some) for some in together]
    before = [sums.get((kind.value, hour - WEEK), NOTHING) for hour in hours]
    said = compared(sum(point.compared for point in hourly), sum(point.compared for point in before), "week")
    label, total = str(kind.label), sum(values)
    drawn = chart(
        f"week-{kind.value}",
        f"{label.capitalize()} of the last 7 days, each point {TOGETHER} hours",
        values,
        along=[f"{timezone.localtime(hours[24 * day]):%-d %b}" for day in range(DAYS)],
        what=f"{label} in {TOGETHER} hours",
        height=160 if kind == SHOWN[0] else 40,
    )
    url = f"{page_of('')}?period=7d&measure={kind.value}"
    return Measure(label, total, short(total), said, url, drawn)


def _days(hours: list[datetime], sums: Sums) -> list[tuple[str, list[int]]]:
    """Days of the viewer's zone; the first and the last are not whole ones."""
    days: dict[str, list[int]] = defaultdict(lambda: [0] * len(SHOWN))
    for hour in hours:
        day = days[f"{timezone.localtime(hour):%a %-d %b}"]
        for place, kind in enumerate(SHOWN):
            day[place] += sums.get((kind.value, hour), NOTHING).total
    return list(days.items())


@dataclass(frozen=True)
class Ingest:
    """Measurements of the last hour, and how long they take from the platform to here."""

    amount: int
    newest: datetime | None
    lag: timedelta | None
    since: datetime
    now: datetime

    def card(self) -> Card:
        url = listed(EVENTS, observed_at__gte=self.since)
        if self.lag is not None:
            says = f"lag {duration(self.lag)}"
        else:
            says = f"newest {duration(self.now - self.newest)} ago" if self.newest else "nothing was measured yet"
        return Card("events", "Events in the last hour", self.amount, url, says)


def ingest(now: datetime) -> Ingest:
    since = now - timedelta(hours=1)
    amount = MetricEvent.objects.filter(observed_at__gte=since).count()
    newest = newest_observed()
    recent = MetricEvent.objects.filter(observed_at__gte=since) if amount else MetricEvent.objects.none()
    lags = [came - seen for came, seen in recent.values_list("ingested_at", "observed_at")[:SAMPLE]]
    lag = timedelta(seconds=median(length.total_seconds() for length in lags)) if lags else None
    return Ingest(amount, newest, lag, since, now)
