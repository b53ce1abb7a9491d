"""What browsers remember: the time zone by which days are counted, and light or dark pages."""

from __future__ import annotations

import re
from datetime import timedelta, timezone

import pytest

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.models.base import utc_now
from labeler.models.voting import Vote
from labeler.web.access import cookie_name
from tests.labeler.conftest import Browser, Visit, lease

HTML = re.compile(r"<html[^>]*>")
SCHEME = re.compile(r'<meta name="color-scheme" content="([^"]+)">')
ODD_ZONES = ("", "Nowhere/City", "Europe", "../../etc/passwd", "/etc/passwd", "a\0b", "x" * 3000)


def tell_zone(browser: Browser, settings: Settings, zone: str) -> None:
    browser.client.set_cookie(cookie_name("sidelight-zone", settings), zone)


def scheme_of(browser: Browser, address: str = "/privacy") -> str:
    """The scheme of a page; its element and its head have to agree."""
    page = browser.get(address).text
    found = SCHEME.search(page)
    html = HTML.search(page)
    assert found is not None
    assert html is not None
    is_chosen = found[1] != "light dark"
    assert (f'data-appearance="{found[1]}"' in html[0]) == is_chosen
    return found[1]


def test_overview_and_own_page_count_days_by_one_zone(
    visit: Visit, db: Database, settings: Settings, dataset_id: int
) -> None:
    """At any time, it is another day in one of the two zones than in the other."""
    boss = visit("supervisor")
    image = lease(boss)[0]["image_id"]
    at = utc_now()
    with db.write() as session:
        session.add(
            Vote(
                campaign_id=1,
                image_id=image,
                annotator_id=boss.annotator_id,
                answer="left",
                created_at=at,
                request_id="request-1",
                blind=False,
            )
        )
    assert "day (UTC)" in boss.get("/admin/?per=day").text
    assert "By day (UTC)" in boss.get("/me").text
    for zone, hours in (("Pacific/Kiritimati", 14), ("Pacific/Pago_Pago", -11)):
        tell_zone(boss, settings, zone)
        day = at.astimezone(timezone(timedelta(hours=hours))).date()
        own = boss.get("/me").text
        assert "(UTC)" not in own
        assert f'<th scope="row">{day:%a} {day.day} {day:%b}</th>' in own, zone
        assert re.search(r"<dt>today</dt><dd>1</dd>", own), zone
        overview = boss.get("/admin/?per=day").text
        assert "day (UTC)" not in overview
        assert f"{day:%d %b %Y}: 1" in overview, zone


@pytest.mark.usefixtures("dataset_id")
def test_an_odd_zone_counts_as_none(visit: Visit, settings: Settings) -> None:
    boss = visit("supervisor")
    for zone in ODD_ZONES:
        tell_zone(boss, settings, zone)
        assert "day (UTC)" in boss.get("/admin/?per=day").text, zone


def test_a_browser_remembers_its_appearance(visit: Visit) -> None:
    guest = visit(None)
    assert scheme_of(guest) == "light dark"
    answer = guest.submit("/appearance", {"appearance": "dark", "next": "/privacy"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/privacy")
    assert [scheme_of(guest, address) for address in ("/privacy", "/sign-in", "/nowhere")] == [
        "dark"
    ] * 3
    assert '<button name="appearance" value="dark" aria-pressed="true">' in (
        guest.get("/appearance").text
    )
    assert scheme_of(visit(None)) == "light dark", "another browser"
    guest.submit("/appearance", {"appearance": "system"})
    assert scheme_of(guest) == "light dark"


def test_the_choice_of_a_person_counts_in_all_browsers_and_before_theirs(
    visit: Visit, db: Database, settings: Settings
) -> None:
    ann = visit("annotator")
    ann.client.set_cookie(cookie_name("sidelight-appearance", settings), "dark")
    assert scheme_of(ann) == "dark", "no own choice yet"
    answer = ann.submit("/appearance", {"appearance": "light", "next": "/account"})
    assert answer.headers["Location"] == "/account"
    assert not any("appearance" in one for one in answer.headers.getlist("Set-Cookie"))
    assert scheme_of(ann) == "light"
    assert scheme_of(ann, "/account") == "light"
    assert scheme_of(visit("annotator")) == "light dark", "another person"
    ann.submit("/appearance", {"appearance": "system"})
    assert scheme_of(ann) == "light dark"


def test_a_wrong_choice_is_refused_and_a_wrong_cookie_ignored(
    visit: Visit, settings: Settings
) -> None:
    for browser in (visit(None), visit("annotator")):
        answer = browser.submit("/appearance", {"appearance": '"><script>'})
        assert answer.status_code == 422
        assert "allowed are system, light, dark" in answer.text
        browser.client.set_cookie(cookie_name("sidelight-appearance", settings), "pink")
        assert scheme_of(browser) == "light dark"


def test_the_way_back_stays_on_this_site(visit: Visit) -> None:
    guest = visit(None)
    for target in ("https://example.org/", "//example.org", "javascript:1"):
        answer = guest.submit("/appearance", {"appearance": "dark", "next": target})
        assert answer.headers["Location"] == "/"
        assert f'href="{target}"' not in guest.get(f"/appearance?next={target}").text
