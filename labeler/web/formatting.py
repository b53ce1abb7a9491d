"""Numbers as the managing pages write them: shares with intervals, spans of time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from labeler.statistics.intervals import Interval

NONE = "–"  # what stands where nothing is known yet


@dataclass(frozen=True, slots=True)
class Share:
    """An estimate with its limits, and the same in words; `n`: how many answers it is from."""

    estimate: float
    low: float
    high: float
    text: str
    n: int | None = None

    @property
    def sure_not_zero(self) -> bool:
        """Whether 0 is outside of the limits."""
        return not self.low <= 0 <= self.high


def share(values: Sequence[float] | None, n: int | None = None) -> Share | None:
    """From [estimate, low, high] of 1, written in percent; None stays None."""
    if values is None:
        return None
    estimate, low, high = values
    words = f"{percent(estimate)} ({_bare(low)} to {_bare(high)})"
    return Share(estimate, low, high, words, n)


def plain(values: Sequence[float] | None, n: int | None = None) -> Share | None:
    """As `share`, written as numbers with two places: for alpha and kappa."""
    if values is None:
        return None
    estimate, low, high = values
    words = f"{signed(estimate)} ({signed(low)} to {signed(high)})"
    return Share(estimate, low, high, words, n)


def percent(value: float | None) -> str:
    """`93 %`, with a true minus."""
    return NONE if value is None else f"{_bare(value)} %"


def signed(value: float | None) -> str:
    """`0.81`, with a true minus."""
    return NONE if value is None else f"{value:.2f}".replace("-", "−")


def seconds(milliseconds: float | None) -> str:
    """`1.4 s`."""
    return NONE if milliseconds is None else f"{milliseconds / 1000:.1f} s"


def span(hours: float) -> str:
    """`40 minutes`, `3 h 20 min`, `4 days`: as much as one can believe of a forecast."""
    minutes = max(1, round(hours * 60))
    if minutes < 60:
        return f"{minutes} {plural(minutes, 'minute')}"
    if minutes < 24 * 60:
        whole, rest = divmod(round(minutes, -1), 60)
        return f"{whole} h {rest} min" if rest else f"{whole} h"
    days = round(hours / 24)
    return f"{days:,} {plural(days, 'day')}"


def whole(interval: Interval) -> str:
    """`1,240 (1,180 to 1,320)`; votes and the like."""
    limits = [math.floor(interval.low), math.ceil(interval.high)]
    if limits[0] == limits[1]:
        return f"{limits[0]:,}"
    return f"{round(interval.estimate):,} ({limits[0]:,} to {limits[1]:,})"


def plural(count: int, word: str) -> str:
    """The word for so many."""
    return word if count == 1 else f"{word}s"


def _bare(value: float) -> str:
    return f"{100 * value + 0.0:.0f}".replace("-0", "0").replace("-", "−")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with the word for it."""

    word: str
    value: str
