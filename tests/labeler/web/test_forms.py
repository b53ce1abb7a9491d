"""Forms of all pages: what Enter in a field does."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

from labeler.database.engine import Database
from tests.labeler.acting import make_gold, queue
from tests.labeler.conftest import Browser, Visit, lease

# Enter in a field of these forms would hurt somebody.
GUARDED = ("/admin/gold/promote", "/pause", "/anonymise")
WRITABLE = {"text", "number", "password", "search", "email", "checkbox", "radio"}


@dataclass
class Form:
    """A form of a page: its address, and its fields and submit buttons in their order."""

    action: str
    fields: list[str] = field(default_factory=list)
    buttons: list[dict[str, str | None]] = field(default_factory=list)


class Forms(HTMLParser):
    """All forms of a page that write."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []
        self.inside: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form" and given.get("method") == "post":
            self.inside = Form(given["action"] or "")
            self.found.append(self.inside)
        elif self.inside and tag == "input" and given.get("type", "text") in WRITABLE:
            self.inside.fields.append(given.get("name") or "")
        elif self.inside and tag == "button" and given.get("type", "submit") == "submit":
            self.inside.buttons.append(given)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.inside = None


@pytest.fixture
def boss(visit: Visit, db: Database, dataset_id: int) -> Browser:
    """An admin of a site with a contested image, gold and another person."""
    for answer in ("left", "center", "right"):
        person = visit("annotator")
        for image in lease(person, 1):
            vote = {**image, "answer": answer, "request_id": str(uuid.uuid4())}
            assert person.send("/label/votes", vote).status_code == 201
    make_gold(db, {queue(db)[-1]: "left"})
    return visit("admin")


def test_enter_in_a_field_never_answers_for_somebody(boss: Browser) -> None:
    pages = ("campaigns/new", "campaigns/1", "gold", "people/1", "people/1/anonymise", "invites")
    forms = []
    for page in (*pages, "contested/1", "contested", "images/1"):
        parser = Forms()
        parser.feed(boss.get(f"/admin/{page}").text)
        forms += parser.found
    several = [one for one in forms if one.fields and len(one.buttons) > 1]
    guarded = [
        one for one in forms if one.fields and one.action.partition("?")[0].endswith(GUARDED)
    ]
    assert len(several) >= 5
    assert {one.action.rpartition("/")[2].partition("?")[0] for one in guarded} == {
        "promote",
        "pause",
        "anonymise",
    }
    for form in several:
        first = form.buttons[0]
        stores_nothing = "/campaigns/try" in (first.get("formaction") or "")
        assert "disabled" in first or stores_nothing or first.get("value") == "", form.action
    for form in guarded:
        assert "disabled" in form.buttons[0], form.action


def test_nothing_is_decided_without_an_answer(boss: Browser, db: Database) -> None:
    sent = {"decision": "", "note": "two lamps", "seen": "0", "use_as_gold": "yes"}
    answer = boss.submit(f"/admin/contested/{queue(db)[0]}", sent)
    assert answer.status_code == 422
    assert "Nothing has been decided yet. Choose an answer." in answer.text
    assert 'value="two lamps"' in answer.text
