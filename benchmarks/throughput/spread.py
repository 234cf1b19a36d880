"""Ratios of what was measured in turn: their median and their range."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Median and range of figures, one for each repeat."""

    median: float
    low: float
    high: float
    repeats: int

    def form(self, digits: int = 2) -> str:
        """Writes it as `median (low to high)`."""
        one = f"{self.median:,.{digits}f}"
        return one if self.repeats == 1 else f"{one} ({self.low:,.{digits}f} to {self.high:,.{digits}f})"


def spread(figures: Sequence[float]) -> Spread:
    """Summarizes figures; raises ValueError if there are none."""
    if not figures:
        raise ValueError("nothing was measured")
    return Spread(statistics.median(figures), min(figures), max(figures), len(figures))


def ratios(over: Sequence[float], under: Sequence[float]) -> Spread:
    """Divides the figures of two contenders repeat by repeat, so that what slows a whole repeat down cancels out.

    Raises:
        ValueError: they have different numbers of repeats, or none.
    """
    return spread([one / other for one, other in zip(over, under, strict=True)])
