"""Confidence intervals of shares that are reliable with few votes.

Wilson's score interval has its level from a handful of votes on and stays within [0, 1]. Intervals
of differences and ratios are computed from the Wilson limits of the two shares. This is the
method of variance estimates recovery (MOVER).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence limits. The estimate is NaN if there is no data."""

    estimate: float
    low: float
    high: float

    def contains(self, value: float) -> bool:
        """Whether a value lies within the limits."""
        return self.low <= value <= self.high


def normal_quantile(level: float) -> float:
    """Return z with P(|Z| <= z) = level for a standard normal Z.

    Raises:
        ValueError: the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; allowed is between 0 and 1")
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(successes: float, n: float, level: float = LEVEL) -> Interval:
    """**Wilson's score interval** of the share k / n.

    With z = `normal_quantile(level)` the limits are

        (k + z^2/2) / (n + z^2) -+ z / (n + z^2) sqrt(k (n - k) / n + z^2/4).

    Parameters:
        successes: k, 0 to n. Fractions are allowed, for weighted shares.
        n: number of trials, or an effective number.
        level: probability that the interval contains the true share.

    Returns:
        Interval(nan, 0, 1) if n is 0, because then nothing is known.

    Raises:
        ValueError: k is not between 0 and n.

    Reference:
        E. B. Wilson, *Probable inference, the law of succession, and statistical inference*,
        JASA 22(158), 1927, https://doi.org/10.1080/01621459.1927.10502953.
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
    """**Newcombe's interval** of the difference of two independent shares, first minus second.

    Parameters:
        successes, n: the first share, as for `wilson`.
        others_successes, others_n: the second share.
        level: as for `wilson`.

    Returns:
        Interval(nan, -1, 1) if one of the two has no data.

    Raises:
        ValueError: as `wilson`.

    Reference:
        R. G. Newcombe, *Interval estimation for the difference between independent proportions*,
        Statistics in Medicine 17, 1998, method 10.
    """
    first, second = wilson(successes, n, level), wilson(others_successes, others_n, level)
    if not (n and others_n):
        return Interval(math.nan, -1.0, 1.0)
    return difference(first, second)


def difference(first: Interval, second: Interval) -> Interval:
    """Return first - second of two independent estimates, with limits by MOVER.

    With estimates a and b, limits l and u,

        low  = a - b - sqrt((a - l_a)^2 + (u_b - b)^2),
        high = a - b + sqrt((u_a - a)^2 + (b - l_b)^2).
    """
    estimate = first.estimate - second.estimate
    down = math.hypot(first.estimate - first.low, second.high - second.estimate)
    up = math.hypot(first.high - first.estimate, second.estimate - second.low)
    return Interval(estimate, estimate - down, estimate + up)


def ratio(first: Interval, second: Interval) -> Interval:
    """Return first / second of two independent shares, with limits by MOVER.

    Returns:
        The upper limit is infinite if the second share may be 0. Interval(nan, 0, inf) if the
        second is 0 or one of the two is unknown.

    Reference:
        A. Donner, G. Y. Zou, *Closed-form confidence intervals for functions of the normal mean and
        standard deviation*, Statistical Methods in Medical Research 21(4), 2012, section 4.
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
    """Return the ratio R at which a limit of top - R bottom is 0 (Donner and Zou)."""
    a = bottom_limit * (2 * bottom - bottom_limit)
    c = top_limit * (2 * top - top_limit)
    product = top * bottom
    root = math.sqrt(max(product * product - a * c, 0.0))
    if a <= 0:
        return math.inf if s > 0 else 0.0
    return max((product + s * root) / a, 0.0)
