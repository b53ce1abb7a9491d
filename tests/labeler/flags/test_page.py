"""Flags on images: by people, in the list of images, and settled by supervisors."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import func, select

from labeler.accounts.service import anonymise
from labeler.audit.log import Actor
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import Conflict, Forbidden, InvalidInput, TooManyAttempts
from labeler.flags import service as flags
from labeler.flags.service import NewFlag
from labeler.models.people import ImageFlag
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import at_once, ids, lease, queue
from tests.labeler.conftest import Browser, Visit
from tests.labeler.conftest import lease as lease_by_page
from tests.labeler.people.test_person import answer
from tests.labeler.web.test_confirmation import undo


def flag(image_id: int, **fields: Any) -> dict[str, Any]:
    return {"campaign_id": 1, "image_id": image_id, "reason": "light", "note": "", **fields}


def flagged(boss: Browser) -> list[str]:
    text = boss.get("/admin/images?flagged=yes").text
    return re.findall(r'<span class="name">(\w+)\.jpg', text)


def test_from_the_label_page_to_settled(visit: Visit, dataset_id: int) -> None:
    boss, ann = visit("supervisor", "boss"), visit("annotator", "ann")
    (image,) = lease_by_page(ann, 1)
    number = image["image_id"]
    sent = ann.send("/flags", flag(number, reason="damaged", note="<torn>"))
    assert (sent.status_code, sent.get_json()["ok"]) == (200, True)
    assert flagged(boss) == [f"{number:06}"]
    assert len(re.findall('class="name"', boss.get("/admin/images?flagged=no").text)) == 5
    page = boss.get(f"/admin/images/{number}").text
    for words in ("The picture is damaged", "&lt;torn&gt;", ">ann</a>"):
        assert words in page
    assert "The picture is damaged" in boss.get(f"/admin/people/{ann.annotator_id}").text
    assert boss.submit("/admin/flags/1/settle").location == f"/admin/images/{number}?campaign=1"
    undo(boss, "/admin/images")
    assert flagged(boss) == [f"{number:06}"]
    boss.submit("/admin/flags/1/settle")
    assert flagged(boss) == []
    page = boss.get(f"/admin/images/{number}").text
    assert "settled by" in page
    assert ann.submit("/admin/flags/1/reopen").status_code == 403
    assert boss.submit("/admin/flags/9/settle").status_code == 404


def test_without_scripts_and_at_the_own_page(visit: Visit, dataset_id: int) -> None:
    ann = visit("annotator", "ann")
    (number,) = answer(ann, "left")
    own = ann.get("/me").text
    link = re.search(r'href="(/flags/new[^"]+)"', own)
    assert link is not None
    form = ann.get(link[1].replace("&amp;", "&"))
    assert "Flag this image" in form.text
    back = re.search(r'name="back" value="([^"]+)"', form.text)
    assert back is not None
    refused = ann.submit("/flags", flag(number, reason="other", note=" ", back=back[1]))
    assert refused.status_code == 422
    assert "Say in the comment what is wrong" in refused.text
    refused = ann.submit("/flags", flag(number, reason="faces", note="y" * 301, back=back[1]))
    assert "y" * 301 in refused.text, "what was typed stays"
    assert 'value="faces" required checked' in refused.text
    done = ann.submit("/flags", flag(number, reason="other", note="Upside down", back=back[1]))
    assert (done.status_code, done.location) == (303, back[1].replace("&amp;", "&"))
    assert "Upside down" in visit("admin").get(f"/admin/images/{number}").text
    undo(ann, "/me")
    assert "Upside down" not in ann.get("/me").text


def test_only_images_that_one_has_seen(visit: Visit, dataset_id: int, db: Database) -> None:
    ann, bob = visit("annotator"), visit("annotator")
    (number,) = answer(ann, "left")
    unseen = next(one for one in queue(db) if one != number)
    assert bob.submit("/flags", flag(number)).status_code == 404
    assert bob.send("/flags", flag(number)).status_code == 403
    assert ann.send("/flags", flag(unseen)).status_code == 403
    assert bob.get(f"/flags/new?image={number}&of=1").status_code == 404
    assert ann.send("/flags", flag(number, reason="boring")).status_code == 422
    assert ann.send("/flags", {**flag(number), "image_id": "x"}).status_code == 422
    ann.send("/flags", flag(number))
    assert bob.submit("/flags/1/withdraw").status_code == 404


@pytest.fixture
def held(
    any_db: Database, settings: Settings, make_dataset: MakeDataset, make_annotator: MakeAnnotator
) -> NewFlag:
    """The flag of a person, with the number 1, on an image that they hold."""
    make_dataset(any_db)
    ann = make_annotator(any_db, "ann").id
    (image_id,) = ids(lease(any_db, ann, 1, settings))
    assert ann == 1
    return NewFlag(1, image_id, "light", "Too dark")


def test_flagging_again_replaces(any_db: Database, held: NewFlag) -> None:
    with any_db.write() as session:
        first = flags.flag_image(session, 1, held).id
        second = flags.flag_image(session, 1, NewFlag(1, held.image_id, "faces"))
        assert (second.id, second.reason, second.note) == (first, "faces", "")
        assert len(flags.flags_of_person(session, 1, 1, limit=9)) == 1
        flags.settle_flag(session, first, Actor(1))
        third = flags.flag_image(session, 1, held).id
        assert third != first
        with pytest.raises(Conflict, match="withdrawn"):
            flags.reopen_flag(session, first, Actor(1))
        flags.withdraw_flag(session, third, 1)
        assert len(flags.flags_of_person(session, 1, 1, limit=9)) == 0


def test_a_settled_flag_does_not_open_beside_a_newer_one(
    any_db: Database, held: NewFlag, make_annotator: MakeAnnotator
) -> None:
    boss = Actor(make_annotator(any_db, "boss", role="supervisor").id)
    with any_db.write() as session:
        first = flags.flag_image(session, 1, held).id
        flags.settle_flag(session, first, boss)
        flags.flag_image(session, 1, held)
        with pytest.raises(Conflict, match="flagged this image again"):
            flags.reopen_flag(session, first, boss)
        assert len(flags.flags_of_person(session, 1, 1, limit=9)) == 1


def test_flags_at_the_same_moment_are_one(any_db: Database, held: NewFlag) -> None:
    def set_flag(_: int) -> int:
        with any_db.write() as session:
            return flags.flag_image(session, 1, held).id

    assert len(set(map(str, at_once(set_flag, 4)))) == 1
    with any_db.read() as session:
        assert session.scalar(select(func.count()).select_from(ImageFlag)) == 1


def test_limits_and_strangers(
    any_db: Database, held: NewFlag, make_annotator: MakeAnnotator
) -> None:
    bob = make_annotator(any_db, "bob").id
    with any_db.write() as session:
        with pytest.raises(Forbidden):
            flags.flag_image(session, bob, held)
        with pytest.raises(InvalidInput, match="301 characters"):
            flags.flag_image(session, 1, NewFlag(1, held.image_id, "light", "x" * 301))
        for _ in range(flags.PER_HOUR):
            flags.withdraw_flag(session, flags.flag_image(session, 1, held).id, 1)
        with pytest.raises(TooManyAttempts):
            flags.flag_image(session, 1, held)


def test_anonymising_erases_the_comment(
    any_db: Database, held: NewFlag, make_annotator: MakeAnnotator
) -> None:
    boss = make_annotator(any_db, "boss", role="admin").id
    with any_db.write() as session:
        flags.flag_image(session, 1, held)
        anonymise(session, 1, Actor(boss))
        session.expire_all()
        assert [(one.reason, one.note) for one in session.scalars(select(ImageFlag))] == [
            ("light", "")
        ]
