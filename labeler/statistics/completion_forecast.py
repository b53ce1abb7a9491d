"""When a campaign will be done: the votes that are still needed, and the time they take.

**Votes still needed.** How many votes an image takes is known only of the images that are done,
and the easy ones are done first: their mean would be too small. So it is estimated like a life
span from the dead and the living (a life table): h_k, the share of images that end with their
k-th vote, is counted over all images that got k votes, done or open. An open image with v votes
needs

    E_v = 1 + (1 - h_{v+1}) E_{v+1},   E_cap = 0

more on average; the second moment follows in the same way.

**Time.** The pace is the mean number of votes in equal bins of time; the spread between the bins
says how sure it is. Pace and need are taken as independent and log-normal.

Sources: E. L. Kaplan, P. Meier, *Nonparametric estimation from incomplete observations*, JASA
53(282), 1958.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from labeler.statistics.intervals import LEVEL, Interval, normal_quantile
from labeler.statistics.vote_arrays import Floats

DRAWS = 400
HALF = 0.5  # pseudo-images that end, and that go on, at each vote (Jeffreys' prior)


def votes_left(
    finished: Mapping[int, int],
    waiting: Mapping[int, int],
    *,
    first: int,
    cap: int,
    level: float = LEVEL,
) -> Interval:
    """How many votes the open images of a campaign still need.

    The hazards are drawn from their posterior Beta(ended + 1/2, went on + 1/2); the interval
    holds the uncertainty of the hazards and the chance of the single images.

    Parameters:
        finished: number of votes -> images that the votes ended.
        waiting: number of votes -> images that are open.
        first: the vote before which no image ends, >= 1.
        cap: the vote with which each image ends at the latest, >= first.

    Raises:
        ValueError: first or cap out of range.
    """
    if not 1 <= first <= cap:
        raise ValueError(f"first is {first}, cap is {cap}; needed is 1 <= first <= cap")
    rng = np.random.default_rng(0)
    mean, square = _moments(_hazards(finished, waiting, first, cap, rng))
    counts = np.zeros(cap + 1)
    for votes, images in waiting.items():
        counts[min(votes, cap - 1)] += images  # beyond the cap, as after a change of the rules: one
    spread = np.sqrt((square - mean**2).clip(min=0) @ counts)
    totals = mean @ counts + spread * rng.standard_normal(len(mean))
    low, high = np.quantile(totals, [(1 - level) / 2, (1 + level) / 2])
    fewest = float(counts.sum())  # each open image takes one vote at least
    estimate = float((mean @ counts).mean())
    return Interval(estimate, max(min(float(low), estimate), fewest), max(float(high), estimate))


def pace(counts: Sequence[int]) -> Interval:
    """Votes per bin: the mean of the bins, and an interval from the spread between them.

    The variance of a bin is taken as no smaller than Poisson's, so that a few equal bins do not
    pretend to certainty. Interval(nan, 0, inf) where there is no vote.
    """
    total = sum(counts)
    if total == 0:
        return Interval(math.nan, 0.0, math.inf)
    mean = total / len(counts)
    variance = float(np.var(counts, ddof=1)) if len(counts) > 1 else 0.0
    relative = math.sqrt(max(variance, mean) / len(counts)) / mean
    factor = math.exp(normal_quantile(LEVEL) * relative)
    return Interval(mean, mean / factor, mean * factor)


def time_left(needed: Interval, per_bin: Interval, bin_s: float) -> Interval | None:
    """Seconds until the votes are there if people go on at this pace; None without a pace."""
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
    """(DRAWS, cap) chance that an image ends with vote 1 ... cap."""
    hazards = np.zeros((DRAWS, cap))
    for vote in range(first, cap):
        ended = finished.get(vote, 0)
        went_on = sum(n for votes, n in finished.items() if votes > vote)
        went_on += sum(n for votes, n in waiting.items() if votes >= vote)
        hazards[:, vote - 1] = rng.beta(ended + HALF, went_on + HALF, DRAWS)
    hazards[:, cap - 1] = 1
    return hazards


def _moments(hazards: Floats) -> tuple[Floats, Floats]:
    """(DRAWS, cap + 1) mean and mean square of the votes that an image with v votes needs."""
    draws, cap = hazards.shape
    mean, square = np.zeros((draws, cap + 1)), np.zeros((draws, cap + 1))
    for votes in reversed(range(cap)):
        goes_on = 1 - hazards[:, votes]
        mean[:, votes] = 1 + goes_on * mean[:, votes + 1]
        square[:, votes] = 1 + goes_on * (2 * mean[:, votes + 1] + square[:, votes + 1])
    return mean, square
