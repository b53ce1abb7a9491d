"""The list of people: search, pages, and what supervisors see of names."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from labeler.accounts.directory import MAX_SEARCH, PAGE, find_people
from labeler.accounts.groups import create_group, set_members
from labeler.audit.log import Actor
from labeler.campaigns.service import get_campaign
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import InvalidInput
from labeler.images.filtering import ImageFilter
from labeler.models.accounts import Annotator
from labeler.subsets.service import keep_filter
from tests.conftest import MakeAnnotator
from tests.labeler.conftest import Visit

NEXT = re.compile(r'rel="next" href="([^"]+)"')
TICKED = re.compile(r'<label for="person-\d+">([^<]+)</label>')
ROW = re.compile(r'<th scope="row">(?:<a href="[^"]+">)?([^<]+)<')


def names(db: Database, **options: object) -> list[str]:
    with db.read() as session:
        found = find_people(session, **options)  # type: ignore[arg-type]
        return [one.annotator.username for one in found]


def test_people_are_found_by_each_of_their_names(
    any_db: Database, make_annotator: MakeAnnotator
) -> None:
    for name in ("ada", "bob", "cem"):
        make_annotator(any_db, name)
    with any_db.write() as session:
        bob = session.query(Annotator).filter_by(username="bob").one()
        bob.display_name, bob.pseudonym = "Robert 100%", "p-12345678"
    assert names(any_db) == ["ada", "bob", "cem"]
    for search in ("BO", "robert", "100%", "p-1234"):
        assert names(any_db, search=search) == ["bob"], search
    assert names(any_db, search="%") == ["bob"], "no pattern, but a character"
    assert names(any_db, search="zoe") == []
    assert names(any_db, search="robert", by_name=False) == []
    assert names(any_db, search="p-1234", by_name=False) == ["bob"]
    assert names(any_db, after="ada", limit=1) == ["bob"]
    with pytest.raises(InvalidInput, match="61 characters"):
        names(any_db, search="x" * (MAX_SEARCH + 1))


def test_without_names_the_order_is_that_of_pseudonyms(
    any_db: Database, make_annotator: MakeAnnotator
) -> None:
    for name in ("ada", "bob", "cem", "dan"):
        make_annotator(any_db, name)
    with any_db.read() as session:
        found = [one.annotator.pseudonym for one in find_people(session, by_name=False)]
        rest = find_people(session, by_name=False, after=found[1])
    assert found == sorted(found)
    assert [one.annotator.pseudonym for one in rest] == found[2:]


def test_pages_follow_each_other(visit: Visit, db: Database, make_annotator: MakeAnnotator) -> None:
    boss = visit("admin", "zz-boss")
    for number in range(PAGE + 5):
        make_annotator(db, f"person-{number:03}")
    first = boss.get("/admin/people").text
    found = NEXT.search(first)
    assert found is not None
    second = boss.get(found[1].replace("&amp;", "&")).text
    listed = ROW.findall(first) + ROW.findall(second)
    assert len(listed) == len(set(listed)) == PAGE + 6
    assert NEXT.search(second) is None
    assert "Nobody is called “zoe”." in boss.get("/admin/people?search=zoe").text
    assert boss.get("/admin/people", query_string={"search": "x" * 61}).status_code == 422


@pytest.mark.parametrize("shown", [True, False])
def test_names_are_shown_as_the_setting_says(
    settings: Settings, db: Database, visit: Visit, app: object, shown: bool
) -> None:
    """A supervisor sees names or pseudonyms, the same on all pages. Admins always see names."""
    app.extensions["sidelight_settings"] = replace(  # type: ignore[attr-defined]
        settings, names_for_supervisors=shown
    )
    boss, root, ann = visit("supervisor"), visit("admin", "root"), visit("annotator", "lovelace")
    address = f"/admin/people/{ann.annotator_id}"
    with db.write() as session:
        person = session.get_one(Annotator, ann.annotator_id)
        person.display_name, pseudonym = "Ada", person.pseudonym
    for page in ("/admin/people", address, f"{address}/messages"):
        text = boss.get(page).text
        assert ("Ada (lovelace)" in text) == shown, page
        assert shown or ("lovelace" not in text and pseudonym in text), page
        assert "Ada (lovelace)" in root.get(page).text, page
    assert ("Ada (lovelace)" in boss.get("/admin/people?search=lovelace").text) == shown


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.usefixtures("dataset_id")
def test_lists_of_other_pages_show_names_as_the_setting_says(
    settings: Settings, db: Database, visit: Visit, app: object, shown: bool
) -> None:
    """Members of groups, the audience of a campaign, and who has kept a subset."""
    app.extensions["sidelight_settings"] = replace(  # type: ignore[attr-defined]
        settings, names_for_supervisors=shown
    )
    boss, root, ann = visit("supervisor"), visit("admin", "root"), visit("annotator", "lovelace")
    who = ann.annotator_id or 0
    with db.write() as session:
        pseudonym = session.get_one(Annotator, who).pseudonym
        group = create_group(session, "Monday").id
        set_members(session, group, [who])
        campaign = get_campaign(session, 1)
        subset = keep_filter(session, campaign, "all", ImageFilter(), Actor(who)).id
    pages = (f"/admin/groups/{group}", "/admin/campaigns/1", "/admin/campaigns/new")
    for page in (*pages, "/admin/subsets", f"/admin/subsets/{subset}"):
        text = boss.get(page).text
        assert ("lovelace" in text) == shown, page
        assert (pseudonym in text) != shown, page
        assert "lovelace" in root.get(page).text, page


def test_the_order_of_members_tells_nothing_of_hidden_names(
    settings: Settings, db: Database, visit: Visit, app: object, make_annotator: MakeAnnotator
) -> None:
    app.extensions["sidelight_settings"] = replace(  # type: ignore[attr-defined]
        settings, names_for_supervisors=False
    )
    boss = visit("supervisor", "boss")
    for name in ("ada", "bob", "cem", "dan"):
        make_annotator(db, name)
    with db.write() as session:
        group = create_group(session, "Monday").id
        pseudonyms = [one.pseudonym for one in session.query(Annotator)]
    listed = TICKED.findall(boss.get(f"/admin/groups/{group}").text)
    assert listed == sorted(pseudonyms)
