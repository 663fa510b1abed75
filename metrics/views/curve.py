"""The sums of a period: each measure's with what it is compared with, the curve of one, and the same as a table."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from django.utils.text import capfirst

from audit.admin.charts import Chart, chart
from metrics.choices import MetricType
from metrics.reading import Compared, Point
from metrics.views import measure as measures
from metrics.views.chosen import Chosen
from metrics.views.period import Bucket

LABELS = 6  # under a curve


@dataclass(frozen=True)
class Figure:
    """A measure's sum; `url` is the page with that measure on its curve."""

    name: str
    total: str
    compared: str
    url: str
    is_here: bool


@dataclass(frozen=True)
class Row:
    """A bucket; `url` leads to what it is made of."""

    bucket: Bucket
    url: str
    before: str
    sums: Sequence[str]  # of each measure
    says: str  # what its place on the curve says


@dataclass(frozen=True)
class Curve:
    chosen: Chosen
    sums: dict[MetricType, list[int]]  # by bucket
    before: dict[MetricType, list[int]]  # of the same place in the period before
    compared: dict[MetricType, Compared]
    newest: datetime | None

    @property
    def is_empty(self) -> bool:
        return not any(map(any, self.sums.values()))

    @property
    def total(self) -> int:
        return self.compared[self.chosen.measure].total

    @cached_property
    def figures(self) -> list[Figure]:
        return [
            Figure(
                capfirst(measures.words(kind)),
                measures.told(kind, sums.total),
                self.chosen.compared(sums),
                self.chosen.asking(measure=kind.value),
                kind == self.chosen.measure,
            )
            for kind, sums in self.compared.items()
        ]

    @cached_property
    def here(self) -> Figure:
        return next(figure for figure in self.figures if figure.is_here)

    @property
    def names(self) -> list[str]:
        """The titles of the table's columns: the chosen measure is its first."""
        return [capfirst(measures.words(kind)) for kind in self._in_order]

    @property
    def _in_order(self) -> list[MetricType]:
        return sorted(MetricType, key=lambda kind: kind != self.chosen.measure)

    @cached_property
    def rows(self) -> list[Row]:
        """Without the times that are still to come."""
        buckets, kind = self.chosen.period.buckets, self.chosen.measure
        rows = []
        for place, bucket in enumerate(buckets):
            if bucket.is_ahead:
                continue
            told = measures.told(kind, self.sums[kind][place])
            before = measures.told(kind, self.before[kind][place])
            url = self.chosen.asking(period=bucket.query) if len(buckets) > 1 else ""
            says = f"{bucket.name}{' so far' if bucket.is_open else ''}: {told}; {before} in the time before"
            sums = [measures.told(each, self.sums[each][place]) for each in self._in_order]
            rows.append(Row(bucket, url, before, sums, says))
        return rows

    @cached_property
    def chart(self) -> Chart:
        period, kind = self.chosen.period, self.chosen.measure
        values = [
            None if bucket.is_ahead else measures.drawn(kind, value)
            for bucket, value in zip(period.buckets, self.sums[kind], strict=True)
        ]
        every = -(-len(values) // LABELS)
        return chart(
            "curve",
            f"{capfirst(measures.words(kind))} by the {period.step.value}, {period.title}",
            values,
            along=[bucket.label if place % every == 0 else "" for place, bucket in enumerate(period.buckets)],
            names=[bucket.name for bucket in period.buckets],
            what=measures.unit(kind),
            before=[measures.drawn(kind, value) for value in self.before[kind]] if any(self.before[kind]) else [],
            centred=True,
        )


def curve(chosen: Chosen, points: Sequence[Point]) -> Curve:
    """Days of the period before stand in the buckets of the days that are as far from its beginning."""
    period, amount = chosen.period, len(chosen.period.buckets)
    starts = [bucket.start for bucket in period.buckets]
    sums: dict[str, list[int]] = {kind.value: [0] * amount for kind in MetricType}
    before: dict[str, list[int]] = {kind.value: [0] * amount for kind in MetricType}
    now, then = dict.fromkeys(sums, 0), dict.fromkeys(sums, 0)
    for point in points:
        is_now = point.bucket >= period.start
        moment = point.bucket if is_now else point.bucket + period.length
        (sums if is_now else before)[point.measure][bisect_right(starts, moment) - 1] += point.total
        if moment < period.over:
            (now if is_now else then)[point.measure] += point.compared
    return Curve(
        chosen=chosen,
        sums={kind: sums[kind.value] for kind in MetricType},
        before={kind: before[kind.value] for kind in MetricType},
        compared={kind: Compared(sum(sums[kind.value]), now[kind.value], then[kind.value]) for kind in MetricType},
        newest=max(filter(None, (point.newest for point in points)), default=None),
    )
