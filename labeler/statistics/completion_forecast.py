"""Forecast of a campaign: the votes that are still needed, and the time they take.

**Votes.** The number of votes that an image needs is known only for finished images, and easy
images finish first. Their mean would be too small. So the number is estimated as in survival
analysis, with a life table: h_k is the share of images that end with their k-th vote, among all
images that got k votes. An open image with v votes needs on average

    E_v = 1 + (1 - h_{v+1}) E_{v+1},   E_cap = 0

more votes. The second moment follows in the same way.

**Time.** The pace is the mean number of votes in time bins of equal length. Pace and number of
votes are treated as independent and log-normal.

Reference:
    E. L. Kaplan, P. Meier, *Nonparametric estimation from incomplete observations*, JASA 53(282),
    1958, https://doi.org/10.1080/01621459.1958.10501452.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from labeler.statistics.intervals import LEVEL, Interval, normal_quantile
from labeler.statistics.vote_arrays import Floats

DRAWS = 400
HALF = 0.5  # pseudo-images that end, and that go on, with each vote (Jeffreys prior)


def remaining_votes(
    finished: Mapping[int, int],
    waiting: Mapping[int, int],
    *,
    first: int,
    cap: int,
    level: float = LEVEL,
) -> Interval:
    """**The votes that the open images of a campaign still need**; see the module.

    The h_k are drawn from their posterior Beta(ended + 1/2, went on + 1/2). The interval covers
    the uncertainty of the h_k and the chance of single images.

    Parameters:
        finished: maps a number of votes to the number of images that ended with it.
        waiting: maps a number of votes to the number of open images that have it.
        first: the first vote with which an image can end, >= 1.
        cap: the vote with which every image ends at the latest, >= first.
        level: of the interval.

    Raises:
        ValueError: `first` or `cap` is out of range.
    """
    if not 1 <= first <= cap:
        raise ValueError(f"first is {first}, cap is {cap}; needed is 1 <= first <= cap")
    rng = np.random.default_rng(0)
    mean, square = _moments(_hazards(finished, waiting, first, cap, rng))
    counts = np.zeros(cap + 1)
    for votes, images in waiting.items():
        counts[min(votes, cap - 1)] += images  # after a change of the rules: one vote
    spread = np.sqrt((square - mean**2).clip(min=0) @ counts)
    totals = mean @ counts + spread * rng.standard_normal(len(mean))
    low, high = np.quantile(totals, [(1 - level) / 2, (1 + level) / 2])
    fewest = float(counts.sum())  # each open image takes one vote at least
    estimate = float((mean @ counts).mean())
    return Interval(estimate, max(min(float(low), estimate), fewest), max(float(high), estimate))


def pace(counts: Sequence[int]) -> Interval:
    """Return the mean number of votes per time bin.

    The interval is log-normal, from the variance between the bins. The variance is at least that
    of a Poisson distribution, so that a few equal bins do not look certain.

    Parameters:
        counts: votes in bins of equal length.

    Returns:
        Interval(nan, 0, inf) if there is no vote.
    """
    total = sum(counts)
    if total == 0:
        return Interval(math.nan, 0.0, math.inf)
    mean = total / len(counts)
    variance = float(np.var(counts, ddof=1)) if len(counts) > 1 else 0.0
    relative = math.sqrt(max(variance, mean) / len(counts)) / mean
    factor = math.exp(normal_quantile(LEVEL) * relative)
    return Interval(mean, mean / factor, mean * factor)


def remaining_time(needed: Interval, per_bin: Interval, bin_s: float) -> Interval | None:
    """Return the seconds until the votes are there at this pace, or None without a pace.

    Parameters:
        needed: number of votes.
        per_bin: votes per time bin, as `pace` returns it.
        bin_s: length of a bin in seconds.
    """
    if math.isnan(per_bin.estimate) or needed.estimate <= 0:
        return None
    estimate = needed.estimate / per_bin.estimate * bin_s
    of_pace = math.log(per_bin.high / per_bin.estimate)
    down = math.hypot(math.log(needed.estimate / needed.low), of_pace)
    up = math.hypot(math.log(needed.high / needed.estimate), of_pace)
    return Interval(estimate, estimate / math.exp(down), estimate * math.exp(up))


def _hazards(
    finished: Mapping[int, int],
    waiting: Mapping[int, int],
    first: int,
    cap: int,
    rng: np.random.Generator,
) -> Floats:
    """Draw h_1 to h_cap: (DRAWS, cap)."""
    hazards = np.zeros((DRAWS, cap))
    for vote in range(first, cap):
        ended = finished.get(vote, 0)
        went_on = sum(n for votes, n in finished.items() if votes > vote)
        went_on += sum(n for votes, n in waiting.items() if votes >= vote)
        hazards[:, vote - 1] = rng.beta(ended + HALF, went_on + HALF, DRAWS)
    hazards[:, cap - 1] = 1
    return hazards


def _moments(hazards: Floats) -> tuple[Floats, Floats]:
    """Return mean and mean square of the votes needed after v votes: (DRAWS, cap + 1) each."""
    draws, cap = hazards.shape
    mean, square = np.zeros((draws, cap + 1)), np.zeros((draws, cap + 1))
    for votes in reversed(range(cap)):
        goes_on = 1 - hazards[:, votes]
        mean[:, votes] = 1 + goes_on * mean[:, votes + 1]
        square[:, votes] = 1 + goes_on * (2 * mean[:, votes + 1] + square[:, votes + 1])
    return mean, square
