"""Texts that were stored in English with values, shown in another language."""

from __future__ import annotations

import pytest
from labeler.web.status_reasons import write_reason

from labeler.languages.current import in_language


@pytest.mark.parametrize(
    ("stored", "german"),
    [
        ("2 of 3 correct. You have passed the qualification.", "2 von 3 richtig. "),
        ("1 of 3 correct. You need 2. Another round follows.", "Sie brauchen 2."),
        ("Answered left 14 times in a row on different images.", "links"),
        ("Please read the guide again.", "Please read the guide again."),
        ("", ""),
    ],
)
def test_a_reason_is_shown_in_the_language_of_the_reader(stored: str, german: str) -> None:
    assert write_reason(stored) == stored
    with in_language("de"):
        assert german in write_reason(stored)
