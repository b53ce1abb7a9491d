"""Help for Manage: every page has one, in short plain sentences, without links to other sites."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from labeler.languages.current import in_language
from labeler.web.help.texts import TOPICS
from labeler.web.help.topics import Topic, spoken
from labeler.web.manage_menu import PAGES
from tests.labeler.conftest import Visit

HELP = re.compile(r'<a class="help-link" href="([^"]+)"')
NO_PAGES = (
    "/admin/mean-faces.png",
    "/admin/data-sets/imports/unfinished",  # JSON
    "/admin/data-sets/server",  # unless the settings allow folders
)
MAX_WORDS = 25  # in a sentence
MAX_TEXT = 1500  # characters of a topic


def sentences(topic: Topic) -> list[str]:
    texts = (topic.purpose, *(meaning for _, meaning in topic.terms), *topic.steps)
    return [one for text in texts for one in re.split(r"(?<=[.?!:]) ", text)]


def pages_of_manage(app: Flask) -> list[str]:
    """The addresses of all pages of Manage that need no number."""
    rules = [rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())]
    addresses = [rule.rule for rule in rules if rule.rule.startswith("/admin/")]
    return sorted(one for one in addresses if "<" not in one and "export" not in one)


@pytest.mark.usefixtures("dataset_id")
def test_every_page_of_manage_leads_to_its_help(app: Flask, visit: Visit) -> None:
    boss = visit("admin")
    addresses = pages_of_manage(app)
    assert len(addresses) >= len(PAGES)
    seen = set()
    for address in (
        *addresses,
        "/admin/images/1",
        "/admin/campaigns/1",
        "/admin/people/1/anonymise",
        "/studio",
    ):
        answer = boss.get(address)
        if answer.status_code != 200 or answer.mimetype != "text/html":
            assert address in NO_PAGES, address
            continue
        (link,) = HELP.findall(answer.text)
        assert boss.get(link).status_code == 200, (address, link)
        seen.add(link)
    named = {f"/admin/help/{name}" for name in PAGES}
    assert named <= seen <= named | {"/admin/help"}


def test_the_help_of_a_page_is_about_this_page(visit: Visit) -> None:
    boss = visit("admin")
    for name, page in PAGES.items():
        shown = boss.get(f"/admin/help/{name}").text
        assert f"<h1>Help: {page.text}</h1>" in shown
        assert TOPICS[name].steps[0].split("“")[0] in shown
        assert f">Open {page.text}</a>" in shown
        assert 'class="help-link" href="/admin/help/' + name + '" aria-current="page"' in shown
        assert "http" not in shown.partition("<main")[2]


def test_texts_are_short_and_there_is_one_for_each_page() -> None:
    assert set(TOPICS) == set(PAGES)
    for name, topic in TOPICS.items():
        assert topic.terms, name
        assert topic.steps, name
        long = [one for one in sentences(topic) if len(one.split()) > MAX_WORDS]
        assert long == [], name
        assert sum(map(len, sentences(topic))) < MAX_TEXT, name


def test_supervisors_see_no_help_for_pages_of_admins(visit: Visit) -> None:
    boss = visit("supervisor")
    assert "/admin/help/audit" not in boss.get("/admin/help").text
    assert boss.get("/admin/help/audit").status_code == 404
    assert boss.get("/admin/help/nothing").status_code == 404
    assert visit("annotator").get("/admin/help/quality").status_code == 403


def test_help_keeps_the_campaign(visit: Visit, dataset_id: int) -> None:
    boss = visit("admin")
    made = boss.submit("/admin/campaigns/1/clone", {"copy_name": "second"}).headers["Location"]
    number = made.rpartition("/")[2]
    link = HELP.findall(boss.get(f"/admin/quality?campaign={number}").text)[0]
    assert link == f"/admin/help/quality?campaign={number}"
    assert f'href="/admin/quality?campaign={number}">Open Quality</a>' in boss.get(link).text


@pytest.mark.parametrize("code", ["de", "it"])
def test_the_help_is_in_each_language(code: str) -> None:
    for name, topic in TOPICS.items():
        english = sentences(spoken(topic))
        with in_language(code):
            told = sentences(spoken(topic))
        assert not set(english) & set(told), name
