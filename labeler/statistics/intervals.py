"""Confidence intervals of shares that stay honest with few votes.

**Wilson's score interval** holds its level from a handful of votes on and never leaves [0, 1].
Differences and ratios of two shares are put together from the Wilson limits of each (the
"method of variance estimates recovery"), which keeps that property.

Sources: E. B. Wilson, JASA 22(158), 1927; R. G. Newcombe, *Interval estimation for the difference
between independent proportions*, Statistics in Medicine 17, 1998, method 10; A. Donner, G. Y. Zou,
*Closed-form confidence intervals for functions of the normal mean and standard deviation*,
Statistical Methods in Medical Research 21(4), 2012, section 4 (ratio).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its confidence limits. The estimate is NaN where there is no data."""

    estimate: float
    low: float
    high: float

    def contains(self, value: float) -> bool:
        """Whether the value lies within the limits."""
        return self.low <= value <= self.high


def normal_quantile(level: float) -> float:
    """z with P(|Z| <= z) = level.

    Raises:
        ValueError: a level outside of (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; allowed is between 0 and 1")
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(successes: float, n: float, level: float = LEVEL) -> Interval:
    """The share successes / n with Wilson's score interval.

    With k of n and z the quantile:
    (k + z^2/2) / (n + z^2) -+ z / (n + z^2) sqrt(k (n - k) / n + z^2/4).
    Fractions are allowed, for weighted shares with an effective n.

    Returns:
        Interval(nan, 0, 1) where n is 0: nothing is known.

    Raises:
        ValueError: not 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    if n == 0:
        return Interval(math.nan, 0.0, 1.0)
    z = normal_quantile(level)
    middle = (successes + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(successes * (n - successes) / n + z * z / 4)
    share = successes / n
    return Interval(share, max(min(middle - half, share), 0.0), min(max(middle + half, share), 1.0))


def newcombe_difference(
    successes: float, n: float, others_successes: float, others_n: float, level: float = LEVEL
) -> Interval:
    """The difference of two independent shares, first minus second: Newcombe's method 10.

    Returns:
        Interval(nan, -1, 1) where one of the two has no data.
    """
    first, second = wilson(successes, n, level), wilson(others_successes, others_n, level)
    if not (n and others_n):
        return Interval(math.nan, -1.0, 1.0)
    return difference(first, second)


def difference(first: Interval, second: Interval) -> Interval:
    """first - second of two independent estimates whose limits are given."""
    estimate = first.estimate - second.estimate
    down = math.hypot(first.estimate - first.low, second.high - second.estimate)
    up = math.hypot(first.high - first.estimate, second.estimate - second.low)
    return Interval(estimate, estimate - down, estimate + up)


def ratio(first: Interval, second: Interval) -> Interval:
    """first / second of two independent shares whose limits are given.

    Returns:
        high is inf where the second may be 0; Interval(nan, 0, inf) where it is 0 or unknown.
    """
    if not second.estimate > 0 or math.isnan(first.estimate):
        return Interval(math.nan, 0.0, math.inf)
    estimate = first.estimate / second.estimate
    low = _ratio_limit(first.estimate, second.estimate, first.low, second.high, -1)
    if second.low == 0:
        return Interval(estimate, low, math.inf)
    high = _ratio_limit(first.estimate, second.estimate, first.high, second.low, 1)
    return Interval(estimate, low, high)


def _ratio_limit(top: float, bottom: float, top_limit: float, bottom_limit: float, s: int) -> float:
    """Donner and Zou's limit: where the limits of top - R bottom just reach 0."""
    a = bottom_limit * (2 * bottom - bottom_limit)
    c = top_limit * (2 * top - top_limit)
    product = top * bottom
    root = math.sqrt(max(product * product - a * c, 0.0))
    if a <= 0:
        return math.inf if s > 0 else 0.0
    return max((product + s * root) / a, 0.0)
