"""A campaign that was stored before some rules existed works everywhere that rules are read."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select, update

from labeler.campaigns.service import edit_campaign
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.models.campaigns import Campaign
from labeler.proposals.schedule import load_schedule
from labeler.quality.refresh import refresh_campaign
from labeler.rules.campaign_rules import Rules
from tests.labeler.acting import make_gold, queue
from tests.labeler.conftest import Visit, lease

# What the first campaigns were stored with, and nothing at all.
OLDER = {
    "first": {
        "method": "majority",
        "required_votes": 3,
        "vote_cap": 7,
        "blind_share": 0.25,
        "use_model": False,
        "gold_rate": 0.0,
        "planted_share": 0.0,
    },
    "none": {},
}
LEFT_OUT = ("static", "accounts.sign_out")


@pytest.fixture(params=list(OLDER))
def older(request: pytest.FixtureRequest, db: Database, dataset_id: int, visit: Visit) -> None:
    """Six images with such rules, one of them gold; two people have answered three each."""
    with db.write() as session:
        session.execute(update(Campaign).values(rules=OLDER[request.param]))
    for number in range(2):
        person = visit("annotator")
        for image in lease(person, 3):
            body = {"image_id": image["image_id"], "answer": "left"}
            request_id = f"request-{number}-{image['image_id']}"
            assert person.send("/label/votes", {**body, "request_id": request_id}).status_code < 300
    make_gold(db, {queue(db)[0]: "left"})


def pages(app: Flask) -> list[str]:
    """The addresses of all pages, those of campaign 1 and person 1 included."""
    adapter = app.url_map.bind("localhost")
    known = {"campaign_id": 1, "annotator_id": 1}
    return [
        adapter.build(rule.endpoint, {name: known[name] for name in rule.arguments})
        for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or ())
        and rule.endpoint not in LEFT_OUT
        and set(rule.arguments) <= set(known)
    ]


def test_every_page_opens(older: None, app: Flask, db: Database, visit: Visit) -> None:
    refresh_campaign(db, 1)
    admin = visit("admin")
    addresses = pages(app)
    for wanted in ("/label", "/grid", "/admin/agreement", "/admin/gold", "/admin/people"):
        assert wanted in addresses
    found = {address: admin.get(address).status_code for address in addresses}
    assert {address: code for address, code in found.items() if code >= 500} == {}
    assert found["/admin/agreement"] == found["/admin/gold"] == found["/admin/people"] == 200


def test_a_refresh_uses_the_defaults(older: None, db: Database, settings: Settings) -> None:
    assert refresh_campaign(db, 1, all_images=True).votes == 6
    with db.read() as session:
        schedule = load_schedule(session, session.get_one(Campaign, 1))
    assert schedule.due_at is not None


def test_saving_the_same_rules_changes_nothing(older: None, db: Database) -> None:
    with db.write() as session:
        campaign = session.scalars(select(Campaign)).one()
        assert edit_campaign(session, 1, rules=campaign.parsed_rules) is False
    with db.read() as session:
        assert Rules.from_dict(session.get_one(Campaign, 1).rules) == campaign.parsed_rules
