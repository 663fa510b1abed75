"""Curves as SVG, drawn on the server: no script, no inline style, and the same numbers in words.

The drawing is stretched to the width that it is given, while its lines keep their strength and its labels, which are
text of the page, their size. Pure functions: numbers in, a `Chart` out; `admin/charts/*.html` show it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite

Number = int | float | Decimal | None  # None is a gap: nothing is known, which is not zero
WIDTH, HEIGHT = 600, 160  # units of the drawing, not pixels
STEPS = (1, 2, 2.5, 5, 10)
UNCHANGED = "0 %"
UNITS = [(10**12, "T"), (10**9, "bn"), (10**6, "M"), (10**3, "k")]


@dataclass(frozen=True)
class Chart:
    """`line` and `area` are the `d` of an SVG path; both are empty when there is nothing to draw."""

    key: str  # of the ids in the page: letters, digits and dashes
    title: str
    description: str  # what the curve shows, in words
    line: str
    area: str
    top: str  # labels of the vertical axis; its foot is 0
    middle: str
    along: Sequence[str]  # labels of the horizontal axis, evenly spread
    width: int = WIDTH
    height: int = HEIGHT
    before: str = ""  # the path of another curve behind it, in a quieter line


def chart(
    key: str,
    title: str,
    values: Sequence[Number],
    *,
    along: Sequence[str] = (),
    what: str = "",
    height: int = HEIGHT,
    names: Sequence[str] = (),
    before: Sequence[Number] = (),
    centred: bool = False,
) -> Chart:
    """A curve of numbers that are not negative, from the oldest to the newest; `what` they are is for the words.

    `names` are those of the values, where `along` has not one for each. `before` are as many numbers of another time.
    `centred` puts each value in the middle of its share of the width, and not the first and the last at the edges.
    """
    known, behind = [_clean(value) for value in values], [_clean(value) for value in before]
    top = ceiling(max((value for value in [*known, *behind] if value is not None), default=0))
    pieces, frame = runs(known), _Frame(len(known), top, height, centred)
    return Chart(
        key=key,
        title=title,
        description=described(values, names or along, what) + (f" {_before(before)}" if before else ""),
        line=" ".join(frame.path(piece) for piece in pieces),
        area=" ".join(frame.area(piece) for piece in pieces),
        top=short(top),
        middle=short(top / 2),
        along=along,
        height=height,
        before=" ".join(frame.path(piece) for piece in runs(behind)),
    )


def ceiling(highest: float) -> float:
    """The round number at the top of an axis: 1, 2, 2.5 or 5 times a power of ten, and never 0."""
    if highest <= 0:
        return 1
    power = 1.0
    while power * 10 < highest:
        power *= 10
    while power > highest:
        power /= 10
    return next(power * step for step in STEPS if power * step >= highest)


def runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """The stretches between gaps, each value with its place."""
    pieces: list[list[tuple[int, float]]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((place, value))
    return [piece for piece in pieces if piece]


def described(values: Sequence[Number], along: Sequence[str], what: str) -> str:
    """What somebody who does not see the curve is told of it."""
    known = [(value, place) for place, value in enumerate(map(_clean, values)) if value is not None]
    if not known:
        return "Nothing is known of this time."
    (lowest, _), (highest, at) = min(known), max(known, key=lambda pair: pair[0])
    said = f"From {short(lowest)} to {short(highest)} {what}".rstrip()
    if len(along) == len(values):
        said += f", the most at {along[at]}"
    return f"{said}; {short(known[-1][0])} at the end."


def short(value: Number) -> str:
    """As people say large numbers: 1.94 M. Below ten thousand, all digits."""
    clean = _clean(value)
    if clean is None:
        return "–"
    for size, unit in UNITS:
        if clean >= size and clean >= 10_000:
            return f"{_three_digits(clean / size)} {unit}"
    return f"{clean:,.0f}" if clean == int(clean) else f"{clean:,.2f}".rstrip("0").rstrip(".")


def compared(now: Number, before: Number, period: str) -> str:
    """“+12 % on the week before”; a share of nothing is not said as one."""
    if not now and not before:
        return f"none, as in the {period} before"
    if not before:
        return f"none in the {period} before"
    share = change(now, before)
    return f"as many as in the {period} before" if share == UNCHANGED else f"{share} on the {period} before"


def change(now: Number, before: Number) -> str:
    """The same for a column whose title says what it is compared with: “+12 %”."""
    if not before:
        return "new" if now else "–"
    share = round(100 * (float(now or 0) / float(before) - 1))
    return f"{'+' if share > 0 else '−'}{abs(share):,} %" if share else UNCHANGED


def _clean(value: Number) -> float | None:
    """A number that can be drawn; what is none (NaN, infinity) is a gap, and less than nothing is nothing."""
    if value is None or not isfinite(value):
        return None
    return max(float(value), 0.0)


def _three_digits(value: float) -> str:
    digits = 2 if value < 10 else 1 if value < 100 else 0
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True)
class _Frame:
    """Where values are drawn: `amount` of them on the width, and `top` at the upper edge."""

    amount: int
    top: float
    height: int
    centred: bool

    def path(self, piece: list[tuple[int, float]]) -> str:
        """A single value is a line without length, which round ends make a dot."""
        first, *others = self._points(piece)
        return f"M{first}" + ("".join(f"L{point}" for point in others) or "h0")

    def area(self, piece: list[tuple[int, float]]) -> str:
        if len(piece) < 2:
            return ""
        points = self._points(piece)
        left, right = points[0].split()[0], points[-1].split()[0]
        return f"M{left} {self.height}L{'L'.join(points)}L{right} {self.height}Z"

    def _points(self, piece: list[tuple[int, float]]) -> list[str]:
        step = WIDTH / (self.amount if self.centred else max(self.amount - 1, 1))
        half = step / 2 if self.centred else 0
        foot = self.height
        return [f"{_round(half + place * step)} {_round(foot - value / self.top * foot)}" for place, value in piece]


def _before(values: Sequence[Number]) -> str:
    known = [value for value in map(_clean, values) if value is not None]
    return f"In the time before, from {short(min(known))} to {short(max(known))}." if known else ""


def _round(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
