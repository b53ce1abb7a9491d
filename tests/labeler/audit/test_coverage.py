"""Each address that changes something writes to the audit log, or a reason is given here."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from sqlalchemy import func, select

from labeler.accounts.passwords import hash_password
from labeler.database.engine import Database
from labeler.models.accounts import ROLES, Annotator, LoginSession
from labeler.models.audit import AuditEvent
from labeler.models.base import utc_now
from labeler.models.consensus import Decision, Gold
from labeler.models.images import Image
from labeler.models.jobs import Job
from labeler.models.people import ImageFlag, ReturnedAnswer
from labeler.models.voting import Vote
from labeler.proposals.runs import start_run
from tests.labeler.acting import publish_run
from tests.labeler.campaigns.test_page import form
from tests.labeler.conftest import PASSWORD, Browser, Visit, lease
from tests.labeler.people.test_page import invite, reset_path
from tests.labeler.studio.turned import add_turn

NEW_PASSWORD = "another good sentence"
VOTES = "the table of votes keeps who and when for good, and the database refuses to change it"
NO_ENTRY = {
    "voting.cast": VOTES,
    "voting.undo": VOTES,
    "verification.confirm": VOTES,
    "verification.undo": VOTES,
    "qualification.answer": VOTES,
    "voting.choose_campaign": "it changes only where the person labels next",
    "voting.leases": "it assigns images for some minutes",
    "adjudication.decide": "the decision itself keeps who and when, and is never deleted",
    "campaigns.try_campaign": "it stores nothing",
    "privacy.preview": "it stores nothing",
    "studio_new.preview": "it stores nothing",
    "campaigns.fill_campaign": "it adds images that the rules of the campaign already select",
    "appearance.save": "it changes only light or dark pages",
    "languages.save": "it changes only the language of pages",
    "accounts.change_keys": "it changes only by which keys the person answers",
    "flags.create": "the flag itself keeps who and when, and is never deleted",
    "flags.withdraw": "the flag itself keeps who and when, and is never deleted",
    "messages.read_own": "it only tells that somebody has read a message",
    "messages.read": "it only tells that somebody has read a message",
    "image_imports.receive": "it continues an upload, whose beginning is logged",
    "image_imports.finish": "it ends an upload, whose beginning is logged",
    **dict.fromkeys(
        (
            "image_imports.begin",
            "image_imports.upload_form",
            "image_imports.add_from_server",
            "image_imports.retry",
            "image_imports.cancel",
        ),
        "its entry is tested in image_imports/test_uploads.py: it needs files and a failed job",
    ),
    "dashboard.set_first_steps": "it hides a list for one person",
    "images.measure_poses": "it measures images, and changes no label",
    "mean_faces.make_mean_faces": "it draws a figure, and changes no label",
}

YES = {"confirmed": "yes"}
Step = tuple[str, str, Callable[[], int]]


class Site:
    """A site on which each of the writes below can succeed."""

    def __init__(self, visit: Visit, db: Database, dataset_id: int) -> None:
        self.visit, self.db, self.dataset_id = visit, db, dataset_id
        self.boss = visit("admin", "boss")
        with db.read() as session:
            self.images = list(session.scalars(select(Image.id).order_by(Image.id)))
        everything = dict.fromkeys(self.images, (0.6, 0.3, 0.1))
        self.older = publish_run(db, dataset_id, everything, utc_now())
        publish_run(db, dataset_id, everything, utc_now())
        self.voters = [visit(role) for role in ROLES]
        for voter, differing in zip(self.voters, ("left", "center", "right"), strict=True):
            self.vote(voter, "left", "right", "left", differing)

    def vote(self, person: Browser, *answers: str) -> None:
        lease(person, 6)
        for image_id, answer in zip(self.images, answers, strict=False):
            vote = {"image_id": image_id, "answer": answer, "request_id": str(uuid.uuid4())}
            assert person.send("/label/votes", vote).status_code == 201

    def newest(self, table: type) -> int:
        with self.db.read() as session:
            return session.scalars(select(func.max(table.id))).one()  # type: ignore[attr-defined]

    def events(self) -> int:
        with self.db.read() as session:
            return session.scalar(select(func.count()).select_from(AuditEvent)) or 0


@pytest.fixture
def site(visit: Visit, db: Database, dataset_id: int) -> Site:
    return Site(visit, db, dataset_id)


def steps(site: Site) -> Iterator[Step]:
    """Each route that logs: its name, which call it is, and the call, which succeeds."""
    yield from own_account(site)
    person = f"/admin/people/{site.newest(Annotator)}"
    yield from people(site.boss, person)
    yield from labels(site)
    yield from subsets(site)
    yield from turned_heads(site)
    yield from told(site)
    yield from jobs(site)
    yield from campaigns(site, person)
    yield from groups(site)
    yield from deletion(site)


def post(browser: Browser, address: str, **fields: object) -> Callable[[], int]:
    return lambda: browser.submit(address, fields).status_code


def own_account(site: Site) -> Iterator[Step]:
    boss, leaving = site.boss, site.visit("annotator", "leaving")
    with site.db.write() as session:
        person = session.get_one(Annotator, leaving.annotator_id)
        person.password_hash = hash_password(PASSWORD)
    ann, there = site.visit(None), site.visit(None)
    path = invite(boss)
    login = {"username": "ann", "password": PASSWORD}
    for name, browser, address, fields in (
        ("people.create_invite", boss, "/admin/invites", {"role": "annotator", "max_uses": 1}),
        ("accounts.do_join", ann, path, login),
        ("accounts.do_sign_in", there, "/sign-in", login),
    ):
        more = {"days": 7, "note": ""} if browser is boss else {}
        yield name, address, post(browser, address, **fields, **more)
    ann.annotator_id = site.newest(Annotator)
    other = f"/account/sessions/{site.newest(LoginSession)}/revoke"
    yield "accounts.revoke_session", other, post(ann, other)
    yield "accounts.revoke_others", "", post(ann, "/account/sessions/revoke-others")
    change = {"current": PASSWORD, "new": NEW_PASSWORD}
    yield "accounts.change_password", "", post(ann, "/account/password", **change)
    yield "accounts.change_name", "", post(ann, "/account/name", display_name="Ann B.")
    yield "messages.send", "", post(ann, "/messages", text="Why am I paused?")
    make_link = f"/admin/people/{ann.annotator_id}/reset-link"
    yield "person_account.create_reset_link", "", post(boss, make_link)
    back = site.visit(None)
    yield "accounts.do_reset", "", post(back, reset_path(boss, ann), new=PASSWORD)
    back.annotator_id = ann.annotator_id
    yield "accounts.sign_out", "", post(back, "/sign-out")
    yield "accounts.close", "", post(leaving, "/account/close", current=PASSWORD)


def people(boss: Browser, person: str) -> Iterator[Step]:
    yield "person.pause", "", post(boss, f"{person}/pause", reason="Too fast")
    yield "person.resume", "", post(boss, f"{person}/resume")
    yield "messages.send_to", "", post(boss, f"{person}/messages", text="Please read the guide.")
    yield "person_account.set_role", "", post(boss, f"{person}/role", role="supervisor", **YES)
    yield "person_account.deactivate", "", post(boss, f"{person}/deactivate", **YES)
    yield "person_account.reactivate", "", post(boss, f"{person}/reactivate")
    yield "person_account.anonymise", "", post(boss, f"{person}/anonymise", username="ann")
    yield "people.revoke_invite", "", post(boss, "/admin/invites/2/revoke", **YES)
    notice = {"privacy_notice": "Ask Ada Lovelace."}
    yield "privacy.save", "", post(boss, "/admin/privacy", **notice)
    yield "privacy.restore", "", post(boss, "/admin/privacy/default", **YES)


def labels(site: Site) -> Iterator[Step]:
    boss, gold = site.boss, "/admin/gold"
    contested = f"/admin/contested/{site.images[3]}"
    decide = {"decision": "left", "note": "", "seen": 0}
    assert boss.submit(contested, decide).status_code == 303
    undo = f"/admin/decisions/{site.newest(Decision)}/undo"
    yield "adjudication.undo_decision", "", post(boss, undo)
    yield "gold.promote_gold", "", post(boss, f"{gold}/promote", min_votes=3, count=1)
    yield "gold.gold_from_supervisors", "", post(boss, f"{gold}/from-supervisors")
    lines = "filename,label\n000005.jpg,right\n000006.jpg,right"
    yield "gold.import_gold", "", post(boss, f"{gold}/import", lines=lines)


def subsets(site: Site) -> Iterator[Step]:
    boss, address = site.boss, "/admin/subsets"
    kept = {"name": "Monday’s", "kind": "live"}
    yield "subsets.create_subset", "", post(boss, f"{address}?status=selected", **kept)
    lines = {"name": "listed", "lines": "000001.jpg"}
    yield "subsets.import_subset", "", post(boss, f"{address}/import", **lines)
    frozen = {"freeze_name": "all of now"}
    yield "subsets.freeze_subset", "", post(boss, f"{address}/1/freeze", **frozen)
    yield "subsets.rename_subset", "", post(boss, f"{address}/1/rename", new_name="Tuesday’s")
    yield "subsets.delete_subset", "", post(boss, f"{address}/1/delete", **YES)
    yield "subsets.restore_subset", "", post(boss, f"{address}/1/restore")


def turned_heads(site: Site) -> Iterator[Step]:
    boss = site.boss
    owner = boss.annotator_id or 0
    done, failed = (
        add_turn(site.db, owner, state=state, image_id=site.images[0])
        for state in ("done", "failed")
    )
    address = f"/studio/{done}"
    yield "studio_results.rename", "", post(boss, f"{address}/rename", new_name="Secret head")
    yield "studio_shares.share", "", post(boss, f"{address}/share")
    yield "studio_shares.revoke", "", post(boss, f"{address}/share/revoke", **YES)
    yield "studio_results.retry", "", post(boss, f"/studio/{failed}/retry")
    yield "studio_results.cancel", "", post(boss, f"/studio/{failed}/cancel")
    yield "studio_results.delete", "", post(boss, f"{address}/delete", **YES)


def told(site: Site) -> Iterator[Step]:
    """Flags and answers that go back, of a person whose votes are there."""
    boss, person = site.boss, site.voters[0]
    flag = {"campaign_id": 1, "image_id": site.images[0], "reason": "light", "note": "Too dark"}
    assert person.submit("/flags", flag).status_code == 303
    number = site.newest(ImageFlag)
    yield "flags.settle", "", post(boss, f"/admin/flags/{number}/settle")
    yield "flags.reopen", "", post(boss, f"/admin/flags/{number}/reopen")
    theirs = f"/admin/people/{person.annotator_id}"
    with site.db.read() as session:
        theirs_only = Vote.annotator_id == person.annotator_id
        vote = session.scalars(select(func.max(Vote.id)).where(theirs_only)).one()
    yield "returns.send_back", "", post(boss, f"{theirs}/send-back", vote=vote, **YES)
    back = site.newest(ReturnedAnswer)
    yield "returns.take_back", "", post(boss, f"{theirs}/take-back", returned=back)


def jobs(site: Site) -> Iterator[Step]:
    boss = site.boss
    yield "proposals.restore_run", "", post(boss, "/admin/runs/restore", run=site.older)
    yield "proposals.propose", "", post(boss, "/admin/propose")
    job = f"/admin/jobs/{site.newest(Job)}"
    yield "jobs.cancel", "", post(boss, f"{job}/cancel")
    yield "jobs.retry", "", post(boss, f"{job}/retry")
    turn = {"source": "000001.jpg", "light": "left", "yaw": "0", "filter": "light", "angles": "30"}
    turn |= {"way": "auto", "size": "0", "min_percent": "0", "seed": "0", "name": "Ada turned"}
    turn |= {"min_cluster": "20", "max_cluster": "100"}
    yield "studio_new.create_turn", "", post(boss, "/studio/new", **turn)
    start_run(site.db, site.dataset_id, "test", {})
    question = f"/admin/gold/{site.newest(Gold)}"
    yield "gold.revoke_gold", "", post(boss, f"{question}/revoke", **YES)
    yield "gold.restore_gold", "", post(boss, f"{question}/restore")
    yield "proposals.stop_training", "", post(boss, "/admin/runs/stop")


def campaigns(site: Site, person: str) -> Iterator[Step]:
    boss = site.boss
    rules = form(vote_cap="7", name="faces")
    yield "campaigns.save_campaign", "rules", post(boss, "/admin/campaigns/1", **rules, **YES)
    fewer = {"vote_cap": "6", **YES}
    yield "campaigns.restore_rules", "", post(boss, "/admin/campaigns/1/rules", **fewer)
    named = form(vote_cap="7", name="Faces", guideline="Look.")
    yield "campaigns.save_campaign", "name", post(boss, "/admin/campaigns/1", **named, **YES)
    made = form(site.dataset_id, name="made")
    yield "campaigns.create_campaign", "", post(boss, "/admin/campaigns", **made)
    yield "campaigns.clone_campaign", "", post(boss, "/admin/campaigns/1/clone", copy_name="copy")
    yield "campaign_states.activate", "", post(boss, "/admin/campaigns/2/activate", **YES)
    train = form(training="1", name="Faces")
    yield "campaigns.save_campaign", "training", post(boss, "/admin/campaigns/1", **train, **YES)
    yield "campaign_states.deactivate", "", post(boss, "/admin/campaigns/2/deactivate", **YES)
    yield "person.train", "", post(boss, f"{person}/train")
    yield "campaign_states.pause", "", post(boss, "/admin/campaigns/1/pause")
    yield "campaign_states.resume", "", post(boss, "/admin/campaigns/1/resume")
    limits = form(vote_cap="6", training="1", name="Faces", ends="2100-01-01T09:00")
    limits |= {"audience": "chosen", "person": str(boss.annotator_id)}
    yield "campaigns.save_campaign", "limits", post(boss, "/admin/campaigns/1", **limits, **YES)
    yield "campaign_states.archive", "", post(boss, "/admin/campaigns/2/archive", **YES)
    yield "campaign_states.restore", "", post(boss, "/admin/campaigns/2/restore")
    yield "deletion.delete_campaign", "", post(boss, "/admin/campaigns/2/delete", name="made")


def groups(site: Site) -> Iterator[Step]:
    boss, address = site.boss, "/admin/groups"
    yield "groups.create_group", "", post(boss, address, name="Secret society")
    changed = {"name": "Secret society", "person": str(boss.annotator_id)}
    yield "groups.save_group", "", post(boss, f"{address}/1", **changed)
    yield "groups.delete_group", "", post(boss, f"{address}/1/delete", **YES)


def deletion(site: Site) -> Iterator[Step]:
    boss = site.boss
    assert boss.confirm("/admin/campaigns/1/deactivate").status_code == 303
    yield "deletion.delete_dataset", "", post(boss, "/admin/data-sets/1/delete", name="faces")


def test_each_change_is_logged_or_has_a_reason(app: Flask, site: Site, db: Database) -> None:
    """Each is in the log in words, and none of what people typed is. Each leads to a page."""
    seen = set()
    for name, what, call in steps(site):
        before = site.events()
        assert call() == 303, (name, what)  # so that a reload repeats nothing
        assert site.events() > before, (name, what)
        seen.add(name)
    writes = {rule.endpoint for rule in app.url_map.iter_rules() if "POST" in rule.methods}  # type: ignore[operator]
    assert seen | NO_ENTRY.keys() == writes
    assert not seen & NO_ENTRY.keys()
    page = site.boss.get("/admin/audit").text
    for words in ("Person paused", "Gold questions added or changed", "source: unanimous"):
        assert words in page
    with db.read() as session:
        details = str(list(session.scalars(select(AuditEvent.details))))
    typed_by_people = (
        "Why am I",
        "Ann B.",
        "Too fast",
        "Look.",
        "Ask Ada",
        "Monday",
        "Secret",
        "Ada turned",
    )
    for typed in (*typed_by_people, "'Faces'", "'ann'"):
        assert typed not in details


def test_a_repeated_change_is_not_logged_again(site: Site) -> None:
    boss = site.boss
    for address in ("campaigns/1/pause", "campaigns/1/resume", "campaigns/1/activate"):
        boss.submit(f"/admin/{address}")
        before = site.events()
        assert boss.submit(f"/admin/{address}").status_code == 303
        assert site.events() == before, address
