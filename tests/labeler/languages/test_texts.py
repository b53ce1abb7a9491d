"""Texts, numbers and times in a language."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from labeler.languages.catalogues import load_catalogue
from labeler.languages.current import LANGUAGES, current_language, in_language
from labeler.languages.numbers import write_day, write_minute, write_number
from labeler.languages.texts import gettext, ngettext
from labeler.web.help.texts import TOPICS
from labeler.web.help.topics import spoken

MOMENT = datetime(2026, 3, 5, 8, 7, 9, tzinfo=UTC)


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_text_without_a_translation_is_shown_as_it_is(code: str) -> None:
    with in_language(code):
        assert gettext("qwerty %(a)s, 5 %%", a="<b>") == "qwerty <b>, 5 %"
        assert ngettext("%(num)s qwerty", "%(num)s qwertys", 1) == "1 qwerty"
        assert gettext("") == "", "not the header of the catalogue"
    assert current_language() == "en"


@pytest.mark.parametrize("code", [code for code in LANGUAGES if code != "en"])
def test_each_language_has_a_catalogue(code: str) -> None:
    assert load_catalogue(code).gettext("Language") != "Language"


@pytest.mark.parametrize(
    ("code", "number", "day", "minute"),
    [
        ("en", "−1,240.5", "05 Mar 2026", "05 Mar 2026, 08:07 UTC"),
        ("de", "−1.240,5", "5. März 2026", "5. März 2026, 08:07 UTC"),
        ("it", "−1.240,5", "5 mar 2026", "5 mar 2026, 08:07 UTC"),
    ],
)
def test_numbers_and_times(code: str, number: str, day: str, minute: str) -> None:
    with in_language(code):
        assert write_number(-1240.5, 1) == number
        assert write_day(MOMENT) == day
        assert write_minute(MOMENT) == minute
        assert write_minute(MOMENT, seconds=True) == minute.replace("08:07", "08:07:09")


def test_a_word_of_the_help_agrees_with_what_it_is_about() -> None:
    with in_language("it"):
        words = {
            name: {word for word, _ in spoken(TOPICS[name]).terms}
            for name in ("campaigns", "data-sets")
        }
    assert "Attiva" in words["campaigns"]
    assert "Attivo" in words["data-sets"]
