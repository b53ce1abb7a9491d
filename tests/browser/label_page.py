"""What a person at the labelling page sees and does, in words the tests share."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Response, expect

from tests.browser.conftest import Person

KEYS = {"ArrowLeft": "left", "ArrowUp": "center", "ArrowRight": "right", "u": "unsure"}
AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
PHONE: dict[str, Any] = {
    "viewport": {"width": 375, "height": 667},
    "is_mobile": True,
    "has_touch": True,
    "device_scale_factor": 2,
}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
# Each size and each scheme is in the quick half; the other two pairs are looked at as well.
VIEWS = [
    pytest.param(DESKTOP, "light", id="desktop-light", marks=pytest.mark.slow),
    pytest.param(PHONE, "dark", id="phone-dark"),
    pytest.param(DESKTOP, "dark", id="desktop-dark", marks=pytest.mark.slow),
    pytest.param(PHONE, "light", id="phone-light", marks=pytest.mark.slow),
]
EMPTY = "() => !Object.keys(localStorage).some(k => k.startsWith('sidelight.queue.'))"


def open_whole(page: Page, address: str) -> None:
    """Open a page and wait for what its script loads; most pages are whole as they come."""
    page.goto(address)
    if address.startswith(("/label", "/grid")):
        page.wait_for_load_state("networkidle")


def shown_image(page: Page) -> int:
    """The number of the picture on the stage."""
    source = page.locator("#stage img").get_attribute("src") or ""
    found = re.search(r"/images/(\d+)/", source)
    assert found is not None, source
    return int(found[1])


def violations(person: Person) -> list[str]:
    """What axe-core finds, one line each; run beside the page's own policy."""
    person.page.wait_for_load_state("load")  # with the stylesheet
    person.page.evaluate(AXE)
    found = person.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{one['id']}: {node['html'][:120]} {node['failureSummary'][:200]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def open_label_page(page: Page) -> None:
    """Go there and wait until the script answers to keys and has pictures in store."""
    with page.expect_response(lambda answer: answer.url.endswith("/label/leases")):
        page.goto("/label")
    expect(page.locator("#stage img")).to_be_visible()
    page.wait_for_load_state("networkidle")


@dataclass
class Diary:
    """What was pressed: the last answer for each picture is what must be stored."""

    page: Page
    pressed: dict[int, str] = field(default_factory=dict)
    acknowledged: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("response", self._note)

    def press(self, key: str) -> int:
        """Answer with a key; returns the picture that was answered."""
        image = shown_image(self.page)
        self.page.keyboard.press(key)
        self.pressed[image] = KEYS[key]
        self.page.wait_for_function(
            "id => !document.querySelector(`#stage img[src^='/images/${id}/']`)", arg=image
        )
        return image

    def undo(self) -> int:
        """Take the last answer back; returns the picture that is shown again."""
        last = list(self.pressed)[-1]
        del self.pressed[last]
        self.page.keyboard.press("z")
        self.page.wait_for_function(
            "id => document.querySelector(`#stage img[src^='/images/${id}/']`)", arg=last
        )
        return last

    def wait_until_sent(self) -> None:
        self.page.wait_for_function(EMPTY, timeout=60_000)

    def _note(self, answer: Response) -> None:
        if answer.url.endswith("/label/votes") and answer.ok:
            self.acknowledged.append(answer.request.post_data_json["request_id"])
