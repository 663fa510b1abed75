"""Measures as people read them: seconds that were watched become hours."""

from metrics.choices import MetricType

WATCHED = MetricType.WATCH_TIME_SECONDS
HOUR = 3600
USUAL = MetricType.VIEWS


def measure_of(text: str) -> MetricType:
    return MetricType(text) if text in MetricType.values else USUAL


def words(measure: MetricType) -> str:
    return "watch time" if measure == WATCHED else str(measure.label)


def unit(measure: MetricType) -> str:
    """What the numbers on a curve are."""
    return "hours watched" if measure == WATCHED else str(measure.label)


def drawn(measure: MetricType, value: int) -> float:
    """A number on a curve."""
    return value / HOUR if measure == WATCHED else value


def told(measure: MetricType, value: int) -> str:
    """All of the number."""
    if measure != WATCHED:
        return f"{value:,}"
    if value < HOUR:
        return f"{value // 60} min" if value >= 60 else f"{value} s"
    return f"{value / HOUR:,.1f} h"


def share(part: int, whole: int) -> str:
    if not whole:
        return "–"
    hundredths = 100 * part / whole
    return "under 1 %" if 0 < hundredths < 1 else f"{hundredths:.0f} %"
