"""What a person does on pages, most of all on the labelling page, and what they wait for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Response, Route, expect

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
IS_GONE = "id => !document.querySelector(`#stage img[src^='/images/${id}/']`)"
# The browser calls observers in the order in which they were made. So those of the page, which
# fit an image to its stage or note which images are on the screen, have been called before.
OBSERVERS_CALLED = """() => new Promise((resolve) => {
  new ResizeObserver((_, resized) => {
    resized.disconnect();
    new IntersectionObserver((_, seen) => { seen.disconnect(); resolve(); }).observe(document.body);
  }).observe(document.body);
})"""


def follow(control: Locator) -> None:
    """Click what leads to another page, and wait until that is loaded with its script."""
    with control.page.expect_navigation():
        control.click()


def follow_key(page: Page, key: str) -> None:
    """Press a key that leads to another page, and wait until that is loaded with its script."""
    with page.expect_navigation():
        page.keyboard.press(key)


@contextmanager
def held(page: Page, address: str) -> Iterator[None]:
    """Requests to an address leave the browser only at the end of the block."""
    waiting: list[Route] = []
    is_held = True

    def hold(route: Route) -> None:
        if is_held:
            waiting.append(route)
        else:
            route.continue_()

    page.route(address, hold)
    yield
    is_held = False
    for route in waiting:
        route.continue_()


def wait_for_observers(page: Page) -> None:
    """The page has noted what is on the screen now, and fitted its image."""
    page.evaluate(OBSERVERS_CALLED)


def wait_for_grid(page: Page) -> None:
    """The grid answers to keys, and has noted which images are on the screen."""
    expect(page.locator("button.tile").first).to_be_focused()
    wait_for_observers(page)


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


@contextmanager
def label_page_opens(page: Page) -> Iterator[None]:
    """After the block the labelling page answers to keys and has pictures in store."""
    with (
        page.expect_response(lambda answer: answer.url.endswith("/label/leases")),
        page.expect_navigation(),
    ):
        yield
    expect(page.locator("#stage img")).to_be_visible()
    page.wait_for_load_state("networkidle")


def open_label_page(page: Page) -> None:
    """Go there and wait until the script answers to keys and has pictures in store."""
    with label_page_opens(page):
        page.goto("/label")


def answer_by_key(page: Page, key: str) -> int:
    """Answer the picture that is shown or comes next; returns which one it was."""
    image = shown_image(page)
    page.keyboard.press(key)
    page.wait_for_function(IS_GONE, arg=image)
    return image


def wait_until_sent(page: Page) -> None:
    """The site has all answers of this browser."""
    page.wait_for_function(EMPTY)


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
        image = answer_by_key(self.page, key)
        self.pressed[image] = KEYS[key]
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
        wait_until_sent(self.page)

    def _note(self, answer: Response) -> None:
        is_own = "json" in answer.headers.get("content-type", "")
        if answer.url.endswith("/label/votes") and answer.ok and is_own:
            self.acknowledged.append(answer.request.post_data_json["request_id"])
