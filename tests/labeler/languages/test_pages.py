"""The language of a page: as the person chose, else as the browser asks."""

from __future__ import annotations

import pytest

from labeler.database.engine import Database
from labeler.languages.current import current_language
from labeler.models.accounts import Annotator
from tests.labeler.conftest import Visit

PAGE = "/language"
WORDS = {"en": "Back without a change", "de": "Zurück ohne Änderung", "it": "Torna indietro"}


@pytest.mark.parametrize(
    ("asked", "spoken"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("it", "it"),
        ("fr,it;q=0.5", "it"),
        ("fr-CA", "en"),
        ("", "en"),
        ("; q=x", "en"),
    ],
)
def test_a_browser_is_answered_in_its_language(visit: Visit, asked: str, spoken: str) -> None:
    page = visit(None).client.get(PAGE, headers={"Accept-Language": asked}).text
    assert f'<html lang="{spoken}"' in page
    assert WORDS[spoken] in page
    assert current_language() == "en", "the next request of this thread begins anew"


def test_the_choice_of_a_browser_counts_before_what_it_asks_for(visit: Visit) -> None:
    browser = visit(None)
    assert browser.submit(PAGE, {"language": "it", "next": PAGE}).status_code == 303
    assert '<html lang="it"' in browser.client.get(PAGE, headers={"Accept-Language": "de"}).text


def test_the_choice_of_a_person_counts_in_each_browser(visit: Visit, db: Database) -> None:
    person = visit("annotator", "anna")
    assert person.submit(PAGE, {"language": "de", "next": "/account"}).status_code == 303
    page = person.client.get("/account", headers={"Accept-Language": "it"}).text
    assert '<html lang="de"' in page
    assert "Die Website spricht jetzt Deutsch" in page
    with db.read() as session:
        assert session.get_one(Annotator, person.annotator_id).language == "de"


def test_another_language_is_refused(visit: Visit, db: Database) -> None:
    person = visit("annotator")
    answer = person.submit(PAGE, {"language": "tlh"})
    assert answer.status_code == 422
    assert "allowed are en, de, it" in answer.text
    with db.read() as session:
        assert session.get_one(Annotator, person.annotator_id).language is None
