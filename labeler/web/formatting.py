"""Numbers in words: shares with intervals, durations, counts."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labeler.models.base import utc_now
from labeler.statistics.intervals import Interval

MIN_ELAPSED_S = 5.0  # of a step, before the remaining time is estimated
UNKNOWN = "–"  # shown where nothing is known yet


@dataclass(frozen=True, slots=True)
class Share:
    """An estimate with its limits, and the same as text. `n`: the number of answers behind it."""

    estimate: float
    low: float
    high: float
    text: str
    n: int | None = None

    @property
    def sure_not_zero(self) -> bool:
        """Whether 0 is outside of the limits."""
        return not self.low <= 0 <= self.high


@dataclass(frozen=True, slots=True)
class Statistic:
    """A number as text, and what it counts. `address`: of the images behind it, "" without."""

    word: str
    value: str
    address: str = ""


def format_share(values: Sequence[float] | None, n: int | None = None) -> Share | None:
    """Write [estimate, low, high], each 0 to 1, in percent: `93 % (90 to 95)`. None stays None."""
    if values is None:
        return None
    estimate, low, high = values
    words = f"{format_percent(estimate)} ({_bare(low)} to {_bare(high)})"
    return Share(estimate, low, high, words, n)


def format_number(values: Sequence[float] | None, n: int | None = None) -> Share | None:
    """Write [estimate, low, high] with two decimals, for alpha and kappa. None stays None."""
    if values is None:
        return None
    estimate, low, high = values
    words = f"{format_decimal(estimate)} ({format_decimal(low)} to {format_decimal(high)})"
    return Share(estimate, low, high, words, n)


def format_percent(value: float | None) -> str:
    """Write a share as `93 %`."""
    return UNKNOWN if value is None else f"{_bare(value)} %"


def format_decimal(value: float | None) -> str:
    """Write a number as `0.81`."""
    return UNKNOWN if value is None else f"{value:.2f}".replace("-", "−")


def format_seconds(milliseconds: float | None) -> str:
    """Write milliseconds as `1.4 s`."""
    return UNKNOWN if milliseconds is None else f"{milliseconds / 1000:.1f} s"


def format_duration(hours: float) -> str:
    """Write hours as `40 minutes`, `3 h 20 min` or `4 days`, no more precise than a forecast is."""
    minutes = max(1, round(hours * 60))
    if minutes < 60:
        return f"{minutes} {plural(minutes, 'minute')}"
    if minutes < 24 * 60:
        whole, rest = divmod(round(minutes, -1), 60)
        return f"{whole} h {rest} min" if rest else f"{whole} h"
    days = round(hours / 24)
    return f"{days:,} {plural(days, 'day')}"


def format_progress(told: Mapping[str, Any], now: float) -> str:
    """Write the progress of a job: `proposing, 2,560 of 10,240, about 60 s left`.

    Parameters:
        told: `Job.progress` or `ModelRun.progress`.
        now: seconds since 1970.
    """
    words: str = told.get("step", "starting")
    done, total = told.get("done", 0), told.get("total", 0)
    if not total:
        return words
    words += f", {done:,} of {total:,}"
    spent = now - told["began"]
    if done and spent >= MIN_ELAPSED_S:
        left = max(1, round(spent / done * (total - done)))
        words += f", about {left:,} s left" if left < 90 else f", about {left // 60} min left"
    return words


def format_whole(interval: Interval) -> str:
    """Write a count with its interval: `1,240 (1,180 to 1,320)`."""
    limits = [math.floor(interval.low), math.ceil(interval.high)]
    if limits[0] == limits[1]:
        return f"{limits[0]:,}"
    return f"{round(interval.estimate):,} ({limits[0]:,} to {limits[1]:,})"


def download_name(about: str, kind: str, ending: str, instead: str = "campaign") -> str:
    """Name a file that people download, as `monday-class-labels-2026-11-29.csv`.

    The day is that of UTC. Letters outside of a to z lose their accents or are left out.

    Parameters:
        about: the name of what the file is about.
        instead: stands for a name that has no such letters.
    """
    plain = unicodedata.normalize("NFKD", about).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain) or [instead]
    return f"{'-'.join(words)[:60].strip('-')}-{kind}-{utc_now():%Y-%m-%d}.{ending}"


def format_bytes(size: int) -> str:
    """Write a number of bytes, such as `1.4 GB`."""
    for factor, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= factor:
            return f"{size / factor:,.{0 if size >= 10 * factor else 1}f} {unit}"
    return f"{size} {plural(size, 'byte')}"


def plural(count: int, word: str) -> str:
    """Return the singular of a word for one, else its plural with -s."""
    return word if count == 1 else f"{word}s"


def count_words(count: int, word: str) -> str:
    """Write a count with its word: `1 image`, `1,240 images`."""
    return f"{count:,} {plural(count, word)}"


def _bare(value: float) -> str:
    return f"{100 * value + 0.0:.0f}".replace("-0", "0").replace("-", "−")
