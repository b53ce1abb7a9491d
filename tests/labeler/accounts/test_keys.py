"""The characters by which a person answers: changed, turned off, restored, refused."""

from __future__ import annotations

import html
import json
import re

import pytest

from labeler.accounts.keys import DEFAULT_KEYS
from tests.labeler.conftest import Browser, Visit

OWN = {"key-left": "a", "key-center": "2", "key-right": "", "key-unsure": "K", "key-help": "h"}


@pytest.fixture
def ann(visit: Visit, dataset_id: int) -> Browser:
    return visit("annotator")


def told(browser: Browser) -> dict[str, str]:
    """The keys that the scripts of a page get."""
    found = re.search(r"data-keys='([^']+)'", browser.get("/label").text)
    assert found is not None
    keys: dict[str, str] = json.loads(html.unescape(found[1]))
    return keys


def test_keys_are_changed_for_one_person_and_restored(ann: Browser, visit: Visit) -> None:
    assert told(ann) == DEFAULT_KEYS
    fields = {"choice": "own", "key-undo": "z", **OWN}
    assert ann.submit("/account/keys", fields).status_code == 303
    changed = {"left": "a", "right": "", "unsure": "k", "help": "h"}
    assert told(ann) == {**DEFAULT_KEYS, **changed}
    assert told(visit("annotator")) == DEFAULT_KEYS
    page = ann.get("/label").text
    assert "<kbd>a</kbd>" in page
    assert "<kbd>1</kbd>" not in page
    assert "<kbd>3</kbd>" not in page
    assert ann.submit("/account/keys", {"choice": "default"}).status_code == 303
    assert told(ann) == DEFAULT_KEYS


def test_all_are_turned_off_and_no_page_names_them(visit: Visit, dataset_id: int) -> None:
    boss = visit("supervisor")
    boss.submit("/account/keys", {"choice": "off"})
    assert set(told(boss).values()) == {""}
    decided = {"decision": "left", "note": "", "seen": "0"}
    assert boss.submit("/admin/contested/1", decided).status_code == 303
    pages = ("/label", "/guide", "/grid?label=left&source=model&size=24")
    for address in (*pages, "/admin/contested", "/admin/contested/2"):
        page = boss.get(address)
        assert page.status_code == 200
        assert not re.search(r"<kbd[^>]*>[a-z0-9?]</kbd>", page.text), address
    assert 'id="use_as_gold"' in page.text
    assert 'id="undo"' in page.text


def test_adjudication_names_own_keys(visit: Visit, dataset_id: int) -> None:
    boss = visit("supervisor")
    boss.submit("/account/keys", {"choice": "own", "key-left": "a", "key-skip": "n"})
    page = boss.get("/admin/contested/1").text
    assert "<kbd>a</kbd>" in page
    assert '<kbd class="key">n</kbd>' in page


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"key-left": "ab"}, "is not a key"),
        ({"key-left": "x", "key-undo": "X"}, "The key x is chosen twice"),
    ],
)
def test_what_cannot_work_is_refused(ann: Browser, fields: dict[str, str], said: str) -> None:
    answer = ann.submit("/account/keys", {"choice": "own", **fields})
    assert answer.status_code == 422
    assert said in html.unescape(answer.text)
    assert told(ann) == DEFAULT_KEYS


def test_a_key_that_the_form_does_not_show_gives_way(ann: Browser) -> None:
    """Only supervisors see the key of gold questions, which is `g`."""
    ann.submit("/account/keys", {"choice": "own", "key-unsure": "g"})
    keys = told(ann)
    assert (keys["unsure"], keys["gold"], keys["skip"]) == ("g", "", "s")


def test_it_gives_way_however_the_character_is_typed(ann: Browser) -> None:
    assert ann.submit("/account/keys", {"choice": "own", "key-unsure": " G "}).status_code == 303
    assert (told(ann)["unsure"], told(ann)["gold"]) == ("g", "")
