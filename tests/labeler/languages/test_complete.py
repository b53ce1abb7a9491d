"""Every text of every page comes from the catalogues.

The pages are opened in a made-up language that puts each text into brackets. So words outside of
brackets were written into a template, a view or a service without `_`. What people and the tests
have named is known, and may stand anywhere.
"""

from __future__ import annotations

import gettext
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from werkzeug.routing import Rule

from labeler.accounts import groups, invites
from labeler.accounts.passwords import hash_token
from labeler.audit.log import Actor
from labeler.campaigns.participation import pause_person
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.flags.service import NewFlag, flag_image
from labeler.images.filtering import ImageFilter, Range
from labeler.languages import texts
from labeler.languages.catalogues import FOLDER
from labeler.messages.service import send_message
from labeler.models.accounts import Annotator, PasswordReset
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.image_imports import ImageImport
from labeler.models.images import Dataset
from labeler.models.jobs import Job
from labeler.models.proposals import ModelRun
from labeler.quality.refresh import judge_people
from labeler.subsets.service import freeze_filter, keep_filter
from tests.conftest import MakeAnnotator
from tests.labeler.conftest import Browser, Visit
from tests.labeler.images.labelled_images import LabelledImages, label_images
from tests.labeler.studio.turned import add_result, add_turn

# Names and signs, which are the same in all languages.
NAMES = frozenset(
    [
        "Sidelight",
        "English",
        "Deutsch",
        "Italiano",
        "UTC",
        "GB",
        "MB",
        "kB",
        "min",
    ]
)
# What the fixtures have named: people, data, notes, and methods of model runs. And days.
DATA = re.compile(
    r"\b(qq[\w-]*(\.csv)?|person\d|tests|\d+\. \w+|p-[0-9a-f]{8}|[\w%]+\.(jpg|png|zip|txt|csv)"
    r"|Bald|Young|two lamps|[0-9a-f]{16,})\b|a_b 50%\.jpg|aXb 50x\.jpg"
)
WORD = re.compile(r"[^\W\d_]{2,}")
SHOWN = ("aria-label", "title", "placeholder", "alt", "data-label")
# Commands, and names of files and settings; what base.js writes; a person's own text.
UNREAD = ("script", "style", "code", "kbd", "time", "textarea", "q")
VOID = ("input", "meta", "link", "br", "img", "hr", "circle", "line", "path", "rect", "polyline")
TURNS = 8  # of `add_turns`
TURN = {
    "light": "left",
    "light_filter": True,
    "yaw_deg": -12.5,
    "attributes": ["Bald"],
    "angles_deg": [-20.0, 0.0, 20.0],
    "way": "closed-loop",
    "size": 256,
    "with_proposals": False,
    "min_percent": 90,
    "min_cluster": 20,
    "max_cluster": 300,
    "match_colours": True,
    "similar": True,
    "relight": False,
    "seed": 7,
}
OTHER_TURN = {
    "light_filter": False,
    "attributes": [],
    "angles_deg": [-9.0, 5.5],
    "way": "flow",
    "with_proposals": True,
}
QUERIES = {
    "image_browser.images": ({}, {"label": "left", "yaw_from": "-50", "attribute-Bald": "no"}),
    "flags.new": ({"image": 1},),
    "subsets.new_subset": ({"label": "left", "gold": "no"},),
    "studio_gallery.gallery": ({}, {"of": "me"}, {"before": "1"}),
    "studio_gallery.compare": ({"a": "1", "b": "2"},),
    "studio_new.new_turn": ({}, {"image": "1"}, {"image": "3"}, {"turn": "1"}),
    "verification.show": ({}, {"label": "left", "source": "model", "size": "24"}),
}
WRONG_QUERIES = {
    "image_browser.images": (
        {"label": "qqup", "gold": "qq", "yaw_from": "9", "yaw_to": "2", "attribute-qqhat": "yes"},
        {"nothing": "1", "subset": "77", "identity": "x", "probability_to": "7"},
    ),
    "image_history.image": ({"campaign": "77"},),
    "subsets.new_subset": ({"label": "qqup"},),
    "studio_gallery.compare": ({"a": "1"}, {"a": "1", "b": "3"}, {"a": "1", "b": "77"}),
    "studio_new.new_turn": ({"image": "77"}, {"turn": "77"}),
    "mean_faces.mean_faces": ({"min": "x"}, {"subset": "77"}),
}


class Brackets(gettext.NullTranslations):
    """The made-up language. A text that is in no catalogue gets no brackets."""

    def __init__(self, known: Catalog) -> None:
        super().__init__()
        self._known = known

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧" if self._known.get(message) else message

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        said = msgid1 if n == 1 else msgid2
        return f"⟦{said}⟧" if self._known.get(msgid1) else said

    def pgettext(self, context: str, message: str) -> str:
        return f"⟦{message}⟧" if self._known.get(message, context) else message


class Reader(HTMLParser):
    """Collects what is outside of brackets. A bracket may close in a later element."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._depth = self._unread = 0
        self._texts = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for name in SHOWN:
            self._add(foreign(given.get(name) or "")[0], f"{name}: ")
        self._unread += tag in UNREAD
        self._texts = tag == "script" and (given.get("id") or "").startswith("texts")

    def handle_endtag(self, tag: str) -> None:
        self._unread -= tag in UNREAD
        self._texts = False

    def handle_data(self, data: str) -> None:
        if self._texts:
            values = json.loads(data).values()
            for value in values:
                self._add(foreign(value)[0], "script: ")
        elif not self._unread:
            words, self._depth = foreign(data, self._depth)
            self._add(words)

    def _add(self, words: list[str], place: str = "") -> None:
        if words:
            self.found.append(place + " ".join(words))


def foreign(text: str, depth: int = 0) -> tuple[list[str], int]:
    """The words of a text outside of brackets, and how many brackets are open behind it."""
    outside = []
    for part in re.split("([⟦⟧])", text):
        depth += {"⟦": 1, "⟧": -1}.get(part, 0)
        outside.append(part if depth == 0 and part not in "⟦⟧" else " ")
    left = DATA.sub(" ", "\n".join(outside))
    return [word for word in WORD.findall(left) if word not in NAMES], depth


@pytest.fixture
def labelled(
    db: Database, tmp_path: Path, make_annotator: MakeAnnotator, settings: Settings
) -> LabelledImages:
    return label_images(db, tmp_path / "qqfaces", make_annotator, settings)


@pytest.fixture
def values(db: Database, settings: Settings, labelled: LabelledImages) -> dict[str, Any]:
    """A campaign with all that pages show; returns what the addresses need."""
    with db.write() as session:
        session.get_one(Dataset, labelled.dataset_id).name = "qqset"
        campaign = session.get_one(Campaign, 1)
        campaign.name, campaign.guideline = "qqcampaign", "qqguideline"
        for person in session.scalars(select(Annotator).where(Annotator.username == "boss")):
            person.username = "qqboss"
        _, token = invites.create_invite(session)
        used = PasswordReset(token_hash=hash_token(token), annotator_id=labelled.supervisor)
        used.expires_at = utc_now() + timedelta(hours=1)
        session.add(used)
        group = groups.create_group(session, "qqgroup")
        wanted = ImageFilter(label="left", yaw=Range(-50), attributes={"Young": True})
        subset_id = keep_filter(session, campaign, "qqlive", wanted).id
        freeze_filter(session, campaign, "qqfrozen", ImageFilter(status="agreed", gold=False))
        session.execute(update(ModelRun).values(method="qqmethod"))
        add_runs(session, labelled.dataset_id)
        job = Job(kind="fill_campaign", queue="labels", subject=1, parameters={}, state="failed")
        session.add(job)
        files = [["images.zip", 9]]
        owner = labelled.supervisor
        session.add(ImageImport(owner_id=owner, name="qqmore", path="qq", files=files, size=9))
        session.flush()
        job_id, group_id = job.id, group.id
        add_people_at_work(session, labelled)
    judge_people(db, 1)
    add_turns(db, settings, labelled, hash_token(token))
    return {
        "turn_id": 1,
        "number": 0,
        "result_file": "strip.png",
        "subset_id": subset_id,
        "token": token,
        "image_id": labelled.ids[1],
        "sha_prefix": "0",
        "campaign_id": 1,
        "dataset_id": labelled.dataset_id,
        "group_id": group_id,
        "job_id": job_id,
        "import_id": 1,
        "annotator_id": labelled.supervisor - 1,
        "filename": "site.css",
        "topic": "quality",
    }


def add_people_at_work(session: Session, labelled: LabelledImages) -> None:
    """One person flags an image, writes to the supervisors, and gets an answer and a pause."""
    person, boss = labelled.supervisor - 1, Actor(labelled.supervisor)
    image_id = labelled.ids[1]
    flag_image(session, person, NewFlag(1, image_id, "other", "qqnote"))
    send_message(session, person, "qqmessage", Actor(person))
    send_message(session, person, "qqanswer", boss)
    pause_person(session, 1, person, "qqreason", boss)


@pytest.fixture
def brackets(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The site speaks the made-up language, instead of German, once there is something to show."""
    with (FOLDER / "de.po").open("rb") as file:
        made_up = Brackets(read_po(file, locale="de"))
    monkeypatch.setattr(texts, "load_catalogue", lambda code: made_up)


def add_turns(db: Database, settings: Settings, labelled: LabelledImages, token_hash: str) -> None:
    """Turned heads that differ, of which one is shared, and one in each other state."""
    many = {"name": "qqturn", "source_name": "qq/000001.jpg", "dataset_id": labelled.dataset_id}
    owner = labelled.supervisor
    shared = {"share_hash": token_hash, "shared_at": utc_now(), "campaign_id": 1}
    add_result(db, settings, owner, settings=TURN, **many, **shared)
    add_result(db, settings, owner, settings=OTHER_TURN, **many)
    for state in ("queued", "running", "failed", "cancelled", None):
        add_turn(db, owner, state=state, **many)
    add_turn(db, owner, **many)  # its files are gone


def add_runs(session: Session, dataset_id: int) -> None:
    """Runs in other states, and with measures."""
    measured = {
        "n_training": 30,
        "n_proposed": 14,
        "n_without_face": 2,
        "n_several_faces": 1,
        "directions": [5, 1, 0, 2] * 6,
        "cross_validation": {"accuracy": 0.9, "accuracy_of_commonest_label": 0.4, "ece": 0.1},
    }
    many: dict[str, Any] = {"dataset_id": dataset_id, "method": "qqmethod", "settings": {}}
    for n, published in enumerate((True, True, False)):
        session.add(
            ModelRun(
                **many,
                status="published" if published else "failed",
                metrics=measured | {"n_training": 30 + n} if published else {},
                published_at=utc_now() if published else None,
                problem=None if published else "stopped by qqboss",
            )
        )


def pages(app: Flask, values: dict[str, Any]) -> Iterator[tuple[Rule, str, dict[str, Any]]]:
    """The address of each page, with the queries that show most of it."""
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()):
            continue
        queries = (*QUERIES.get(rule.endpoint, ({},)), *WRONG_QUERIES.get(rule.endpoint, ()))
        for turn_id in range(1, TURNS + 1) if rule.endpoint == "studio_results.show" else (1,):
            known = {**values, "turn_id": turn_id}
            address = rule.build({name: known[name] for name in rule.arguments})
            assert address is not None
            for query in queries:
                yield rule, address[1], query


def words_outside(browser: Browser, address: str, query: dict[str, Any]) -> list[str]:
    """The words on a page that are not of the made-up language."""
    answer = browser.get(address, query_string=query, headers={"Accept-Language": "de"})
    if answer.mimetype != "text/html" or answer.status_code in (301, 302, 303):
        return []
    assert answer.status_code < 500, f"{address}: {answer.text}"
    reader = Reader()
    reader.feed(answer.text)
    return reader.found


@pytest.mark.parametrize("role", ["admin", "supervisor", "annotator", None])
def test_every_text_of_a_page_is_in_the_catalogues(
    app: Flask, visit: Visit, values: dict[str, Any], brackets: None, role: str | None
) -> None:
    browser = visit(role, "qqreader") if role else visit(None)
    found = {
        f"{address} {query}": words
        for _, address, query in pages(app, values)
        if (words := words_outside(browser, address, query))
    }
    assert not found, "\n".join(f"{page}: {words}" for page, words in found.items())


ORDER = {
    "source": "1",
    "light": "auto",
    "filter": "light",
    "angles": "30",
    "way": "auto",
    "size": "0",
    "min_percent": "0",
    "min_cluster": "30",
    "max_cluster": "100",
    "seed": "0",
}
FEW = {**ORDER, "min_cluster": "2", "proposals": "yes", "attributes": ["Bald", "Young"]}
WRONG_ORDER = dict.fromkeys([*ORDER, "own_angles", "yaw"], "qq") | {"name": "qq" * 99}
REFUSED_ORDER = {**ORDER, "source": "", "light": "above", "min_percent": "101", "yaw": "91"}


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("/studio/preview", ORDER),
        ("/studio/preview", FEW),
        ("/studio/preview", {**ORDER, "light": "right", "filter": "any"}),
        ("/studio/preview", {**ORDER, "own_angles": "qq", "angles": "own"}),
        ("/studio/preview", {**ORDER, "source": ""}),
        ("/studio/new", WRONG_ORDER),
        ("/studio/new", {**ORDER, "angles": "own", "own_angles": ",".join(["1:60"] * 3)}),
        ("/studio/new", REFUSED_ORDER),
        ("/studio/new", {**ORDER, "source": "2", "change": "show"}),
        ("/studio/1/delete", {}),
        ("/studio/3/delete", {}),
        ("/studio/1/share/revoke", {}),
        ("/studio/1/rename", {"new_name": ""}),
        ("/studio/1/cancel", {}),
        ("/studio/1/retry", {}),
    ],
)
def test_what_the_studio_answers_to_a_form_is_in_the_catalogues(
    visit: Visit, values: dict[str, Any], brackets: None, address: str, sent: dict[str, Any]
) -> None:
    browser = visit("admin", "qqreader")
    assert browser.submit("/language", {"language": "de", "next": "/"}).status_code == 303
    answer = browser.submit(address, sent)
    assert "⟦" in answer.text
    reader = Reader()
    reader.feed(answer.text[max(0, answer.text.find("<main")) :])
    assert not reader.found
