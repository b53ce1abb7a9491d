"""Numbers in words, in the language of the moment: shares with intervals, durations, counts."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labeler.labels import ANSWERS
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, ngettext, translate
from labeler.models.base import utc_now
from labeler.statistics.intervals import Interval

MIN_ELAPSED_S = 5.0  # of a step, before the remaining time is estimated
UNKNOWN = "–"  # shown where nothing is known yet
# The answers, as pages write them. The codes in forms and files stay.
ANSWER_WORDS = dict(
    zip(ANSWERS, (mark("left"), mark("center"), mark("right"), mark("unsure")), strict=True)
)


@dataclass(frozen=True, slots=True)
class Share:
    """An estimate with its limits, and both as text. `n`: the number of answers behind it."""

    estimate: float
    low: float
    high: float
    value: str
    interval: str
    n: int | None = None

    @property
    def text(self) -> str:
        """The estimate and its limits: `93 % (90 to 95)`."""
        return f"{self.value} ({self.interval})"

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
    return Share(estimate, low, high, format_percent(estimate), _span(_bare(low), _bare(high)), n)


def format_number(values: Sequence[float] | None, n: int | None = None) -> Share | None:
    """Write [estimate, low, high] with two decimals, for alpha and kappa. None stays None."""
    if values is None:
        return None
    estimate, low, high = values
    interval = _span(format_decimal(low), format_decimal(high))
    return Share(estimate, low, high, format_decimal(estimate), interval, n)


def format_percent(value: float | None) -> str:
    """Write a share as `93 %`."""
    return UNKNOWN if value is None else f"{_bare(value)} %"


def format_decimal(value: float | None) -> str:
    """Write a number as `0.81`."""
    return UNKNOWN if value is None else write_number(value, 2)


def format_seconds(milliseconds: float | None) -> str:
    """Write milliseconds as `1.4 s`."""
    return UNKNOWN if milliseconds is None else f"{write_number(milliseconds / 1000, 1)} s"


def format_duration(hours: float) -> str:
    """Write hours as `40 minutes`, `3 h 20 min` or `4 days`, no more precise than a forecast is."""
    minutes = max(1, round(hours * 60))
    if minutes < 60:
        return ngettext("%(num)s minute", "%(num)s minutes", minutes)
    if minutes < 24 * 60:
        whole, rest = divmod(round(minutes, -1), 60)
        return f"{whole} h {rest} min" if rest else f"{whole} h"
    days = round(hours / 24)
    return ngettext("%(num)s day", "%(num)s days", days)


def format_progress(told: Mapping[str, Any], now: float) -> str:
    """Write the progress of a job: `proposing, 2,560 of 10,240, about 60 s left`.

    Parameters:
        told: `Job.progress` or `ModelRun.progress`.
        now: seconds since 1970.
    """
    step = translate(told.get("step", mark("starting")))
    done, total = told.get("done", 0), told.get("total", 0)
    if not total:
        return step
    words = _(
        "%(step)s, %(done)s of %(total)s",
        step=step,
        done=write_number(done),
        total=write_number(total),
    )
    spent = now - told["began"]
    if not done or spent < MIN_ELAPSED_S:
        return words
    left = max(1, round(spent / done * (total - done)))
    if left < 90:
        return _("%(progress)s, about %(left)s s left", progress=words, left=left)
    return _("%(progress)s, about %(left)s min left", progress=words, left=write_number(left // 60))


def format_whole(interval: Interval) -> str:
    """Write a count with its interval: `1,240 (1,180 to 1,320)`."""
    limits = [math.floor(interval.low), math.ceil(interval.high)]
    if limits[0] == limits[1]:
        return write_number(limits[0])
    span = _span(*map(write_number, limits))
    return f"{write_number(round(interval.estimate))} ({span})"


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
            return f"{write_number(size / factor, 0 if size >= 10 * factor else 1)} {unit}"
    return ngettext("%(num)s byte", "%(num)s bytes", size)


def answer_word(answer: str) -> str:
    """Write an answer, such as `left`. Others than `ANSWERS` are returned as they are."""
    return translate(ANSWER_WORDS.get(answer, answer))


def _bare(value: float) -> str:
    return write_number(round(100 * value) or 0)


def _span(low: str, high: str) -> str:
    return _("%(low)s to %(high)s", low=low, high=high)
