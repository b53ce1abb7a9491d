"""The words for a job: stored in English, told in the language of the reader."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

import pytest

from labeler.errors import BrokenData
from labeler.image_imports.zip_check import check_images_at
from labeler.jobs import queue
from labeler.jobs.words import tell_problem, tell_state
from labeler.languages.current import in_language
from labeler.languages.stored import keep_text

STATES = ("queued", "running", "done", "failed", "cancelled")
STORED = (
    f"{queue.LOST}. It is tried again.",
    f"{queue.LOST}. This was attempt 3 of 3.",
    "The worker was stopped. It is taken up again.",
    "cancelled by ann",
    "cancelled: the campaign is deleted",
)


@pytest.mark.parametrize("stored", STORED)
def test_a_problem_of_the_program_is_told_in_each_language(stored: str) -> None:
    assert tell_problem(stored) == stored, "English is what is stored"
    told = set()
    for code in ("de", "it"):
        with in_language(code):
            told.add(tell_problem(stored))
    assert len(told | {stored}) == 3


def test_values_of_a_problem_stay() -> None:
    with in_language("de"):
        assert tell_problem(f"{queue.LOST}. This was attempt 2 of 3.").endswith(
            "Das war Versuch 2 von 3."
        )
        assert tell_problem("cancelled by ann 100 %") == "abgebrochen von ann 100 %"


@pytest.mark.parametrize("stored", ["", "KeyError: 100 %", "OSError: no. It is gone"])
def test_an_unknown_problem_stays_as_it_is(stored: str) -> None:
    with in_language("it"):
        assert tell_problem(stored) == stored


def test_an_ending_is_not_translated_after_a_problem_that_is_unknown() -> None:
    stored = "KeyError: 7. This was attempt 3 of 3."
    with in_language("de"):
        assert tell_problem(stored) == stored


def test_an_expected_error_is_told_with_its_values(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "images.zip", "w") as archive:
        for number in range(1240):
            archive.writestr(f"{number}.jpg", b"x")
    with pytest.raises(BrokenData) as caught:
        check_images_at(tmp_path / "images.zip", 1200)
    kept = json.loads(json.dumps({"problem": keep_text(caught.value.message)}))
    assert tell_problem(str(caught.value), kept) == str(caught.value)
    with in_language("de"):
        told = tell_problem(str(caught.value), kept)
    assert "1.240 Bilder" in told
    assert "1.200" in told
    assert "There are" not in told


def test_each_state_has_words() -> None:
    assert [tell_state(state) for state in STATES] == list(STATES)
    with in_language("de"):
        assert tell_state("failed") == "fehlgeschlagen"
