"""Adjudication by keys alone, and the live parts of the form of a campaign."""

from __future__ import annotations

import secrets

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from labeler.campaigns import service as campaigns
from labeler.campaigns.service import CampaignPlan
from labeler.consensus.store import rebuild
from labeler.models.accounts import Annotator
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus, Decision
from labeler.models.voting import Vote
from labeler.rules.campaign_rules import Rules
from labeler.rules.image_selection_spec import ImageSelection
from tests.browser.conftest import SignIn, Site


@pytest.fixture
def contested(site: Site) -> int:
    """A campaign of its own with three contested images."""
    name = f"contested {secrets.token_hex(3)}"
    with site.db.read() as session:
        dataset_id = session.scalars(select(Campaign.dataset_id)).first() or 0
    plan = CampaignPlan(name, Rules(method="majority", required_votes=3), ImageSelection(sample=3))
    made = campaigns.create_campaign(site.db, dataset_id, plan)
    with site.db.write() as session:
        images = session.scalars(select(Consensus.image_id).where(Consensus.campaign_id == made))
        for image_id in images.all():
            for answer in ("left", "center", "right"):
                who = Annotator(
                    username=f"v-{secrets.token_hex(5)}",
                    password_hash="!",
                    pseudonym=f"p-{secrets.token_hex(5)}",
                )
                session.add(who)
                session.flush()
                session.add(
                    Vote(
                        campaign_id=made,
                        image_id=image_id,
                        annotator_id=who.id,
                        answer=answer,
                        request_id=secrets.token_hex(8),
                        blind=True,
                    )
                )
        session.flush()
        rebuild(session, made)
    return made


def press(page: Page, key: str) -> None:
    with page.expect_navigation():
        page.keyboard.press(key)


def decisions(site: Site, campaign_id: int) -> list[tuple[str | None, bool]]:
    with site.db.read() as session:
        rows = session.scalars(
            select(Decision).where(Decision.campaign_id == campaign_id).order_by(Decision.id)
        )
        return [(one.label, one.superseded_at is None) for one in rows]


def test_adjudication_by_keys(site: Site, sign_in: SignIn, contested: int) -> None:
    page = sign_in("supervisor").page
    page.goto(f"/admin/contested?campaign={contested}")
    first = page.locator("#picture-title").text_content()
    press(page, "s")
    expect(page.locator("#picture-title")).not_to_have_text(first)
    press(page, "ArrowLeft")
    press(page, "z")
    press(page, "u")
    press(page, "2")
    assert decisions(site, contested) == [("left", False), (None, True), ("center", True)]
    expect(
        page.get_by_role("heading", name="You have skipped all remaining images.")
    ).to_be_visible()


def test_keys_are_letters_in_the_note(site: Site, sign_in: SignIn, contested: int) -> None:
    page = sign_in("supervisor").page
    page.goto(f"/admin/contested?campaign={contested}")
    page.locator("#note").focus()
    page.keyboard.type("lamps: 1 2 u z s g")
    assert page.locator("#note").input_value() == "lamps: 1 2 u z s g"
    assert decisions(site, contested) == []
    page.keyboard.press("Tab")
    page.keyboard.press("g")
    expect(page.locator("#use_as_gold")).to_be_checked()
    press(page, "3")
    assert decisions(site, contested) == [("right", True)]


def test_the_form_counts_and_previews(site: Site, sign_in: SignIn) -> None:
    page = sign_in("supervisor").page
    page.goto("/admin/campaigns/new")
    page.locator("#sample").fill("12")
    expect(page.locator("#count")).to_have_text("12 images are selected.")
    page.locator("#sample").fill("many")
    expect(page.locator("#count")).to_have_text("Enter a whole number.")
    page.locator("#guideline").fill("# Cheeks\n\n<img src=x onerror=alert(1)> **both**")
    expect(page.locator("#preview strong")).to_have_text("both")
    expect(page.locator("#preview img")).to_have_count(0)
