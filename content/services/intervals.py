"""Shares that were counted, and how far they can be trusted."""

from dataclasses import dataclass
from math import sqrt

Z = 1.959964  # of the normal distribution: 95 % lie between -Z and Z
FEW = 10  # cases; below, a share tells nothing


def wilson(rate: float, amount: float) -> tuple[float, float]:
    """The interval of a share that was seen `amount` times (E. B. Wilson, 1927): honest for few, and near 0 and 1."""
    if amount <= 0:
        return 0.0, 1.0
    centre = rate + Z * Z / (2 * amount)
    spread = Z * sqrt(rate * (1 - rate) / amount + Z * Z / (4 * amount * amount))
    whole = 1 + Z * Z / amount
    return max(round((centre - spread) / whole, 12), 0.0), min(round((centre + spread) / whole, 12), 1.0)


@dataclass(frozen=True)
class Share:
    """`part` of `whole`, and the interval in which the true share lies (Wilson's, 95 %)."""

    part: int
    whole: int

    @property
    def rate(self) -> float:
        return self.part / self.whole if self.whole else 0.0

    @property
    def low(self) -> float:
        return wilson(self.rate, self.whole)[0]

    @property
    def high(self) -> float:
        return wilson(self.rate, self.whole)[1]

    @property
    def is_few(self) -> bool:
        return self.whole < FEW


@dataclass(frozen=True)
class Estimate:
    """A number with the interval in which the true one lies (95 %)."""

    value: float
    low: float
    high: float
