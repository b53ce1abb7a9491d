"""The labelling page in German and Italian: what its script says, and on a small phone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import SignIn
from tests.browser.label_page import (
    PHONE,
    Diary,
    answer_by_key,
    open_label_page,
    violations,
    wait_until_sent,
)

SMALL: dict[str, Any] = {**PHONE, "viewport": {"width": 390, "height": 844}}
WIDTH = "document.documentElement.scrollWidth"


def test_a_person_labels_in_german(sign_in: SignIn) -> None:
    person = sign_in("annotator", locale="de-DE", **SMALL)
    page, diary = person.page, Diary(person.page)
    mistakes: list[str] = []
    page.on("console", lambda said: mistakes.append(said.text) if said.type == "error" else None)
    open_label_page(page)
    for key in ("ArrowLeft", "ArrowUp", "u"):
        diary.press(key)
    expect(page.locator("#last")).to_have_text("Zuletzt: unsicher")
    expect(page.locator("#count")).to_have_text("3 beantwortet, noch 57")
    expect(page.locator("#announced")).to_have_text(re.compile(r"Antwort: unsicher\. Bild 4\."))
    alternative = "Gesicht, das zu beurteilen ist"
    expect(page.locator("#stage img")).to_have_attribute("alt", alternative)
    diary.undo()
    expect(page.locator("#last")).to_have_text("Zuletzt: Mitte")
    diary.wait_until_sent()
    assert mistakes == [], "such as a text that the page does not give its script"
    page.context.set_offline(True)
    diary.press("ArrowRight")
    expect(page.locator("#connection")).to_have_text("Offline: 1 Stimme hier aufbewahrt")
    diary.press("ArrowLeft")
    expect(page.locator("#connection")).to_have_text("Offline: 2 Stimmen hier aufbewahrt")
    cut_off = "e => e.scrollWidth > e.clientWidth"
    assert not page.locator("#connection").evaluate(cut_off)
    assert not page.locator(".status p:visible").evaluate_all(f"es => es.some({cut_off})")
    page.context.set_offline(False)
    diary.wait_until_sent()
    expect(page.locator("#connection")).to_have_text("")


@pytest.mark.parametrize(("locale", "question"), [("de-DE", "Woher kommt"), ("it-IT", "Da dove")])
def test_the_page_is_accessible_and_fits_a_phone(
    sign_in: SignIn, locale: str, question: str
) -> None:
    person = sign_in("annotator", locale=locale, **SMALL)
    open_label_page(person.page)
    expect(person.page.get_by_role("heading", level=1)).to_contain_text(question)
    assert violations(person) == []
    answer_by_key(person.page, "u")
    wait_until_sent(person.page)
    expect(person.page.locator("#last")).not_to_be_empty()
    assert person.page.evaluate(WIDTH) <= 390
    person.page.locator("#help-link").click()
    expect(person.page.locator("#help")).to_be_visible()
    assert violations(person) == []
