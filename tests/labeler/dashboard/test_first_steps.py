"""The checklist of a new site is true to the database, and can be hidden."""

from __future__ import annotations

import re

from sqlalchemy import select

from labeler.accounts import invites
from labeler.audit.log import Actor
from labeler.campaigns.archive import archive_campaign
from labeler.campaigns.deletion import mark_deleted
from labeler.campaigns.service import CampaignPlan, activate_campaign, create_campaign
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.gold.service import NewGold, add_gold
from labeler.images.checking import check_images
from labeler.images.registration import register_dataset
from labeler.models.images import DEMO, Image
from labeler.progress.first_steps import find_first_steps
from labeler.rules.campaign_rules import Rules
from labeler.rules.image_selection_spec import ImageSelection
from tests.conftest import write_images
from tests.labeler.conftest import Browser, Visit
from tests.labeler.image_imports.uploading import begin

STEPS = [
    "Add images",
    "Create a campaign",
    "Add gold questions",
    "Invite people",
    "Activate the campaign",
]


def todo(browser: Browser) -> list[str]:
    """The steps that the overview shows as not done."""
    listed = browser.get("/admin/").text.partition('<ol class="steps">')[2].partition("</ol>")[0]
    items = listed.split("<li")[1:]
    return [
        re.search(r"<strong>(.*?)</strong>", item)[1]  # type: ignore[index]
        for item in items
        if 'class="done"' not in item
    ]


def current(browser: Browser) -> tuple[str, str]:
    """The button of the first step that is not done, and its address."""
    listed = browser.get("/admin/").text.partition('aria-current="step"')[2]
    found = re.search(r'class="button primary" href="([^"]+)">([^<]+)<', listed)
    assert found is not None
    return found[2], found[1]


def test_each_step_is_ticked_by_what_there_is(
    visit: Visit, db: Database, settings: Settings
) -> None:
    admin = visit("admin")
    assert todo(admin) == STEPS
    assert current(admin) == ("Add images", "/admin/data-sets/add")

    import_id = begin(admin, "class", 1000).get_json()["id"]
    assert current(admin) == ("See the import", f"/admin/data-sets/imports/{import_id}")
    assert "The import of class is not finished." in admin.get("/admin/").text

    folder = write_images(settings.home / "faces", 3)
    made = register_dataset(db, folder, activate=False, campaign=False)
    assert todo(admin) == STEPS, "the images are not checked yet"
    check_images(db, made.dataset_id, processes=1)
    assert todo(admin) == STEPS[1:]
    address = f"/admin/campaigns/new?dataset={made.dataset_id}"
    assert current(admin) == ("Create a campaign", address)
    assert admin.get(address).status_code == 200

    plan = CampaignPlan("Monday", Rules(), ImageSelection())
    campaign_id = create_campaign(db, made.dataset_id, plan)
    assert todo(admin) == STEPS[2:]
    with db.write() as session:
        image_id = session.scalars(select(Image.id)).first() or 0
        add_gold(session, campaign_id, [NewGold(image_id, "left")], "supervisor")
    assert todo(admin) == STEPS[3:]
    with db.write() as session:
        invites.create_invite(session, by=Actor(admin.annotator_id))
    assert todo(admin) == STEPS[4:]
    assert current(admin)[1] == f"/admin/campaigns/{campaign_id}"
    with db.write() as session:
        activate_campaign(session, campaign_id)
    assert "First steps" not in admin.get("/admin/").text


def test_archived_and_deleted_campaigns_do_not_count(
    visit: Visit, db: Database, dataset_id: int
) -> None:
    made = create_campaign(db, dataset_id, CampaignPlan("short-lived"))
    with db.write() as session:
        archive_campaign(session, 1)
        mark_deleted(session, made)
        assert find_first_steps(session).campaign_id == 0
    assert "Create a campaign" in todo(visit("admin"))


def test_it_is_hidden_for_one_person_and_shown_again(visit: Visit) -> None:
    admin, other = visit("admin"), visit("supervisor")
    admin.submit("/admin/first-steps", {"hidden": "yes"})
    page = admin.get("/admin/").text
    assert '<ol class="steps">' not in page
    assert 'href="/admin/data-sets/add"' in page, "the next step is still one click away"
    assert '<ol class="steps">' in other.get("/admin/").text
    admin.submit("/admin/first-steps", {"hidden": "no"})
    assert '<ol class="steps">' in admin.get("/admin/").text


def test_supervisors_are_told_what_an_admin_does(visit: Visit) -> None:
    page = visit("supervisor").get("/admin/").text
    assert "An admin does this." in page
    assert "/admin/data-sets/add" not in page


def test_the_demo_counts_only_until_there_are_own_images(
    visit: Visit, db: Database, settings: Settings
) -> None:
    admin = visit("admin")
    demo = register_dataset(db, write_images(settings.home / "demo", 3), DEMO)
    check_images(db, demo.dataset_id, processes=1)
    page = admin.get("/admin/").text
    assert "So far there are the generated faces of the demo" in page
    assert 'href="/admin/data-sets/add">Add your own images<' in page
    assert todo(admin) == ["Add gold questions", "Invite people"]

    folder = write_images(settings.home / "faces", 3)
    own = register_dataset(db, folder, activate=False, campaign=False)
    check_images(db, own.dataset_id, processes=1)
    assert "Add your own images" not in admin.get("/admin/").text
    assert todo(admin) == STEPS[1:]
    campaign_id = create_campaign(db, own.dataset_id, CampaignPlan("Monday"))
    assert current(admin) == ("Add gold questions", f"/admin/gold?campaign={campaign_id}")
    with db.write() as session:
        activate_campaign(session, campaign_id)
    assert todo(admin) == ["Add gold questions", "Invite people"]
