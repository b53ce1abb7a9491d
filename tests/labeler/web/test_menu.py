"""The menu of Manage: what each role sees, where it leads, and what is marked."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from labeler.web.manage_menu import GROUPS, PAGES
from tests.labeler.conftest import Browser, Visit

LINK = re.compile(r'<a href="([^"]+)"(?: aria-current="(\w+)")?>([^<]+)</a>')
HEAD = re.compile(r'<nav[^>]*aria-label="([^"]+)">(.*?)</nav>', re.DOTALL)


class Link(NamedTuple):
    address: str
    current: str
    text: str


def rows(browser: Browser, address: str) -> dict[str, list[Link]]:
    """The rows of links of a page by their names."""
    answer = browser.get(address)
    assert answer.status_code == 200, address
    found = HEAD.findall(answer.text.partition("</header>")[0])
    return {name: [Link(*link) for link in LINK.findall(html)] for name, html in found}


def marked(links: list[Link]) -> list[tuple[str, str]]:
    return [(link.text, link.current) for link in links if link.current]


@pytest.mark.usefixtures("dataset_id")
@pytest.mark.parametrize("role", ["supervisor", "admin"])
def test_every_page_is_reached_in_two_steps_and_marked(visit: Visit, role: str) -> None:
    boss = visit(role)
    tabs = rows(boss, "/admin/")["Manage"]
    assert len(tabs) <= 7
    seen = set()
    for tab in tabs:
        here = rows(boss, tab.address)
        pages = here.get(tab.text, [tab])
        assert pages[0].address == tab.address
        for page in pages:
            there = rows(boss, page.address)
            level = "page" if page.address == tab.address else "true"
            assert marked(there["Site"]) == [
                ("Manage", "page" if page.text == "Overview" else "true")
            ]
            assert marked(there["Manage"]) == [(tab.text, level)]
            if tab.text in there:
                assert marked(there[tab.text]) == [(page.text, "page")]
            seen.add(page.text)
    closed = set() if role == "admin" else {"Invites", "Privacy notice", "Audit log"}
    assert seen == {page.text for page in PAGES.values()} - closed


@pytest.mark.usefixtures("dataset_id")
def test_pages_below_mark_the_one_above(visit: Visit) -> None:
    boss = visit("admin")
    below = {
        "/admin/images/1": ("Images", "Images"),
        "/admin/campaigns/1": ("Campaigns", "Campaigns"),
        "/admin/campaigns/new": ("Campaigns", "Campaigns"),
        "/admin/decisions": ("Campaigns", "Contested"),
        f"/admin/people/{boss.annotator_id}/anonymise": ("People", "People"),
    }
    for address, (tab, page) in below.items():
        there = rows(boss, address)
        assert marked(there["Manage"]) == [(tab, "true")], address
        assert marked(there[tab]) == [(page, "true")], address


def test_a_tab_with_one_page_has_its_name_and_no_second_row(visit: Visit) -> None:
    boss = visit("supervisor")
    there = rows(boss, "/admin/jobs")
    assert marked(there["Manage"]) == [("Jobs", "page")]
    assert list(there) == ["Site", "Manage"]
    assert "Activity" not in [link.text for link in there["Manage"]]


def test_the_menu_names_each_page_once() -> None:
    texts = [page.text for group in GROUPS for page in group.pages]
    assert len(texts) == len(set(texts)) == len(PAGES)


def test_outside_of_manage_nothing_of_it_is_marked(visit: Visit) -> None:
    assert marked(rows(visit("admin"), "/guide")["Site"]) == [("Guide", "page")]
    assert "Manage" not in rows(visit("annotator"), "/guide")
