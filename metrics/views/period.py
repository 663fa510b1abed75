"""The time that a page of metrics is about, as its address says; its buckets; and the period before, to compare with.

Sums are kept by the hour and the day in UTC, so that is where periods begin and end. Weeks and months are made of days.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cached_property
from itertools import pairwise
from urllib.parse import urlencode

from django.utils import timezone

from audit.admin.cells import zone
from metrics.partitions import EARLIEST

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
BY_HOUR, BY_DAY, BY_WEEK = 2 * DAY, 100 * DAY, 750 * DAY  # so long at most; what is longer is shown by the month
LONGEST, AHEAD = 3660 * DAY, 366 * DAY
LAST = {"24h": "24 hours", "7d": "7 days", "28d": "28 days", "90d": "90 days", "12m": "12 months"}
USUAL = "28d"
WRITTEN = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2})?", re.ASCII)


class Step(Enum):
    """How much time one point of a curve sums up."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class NoPeriod(Exception):
    """What was asked for is no period; says why, for whoever typed it."""


@dataclass(frozen=True)
class Bucket:
    start: datetime
    end: datetime
    step: Step
    now: datetime

    @property
    def is_ahead(self) -> bool:
        return self.start > self.now

    @property
    def is_open(self) -> bool:
        """More may still come in, simply because its time is not over."""
        return self.start <= self.now < self.end

    @cached_property
    def name(self) -> str:
        """Hours in the viewer's zone; days are those of UTC."""
        last = self.end - DAY
        if self.step is Step.HOUR:
            return f"{timezone.localtime(self.start):%a %-d %b, %H:%M}"
        if self.step is Step.DAY:
            return f"{self.start:%a %-d %b %Y}"
        if self.step is Step.MONTH and self.start.day == 1 and self.end.day == 1:
            return f"{self.start:%B %Y}"
        return said(self.start, last)

    @property
    def label(self) -> str:
        """What stands under the curve."""
        if self.step is Step.HOUR:
            return f"{timezone.localtime(self.start):%H:%M}"
        return f"{self.start:%b %Y}" if self.step is Step.MONTH else f"{self.start:%-d %b}"

    @property
    def query(self) -> str:
        """The same page with this bucket as its period."""
        return asked(self.start, self.end)


@dataclass(frozen=True)
class Period:
    """From `start` to just before `end`. `name` is one of LAST; empty when somebody gave the days themselves."""

    name: str
    start: datetime
    end: datetime
    now: datetime

    @property
    def length(self) -> timedelta:
        return self.end - self.start

    @property
    def before(self) -> datetime:
        """Where the period before begins, which is as long."""
        return self.start - self.length

    @property
    def step(self) -> Step:
        if self.length <= BY_HOUR:
            return Step.HOUR
        return Step.DAY if self.length <= BY_DAY else Step.WEEK if self.length <= BY_WEEK else Step.MONTH

    @property
    def by_hour(self) -> bool:
        return self.step is Step.HOUR

    @property
    def over(self) -> datetime:
        """Until when it is compared: an hour, or a day, that is not over would always be less than the one before."""
        return max(self.start, min(self.end, _floor(self.now, self.by_hour)))

    @property
    def is_over(self) -> bool:
        return self.over == self.end

    @property
    def words(self) -> str:
        """As in “the … before”."""
        if self.name:
            return LAST[self.name]
        unit, size = ("hour", HOUR) if self.length % DAY else ("day", DAY)
        amount = self.length // size
        return unit if amount == 1 else f"{amount:,} {unit}s"

    @property
    def title(self) -> str:
        if self.name:
            return f"last {LAST[self.name]}"
        if self.length % DAY or self.start.hour:
            return f"{timezone.localtime(self.start):%a %-d %b %Y, %H:%M} to {_clock(self.end)} {zone(self.start)}"
        return said(self.start, self.end - DAY)

    @property
    def query(self) -> str:
        return urlencode({"period": self.name}) if self.name else asked(self.start, self.end)

    @property
    def first_day(self) -> str:
        return f"{self.start:%Y-%m-%d}"

    @property
    def last_day(self) -> str:
        return f"{self.end - HOUR:%Y-%m-%d}"

    @property
    def earlier(self) -> str:
        return asked(self.before, self.start)

    @property
    def later(self) -> str:
        """Empty when that is all to come."""
        return "" if self.end > self.now else asked(self.end, self.end + self.length)

    @cached_property
    def buckets(self) -> Sequence[Bucket]:
        edges = [self.start]
        while edges[-1] < self.end:
            edges.append(min(self.end, _next(edges[-1], self.step)))
        return [Bucket(start, end, self.step, self.now) for start, end in pairwise(edges)]


def period_of(given: Mapping[str, str], now: datetime) -> Period:
    """As the address says: `period`, or `from` and `to`, both of which belong to it; raises NoPeriod."""
    first, last = given.get("from", "").strip(), given.get("to", "").strip()
    if first or last:
        return _given(first, last, now)
    name = given.get("period", "")
    return last_time(name if name in LAST else USUAL, now)


def last_time(name: str, now: datetime) -> Period:
    """This hour, or this day, is the last one. A year is 52 weeks and this one, so that weeks are whole ones."""
    if name == "24h":
        end = _floor(now, True) + HOUR
        return Period(name, end - DAY, end, now)
    today = _floor(now, False)
    if name == "12m":
        return Period(name, today - timedelta(days=today.weekday()) - 52 * WEEK, today + DAY, now)
    return Period(name, today + DAY - int(name.removesuffix("d")) * DAY, today + DAY, now)


def asked(start: datetime, end: datetime) -> str:
    """The query that asks for this time; its last day or hour is named, and belongs to it."""
    whole = not (start.hour or end.hour)
    form, unit = ("%Y-%m-%d", DAY) if whole else ("%Y-%m-%dT%H", HOUR)
    return urlencode({"from": start.strftime(form), "to": (end - unit).strftime(form)})


def whole_days(first: datetime, last: datetime) -> str:
    """The query for all days from the one moment to the other."""
    return asked(_floor(first, False), _floor(last, False) + DAY)


def said(first: datetime, last: datetime) -> str:
    """“9 – 15 Nov 2026”, both days belonging to it."""
    if first == last:
        return f"{first:%a %-d %b %Y}"
    if first.year != last.year:
        return f"{first:%-d %b %Y} – {last:%-d %b %Y}"
    return f"{first:%-d} – {last:%-d %b %Y}" if first.month == last.month else f"{first:%-d %b} – {last:%-d %b %Y}"


def _given(first: str, last: str, now: datetime) -> Period:
    """Hours where that is short enough to be shown by the hour; otherwise whole days."""
    today = _floor(now, False)
    start, _ = _moment(first) if first else (None, DAY)
    end, unit = _moment(last) if last else (max(today, start or today), DAY)
    end += unit
    start = start or end - 28 * DAY
    if start >= end:
        raise NoPeriod("This period ends before it begins: change “from” or “to”.")
    if start < EARLIEST.start or end > now + AHEAD:
        raise NoPeriod(f"A period lies between {EARLIEST.year} and a year from now.")
    if end - start > LONGEST:
        raise NoPeriod("A period has at most ten years.")
    if end - start > BY_HOUR:
        start, end = _floor(start, False), _floor(end - HOUR, False) + DAY
    return Period("", start, end, now)


def _moment(text: str) -> tuple[datetime, timedelta]:
    """A day or an hour of UTC, and how long that is."""
    try:
        moment = datetime.fromisoformat(text if WRITTEN.fullmatch(text) else "").replace(tzinfo=UTC)
    except ValueError:
        raise NoPeriod(f"“{text[:40]}” is not a day; write it like 2026-11-20.") from None
    if not 1900 <= moment.year <= 9000:  # far enough from the ends of the calendar to reckon with
        raise NoPeriod(f"A period lies between {EARLIEST.year} and a year from now.")
    return moment, HOUR if "T" in text else DAY


def _floor(moment: datetime, to_hour: bool) -> datetime:
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour if to_hour else hour.replace(hour=0)


def _next(moment: datetime, step: Step) -> datetime:
    if step is Step.HOUR:
        return moment + HOUR
    if step is Step.DAY:
        return moment + DAY
    if step is Step.WEEK:
        return moment + (7 - moment.weekday()) * DAY
    return (moment.replace(day=1) + 32 * DAY).replace(day=1)


def _clock(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%H:%M}"
