"""Texts that were stored in English with values, shown in another language."""

from __future__ import annotations

import pytest

from labeler.csv_input import read_filenames
from labeler.errors import BrokenData
from labeler.languages.current import in_language
from labeler.languages.stored import translate_stored
from labeler.returns.service import RETURNED
from labeler.web.status_reasons import write_reason
from labeler.web.stored_problems import file_problem, run_problem


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


def test_names_that_are_words_of_the_site_stay_as_they_are() -> None:
    with in_language("de"):
        told = run_problem("stopped by left")
        assert told is not None
        assert "left" in told
        assert "links" not in told
        with pytest.raises(BrokenData, match=r"image.*image"):
            read_filenames("image,image\na.jpg,b.jpg\n")


def test_numbers_get_the_signs_of_the_language() -> None:
    limit = "30000 x 20000 pixels are too many; at most 178,956,970 are read"
    run = (
        "BrokenData: 5 of the 6 labelled images of faces cannot be used, and the others are too "
        "few to train on. The first problem is: a.jpg: the file is empty (0 bytes)"
    )
    with in_language("de"):
        assert "178.956.970" in file_problem(f"a.jpg: {limit}", "a.jpg")
        told = run_problem(run)
        assert told is not None
        assert "a.jpg: " in told
        assert "the file is empty" not in told


def test_the_form_of_a_number_is_the_one_that_was_stored() -> None:
    with in_language("de"):
        for number, german in (("1", "1 Bild"), ("1,240", "1.240 Bilder")):
            stored = RETURNED[number != "1"] % {"num": number}
            told = translate_stored(stored, [RETURNED])
            assert german in told
            assert "Progress" not in told
