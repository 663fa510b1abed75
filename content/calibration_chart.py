"""Stated against actual, as a drawing: across, how sure a judge was; up, how often people agreed, and the ideal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from content.services.calibration import Agreement, Record

LEFT, TOP, SIDE = 46.0, 10.0, 250.0  # of the square in which it is drawn, in units of the drawing
HALF = 4.5  # of a mark


@dataclass(frozen=True)
class Mark:
    """A share with its error bar; all in units of the drawing, as text, so that no locale touches them."""

    kind: str  # override or blind: another colour and another shape
    x: str
    y: str
    high: str
    low: str
    left: str
    right: str
    upper: str
    lower: str


@dataclass(frozen=True)
class Tick:
    label: str
    x: str
    y: str


@dataclass(frozen=True)
class Reliability:
    key: str  # of the ids in the page
    title: str
    description: str
    marks: Sequence[Mark]
    ticks: Sequence[Tick]


def reliability(key: str, record: Record) -> Reliability:
    """A mark for each band and kind that has enough pairs to tell something."""
    shown = [
        (kind, band.name, share)
        for band in record.bands
        for kind, share in (("override", band.pairs.overrides), ("blind", band.pairs.blind))
        if not share.is_few
    ]
    foot = _foot(share for _, _, share in shown)
    return Reliability(
        key=key,
        title=f"How sure {record.judge or 'a judge without a name'} was, and how often people agreed",
        description=_told(shown),
        marks=[_mark(kind, share, foot) for kind, _, share in shown],
        ticks=[_tick(foot + (1 - foot) * step / 5, foot) for step in range(6)],
    )


def _foot(shares: Iterable[Agreement]) -> float:
    """Where both axes begin: at a half, where everything lies above it."""
    return 0.0 if any(min(share.stated, share.low) < 0.5 for share in shares) else 0.5


def _mark(kind: str, share: Agreement, foot: float) -> Mark:
    x, y = _across(share.stated, foot), _up(share.rate, foot)
    high, low = _up(share.high, foot), _up(share.low, foot)
    return Mark(kind, *map(_text, (x, y, high, low, x - HALF, x + HALF, y - HALF, y + HALF)))


def _tick(value: float, foot: float) -> Tick:
    return Tick(f"{100 * value:.0f} %", _text(_across(value, foot)), _text(_up(value, foot)))


def _across(value: float, foot: float) -> float:
    return LEFT + SIDE * (value - foot) / (1 - foot)


def _up(value: float, foot: float) -> float:
    return TOP + SIDE * (1 - (value - foot) / (1 - foot))


def _text(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _told(shown: Iterable[tuple[str, str, Agreement]]) -> str:
    """What somebody who does not see the drawing is told; the table beside it has every number."""
    said = [
        f"{name}: {100 * share.rate:.0f} % agreed{' in routine checks' if kind == 'blind' else ''}"
        for kind, name, share in shown
    ]
    return f"{'; '.join(said)}." if said else "No band has enough decisions yet to tell anything."
