"""Contested images and gold over HTTP."""

from __future__ import annotations

import io
import re
import uuid

import pytest
from sqlalchemy import select

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.gold import service as gold
from labeler.gold.service import NewGold
from labeler.models.consensus import Consensus, Decision, Gold
from labeler.models.images import Image
from tests.labeler.acting import waiting
from tests.labeler.conftest import Browser, Visit, lease

CASES = ("left", "center", "right")


@pytest.fixture
def contested(visit: Visit, dataset_id: int, db: Database) -> list[int]:
    """Two images on which three people differ; the other four are open."""
    with db.read() as session:
        ids = list(session.scalars(select(Image.id).order_by(Image.id)))[:2]
    for answer in CASES:
        ann = visit("annotator")
        lease(ann, 6)
        for image_id in ids:
            vote = {
                "image_id": image_id,
                "answer": answer,
                "request_id": str(uuid.uuid4()),
                "elapsed_ms": 1250,
            }
            assert ann.send("/label/votes", vote).status_code == 201
    return ids


def decide(boss: Browser, image_id: int, decision: str, **fields: str) -> int:
    sent = {"decision": decision, "note": "", "seen": "0", **fields}
    return boss.submit(f"/admin/contested/{image_id}", sent).status_code


def labels(db: Database, image_ids: list[int]) -> list[str | None]:
    with db.read() as session:
        rows = [session.get_one(Consensus, (1, image_id)) for image_id in image_ids]
    return [row.label for row in rows]


def test_the_page_tells_what_is_known(
    visit: Visit, contested: list[int], dataset_id: int, db: Database
) -> None:
    boss = visit("supervisor")
    page = boss.get("/admin/contested").text
    assert "2 images wait for a decision" in page
    for word in ("000001.jpg", "1.2", "Model</th>", "Cannot tell", *CASES):
        assert word in page
    with db.read() as session:
        other = session.scalars(select(Image.filename).where(Image.id == contested[1])).one()
    skipped = re.search(r'id="skip" href="([^"]+)"', page)
    assert skipped is not None
    assert other in boss.get(skipped[1].replace("&amp;", "&")).text


def test_decisions_lead_to_the_next_image(
    visit: Visit, contested: list[int], db: Database, settings: Settings
) -> None:
    boss = visit("supervisor")
    assert decide(boss, contested[0], "right", note="two lamps") == 303
    assert waiting(db) == 0
    assert "1 image waits" in boss.get("/admin/contested").text
    assert decide(boss, contested[1], "cannot tell") == 303
    assert labels(db, contested) == ["right", None]
    page = boss.get("/admin/contested").text
    assert "No image is contested" in page
    undo = re.search(r'action="(/admin/decisions/\d+/undo[^"]*)"', page)
    assert undo is not None
    answer = boss.submit(undo[1].replace("&amp;", "&"))
    assert answer.status_code == 303
    assert f"/admin/contested/{contested[1]}" in answer.location
    listed = boss.get("/admin/decisions").text
    assert "two lamps" in listed
    assert listed.count("no longer valid") == 1


def test_use_as_gold(visit: Visit, contested: list[int], db: Database, settings: Settings) -> None:
    boss = visit("supervisor")
    assert decide(boss, contested[0], "left", note="Nose", use_as_gold="yes") == 303
    with db.read() as session:
        found = session.scalars(select(Gold)).one()
    assert (found.label, found.source, found.explanation) == ("left", "supervisor", "Nose")
    assert waiting(db) == 1
    page = boss.get("/admin/gold").text
    assert "1 gold question<" in page
    assert re.search(r"<dt>gold questions</dt><dd><a [^>]+>1</a></dd>", boss.get("/admin/").text)
    assert "a supervisor" in page


def test_the_second_supervisor_keeps_the_note(
    visit: Visit, contested: list[int], db: Database
) -> None:
    one, two = visit("supervisor"), visit("supervisor")
    assert decide(one, contested[0], "left") == 303
    sent = {"decision": "right", "note": "my <note>", "seen": "0", "use_as_gold": "yes"}
    answer = two.submit(f"/admin/contested/{contested[0]}", sent)
    assert answer.status_code == 409
    assert "has decided left" in answer.text
    assert 'value="my &lt;note&gt;"' in answer.text
    assert re.search(r'name="use_as_gold" value="yes" checked', answer.text)
    with db.read() as session:
        number = session.scalars(select(Decision.id)).one()
    assert decide(two, contested[0], "right", seen=str(number)) == 303
    assert labels(db, contested[:1]) == ["right"]


def test_what_is_wrong_is_told_on_the_page(visit: Visit, contested: list[int]) -> None:
    boss = visit("supervisor")
    assert decide(boss, contested[0], "unsure") == 422
    assert decide(boss, contested[0], "cannot tell", use_as_gold="yes") == 422
    assert decide(boss, contested[0], "left", seen="x") == 422
    assert decide(boss, 999, "left") == 404
    assert boss.get("/admin/contested/999").status_code == 404
    assert boss.get("/admin/contested?campaign=999").status_code == 404
    assert boss.get("/admin/contested?order=newest&skip=x,,1").status_code == 200


def test_gold_from_a_file(visit: Visit, db: Database, dataset_id: int, settings: Settings) -> None:
    boss = visit("supervisor")

    def send(text: str) -> tuple[int, str]:
        file = (io.BytesIO(text.encode()), "gold.csv")
        answer = boss.submit("/admin/gold/import", {"file": file})
        return answer.status_code, answer.text

    status, page = send("filename,label\n000001.jpg,left\nnowhere.jpg,up\n")
    assert (status, "Line 3, column &#39;label&#39;" in page) == (422, True)
    assert waiting(db) == 0
    assert send("filename,label,explanation\n000001.jpg,left,Nose\n000002.jpg,right,\n")[0] == 303
    page = boss.get("/admin/gold").text
    assert "2 gold questions added" in page
    assert "Nose" in page
    revoke = re.findall(r'action="(/admin/gold/\d+/revoke)"', page)
    assert len(revoke) == 2
    assert boss.confirm(revoke[0]).status_code == 303
    assert "1 gold question<" in boss.get("/admin/gold").text
    assert boss.submit("/admin/gold/999/revoke").status_code == 404
    assert waiting(db) == 1, "one refresh is enough for both changes"


def test_gold_from_people(visit: Visit, db: Database, dataset_id: int) -> None:
    boss = visit("supervisor")
    [image] = lease(boss, 1)
    vote = {"image_id": image["image_id"], "answer": "left", "request_id": str(uuid.uuid4())}
    boss.send("/label/votes", vote)
    boss.submit("/admin/gold/from-supervisors")
    page = boss.get("/admin/gold").text
    assert "1 gold question added" in page
    assert labels(db, [image["image_id"]]) == ["left"]
    boss.submit("/admin/gold/promote", {"min_votes": "3", "count": "5"})
    assert "No new gold questions were made" in boss.get("/admin/gold").text
    answer = boss.submit("/admin/gold/promote", {"min_votes": "1", "count": "5"})
    assert (answer.status_code, "at least 2 votes" in answer.text) == (422, True)


def test_gold_that_most_get_wrong_is_marked(visit: Visit, db: Database, dataset_id: int) -> None:
    with db.write() as session:
        ids = session.scalars(select(Image.id).order_by(Image.id)).all()
        gold.add_gold(session, 1, [NewGold(ids[0], "left")], "csv")
    for answer in ("right", "right", "right", "left", "right"):
        ann = visit("annotator")
        with db.write() as session:
            from labeler.models.voting import Vote

            session.add(
                Vote(
                    campaign_id=1,
                    image_id=ids[0],
                    annotator_id=ann.annotator_id or 0,
                    answer=answer,
                    request_id=str(uuid.uuid4()),
                    blind=True,
                )
            )
    page = visit("supervisor").get("/admin/gold").text
    assert "1 of 5" in page
    assert "check" in page


def test_a_refused_decision_still_knows_the_way_back(visit: Visit, contested: list[int]) -> None:
    boss = visit("supervisor")
    origin, address = f"/admin/images/{contested[0]}", f"/admin/contested/{contested[0]}"
    sent = {"decision": "left", "note": "", "seen": "7", "back": origin}
    refused = boss.submit(address, sent)
    assert refused.status_code == 409
    assert f'name="back" value="{origin}"' in refused.text
    away = boss.submit(address, {**sent, "back": "https://example.org/"})
    assert 'name="back"' not in away.text
    assert boss.submit(address, {**sent, "seen": "0"}).location == origin
