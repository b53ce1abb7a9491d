"""Numbers in words, in the language of the moment."""

from __future__ import annotations

import pytest

from labeler.languages.current import in_language
from labeler.statistics.intervals import Interval
from labeler.web.formatting import (
    answer_word,
    format_bytes,
    format_decimal,
    format_duration,
    format_progress,
    format_share,
    format_whole,
)

PROGRESS = {"step": "starting", "done": 2560, "total": 10240, "began": 0.0}


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "en",
            (
                "93 % (90 to 95)",
                "−0.81",
                "1.4 GB",
                "40 minutes",
                "1,240 (1,180 to 1,320)",
                "left",
                "starting, 2,560 of 10,240, about 60 s left",
            ),
        ),
        (
            "de",
            (
                "93 % (90 bis 95)",
                "−0,81",
                "1,4 GB",
                "40 Minuten",
                "1.240 (1.180 bis 1.320)",
                "links",
                "beginnt, 2.560 von 10.240, noch etwa 60 s",
            ),
        ),
        (
            "it",
            (
                "93 % (da 90 a 95)",
                "−0,81",
                "1,4 GB",
                "40 minuti",
                "1.240 (da 1.180 a 1.320)",
                "sinistra",
                "avvio, 2.560 di 10.240, ancora circa 60 s",
            ),
        ),
    ],
)
def test_numbers_are_written_in_the_language_of_the_moment(
    language: str, said: tuple[str, ...]
) -> None:
    with in_language(language):
        share = format_share([0.93, 0.9, 0.95])
        assert share is not None
        assert said == (
            share.text,
            format_decimal(-0.81),
            format_bytes(1_400_000_000),
            format_duration(2 / 3),
            format_whole(Interval(1240, 1180, 1320)),
            answer_word("left"),
            format_progress(PROGRESS, 20.0),
        )
