"""The pages: several campaigns for annotators, states, groups, archive and deletion."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import func, select

from labeler.campaigns import service as campaigns
from labeler.campaigns.audience import Audience, load_audience, set_audience
from labeler.campaigns.service import CampaignPlan
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.jobs import deletion
from labeler.models.accounts import Group, GroupMember
from labeler.models.campaigns import Campaign
from labeler.models.image_imports import ImageImport
from labeler.models.images import Dataset
from labeler.models.voting import Vote
from tests.conftest import MakeDataset
from tests.labeler.acting import work
from tests.labeler.campaigns.test_page import form
from tests.labeler.conftest import Browser, Visit, lease


@pytest.fixture
def second(db: Database, dataset_id: int) -> int:
    made = campaigns.create_campaign(db, dataset_id, CampaignPlan("second"))
    with db.write() as session:
        campaigns.activate_campaign(session, made)
    return made


def only_for(db: Database, campaign_id: int, *people: int) -> None:
    with db.write() as session:
        campaign = campaigns.get_campaign(session, campaign_id)
        set_audience(session, campaign, Audience(True, frozenset(people)))


def reason(browser: Browser) -> str:
    found = re.search(r'"idle": {"code": "(\w+)"', browser.get("/label").text)
    assert found is not None
    return found[1]


def test_with_one_campaign_there_is_nothing_to_choose(visit: Visit, dataset_id: int) -> None:
    page = visit("annotator").get("/label").text
    assert "chooser" not in page


def test_a_person_chooses_among_their_campaigns(visit: Visit, db: Database, second: int) -> None:
    ann = visit("annotator")
    page = ann.get("/label").text
    chooser = page.split('class="chooser"')[1].split("</details>")[0]
    assert chooser.count('name="campaign_id" value=') == 2
    [image] = lease(ann)
    assert image["campaign_id"] == second
    answer = ann.submit("/label/campaign", {"campaign_id": 1, "back": "/me"})
    assert (answer.status_code, answer.location) == (303, "/me")
    assert "You now label in faces." in ann.get("/me").text
    [image] = lease(ann)
    assert image["campaign_id"] == 1
    only_for(db, second, visit("supervisor").annotator_id or 0)
    assert "chooser" not in ann.get("/label").text
    assert ann.submit("/label/campaign", {"campaign_id": second}).status_code == 409
    assert ann.submit("/label/campaign", {"campaign_id": "x"}).status_code == 422


def test_a_person_in_no_campaign_is_told_what_to_do(
    visit: Visit, db: Database, dataset_id: int
) -> None:
    boss, ann = visit("supervisor"), visit("annotator", "lonely")
    only_for(db, 1, boss.annotator_id or 0)
    assert reason(ann) == "not_assigned"
    page = ann.get("/label").text
    assert "You are in no active campaign." in page
    assert "tell them your user name: lonely" in page
    assert lease(ann) == []
    for address in ("/me", "/grid", "/guide", "/label/training"):
        assert ann.get(address).status_code in (200, 302)
    only_for(db, 1, visit("annotator").annotator_id or 0)
    assert "Show the campaigns" in boss.get("/label").text


def test_start_end_and_people_are_set_in_the_form(
    visit: Visit, db: Database, dataset_id: int
) -> None:
    boss, ann = visit("supervisor"), visit("annotator")
    sent = form(name="faces", audience="chosen", zone="Europe/Rome")
    answer = boss.confirm("/admin/campaigns/1", {**sent, "starts": "2099-12-01T09:00"})
    assert answer.status_code == 422
    assert "Choose at least one person or group." in answer.text
    sent |= {"person": str(ann.annotator_id)}
    wrong = {**sent, "starts": "2099-12-01T09:00", "ends": "2099-12-01T09:00"}
    assert "later than the start" in boss.confirm("/admin/campaigns/1", wrong).text
    assert "Enter a date" in boss.confirm("/admin/campaigns/1", {**sent, "ends": "noon"}).text
    answer = boss.confirm("/admin/campaigns/1", {**sent, "starts": "2099-12-01T09:00"})
    assert answer.status_code == 303
    with db.read() as session:
        found = campaigns.get_campaign(session, 1)
        assert f"{found.starts_at:%Y-%m-%d %H:%M}" == "2099-12-01 08:00"
        assert load_audience(session, found).people == {ann.annotator_id}
    page = boss.get("/admin/campaigns/1").text
    assert 'value="2099-12-01T08:00"' in page
    assert "not begun" in boss.get("/admin/campaigns").text
    assert reason(ann) == "not_begun"


def test_activating_and_archiving_ask_and_can_be_undone(
    visit: Visit, db: Database, dataset_id: int
) -> None:
    made = campaigns.create_campaign(db, dataset_id, CampaignPlan("second"))
    boss, address = visit("supervisor"), f"/admin/campaigns/{made}"
    asked = boss.submit(f"{address}/activate").text
    assert "Activate second?" in asked
    assert "6 images, 6 of them to go" in asked
    boss.confirm(f"{address}/activate")
    page = boss.get(address).text
    assert "Undo: deactivate second" in page
    assert "Still active: faces." in boss.submit(f"{address}/deactivate").text
    assert "no longer in the list" in boss.submit(f"{address}/archive").text
    boss.confirm(f"{address}/archive")
    assert "Undo: restore second" in boss.get(address).text
    assert "second" not in boss.get("/admin/campaigns").text.split("<main")[1].split("Archived")[0]
    assert "second" in boss.get("/admin/campaigns?archived=yes").text
    campaigns.create_campaign(db, dataset_id, CampaignPlan("second"))
    boss.submit(f"{address}/restore", {"restored_name": "second"})
    assert "Another campaign has the name" in boss.get(address).text
    boss.submit(f"{address}/restore", {"restored_name": "earlier"})
    with db.read() as session:
        assert campaigns.find_campaign(session, "earlier").id == made


def test_a_campaign_is_deleted_after_its_name_is_typed(
    visit: Visit, db: Database, dataset_id: int, settings: Settings
) -> None:
    boss, ann = visit("admin"), visit("annotator")
    [image] = lease(ann)
    ann.send("/label/votes", {**image, "answer": "left", "request_id": "request-1"})
    address = "/admin/campaigns/1/delete"
    assert "faces is active. Deactivate it first." in boss.get(address).text
    assert boss.submit(address, {"name": "faces"}).status_code == 409
    boss.confirm("/admin/campaigns/1/deactivate")
    page = boss.get(address).text
    assert "Download labels of faces" in page
    assert re.search(r"<dt>votes</dt><dd>1</dd>", page)
    assert boss.submit(address, {"name": "Faces"}).status_code == 422
    assert boss.submit(address, {"name": "faces"}).status_code == 303
    assert boss.submit(address, {"name": "faces"}).status_code == 404, "somebody was faster"
    assert boss.get("/admin/campaigns/1").status_code == 404
    work(settings)
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(Campaign)) == 0
        assert session.scalar(select(func.count()).select_from(Vote)) == 0
    assert visit("supervisor").get(address).status_code == 403


def test_a_data_set_is_deleted_after_its_name_is_typed(
    visit: Visit, db: Database, dataset_id: int, settings: Settings
) -> None:
    boss, address = visit("admin"), f"/admin/data-sets/{dataset_id}/delete"
    assert "Its campaign faces is active" in boss.get(address).text
    assert boss.submit(address, {"name": "faces"}).status_code == 409
    boss.confirm("/admin/campaigns/1/deactivate")
    assert boss.submit(address, {"name": "faces"}).status_code == 303
    assert boss.get(address).status_code == 404
    assert "faces" not in boss.get("/admin/data-sets").text.split("<h1>")[1].split("<h2")[-1]
    work(settings)
    assert "There are no images yet" in boss.get("/admin/data-sets").text


def test_pages_do_not_follow_links_to_what_is_deleted(
    visit: Visit, db: Database, dataset_id: int, make_dataset: MakeDataset
) -> None:
    make_dataset(db, 2, "others")
    with db.write() as session:
        campaigns.deactivate_campaign(session, 1)
        deletion.mark_dataset(session, dataset_id)
    boss = visit("admin")
    assert boss.get(f"/admin/campaigns/new?dataset={dataset_id}").status_code == 404
    assert boss.get("/admin/?campaign=1").status_code == 404
    assert boss.get("/admin/people?campaign=1").status_code == 404
    assert "campaign=1" not in boss.get("/admin/people").text


def test_a_data_set_is_not_deleted_during_its_import(
    visit: Visit, db: Database, dataset_id: int
) -> None:
    boss, address = visit("admin"), f"/admin/data-sets/{dataset_id}/delete"
    with db.write() as session:
        campaigns.deactivate_campaign(session, 1)
        name = session.get_one(Dataset, dataset_id).name
        session.add(ImageImport(owner_id=boss.annotator_id, name=name, path="x", files=[]))
    assert f"The import of {name} has not ended" in boss.get(address).text
    assert boss.submit(address, {"name": name}).status_code == 409


def test_groups_are_made_changed_and_deleted(visit: Visit, db: Database, dataset_id: int) -> None:
    boss, ann = visit("admin"), visit("annotator", "ada")
    made = boss.submit("/admin/groups", {"name": "Monday"})
    assert made.status_code == 303
    assert boss.submit("/admin/groups", {"name": "Monday"}).status_code == 409
    sent = {"name": "Monday", "person": str(ann.annotator_id)}
    assert boss.submit(made.location, sent).status_code == 303
    assert boss.submit(made.location, {**sent, "person": "999"}).status_code == 404
    assert boss.submit(made.location, {**sent, "person": "x"}).status_code == 422
    invite = {"role": "annotator", "max_uses": 1, "days": 1, "note": "", "group": "1"}
    assert boss.submit("/admin/invites", invite).status_code == 303
    assert boss.submit("/admin/invites", {**invite, "group": "9"}).status_code == 404
    assert "1 person is in it" in boss.submit(f"{made.location}/delete").text
    assert boss.confirm(f"{made.location}/delete").status_code == 303
    with db.read() as session:
        assert session.scalars(select(Group)).all() == []
        assert session.scalars(select(GroupMember)).all() == []
