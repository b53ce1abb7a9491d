"""Contested images: their queue, decisions, undo, and two supervisors at once."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import func, select

from labeler.adjudication.service import (
    Case,
    SubmittedDecision,
    count_contested,
    decide,
    last_decision,
    list_decisions,
    load_case,
    next_contested,
    undo_decision,
)
from labeler.audit.log import Actor
from labeler.config import Settings
from labeler.consensus.store import rebuild
from labeler.database.engine import Database
from labeler.errors import Conflict, InvalidInput, NotFound, SidelightError
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Decision, Gold
from labeler.models.images import Image
from labeler.models.voting import Vote
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import after, consensus_row, lease, publish_run, vote

SPLIT = ("left", "center", "right")


@pytest.fixture
def campaign_id(any_db: Database, make_dataset: MakeDataset) -> int:
    """Four images, a majority of three."""
    make_dataset(any_db, 4)
    with any_db.read() as session:
        return session.scalars(select(Campaign.id)).one()


@pytest.fixture
def contested(
    any_db: Database, campaign_id: int, make_annotator: MakeAnnotator, settings: Settings
) -> list[int]:
    """The numbers of three contested images, in the order in which they became so."""
    with any_db.read() as session:
        ids = list(session.scalars(select(Image.id).order_by(Image.id)))
    for number, answers in enumerate(zip(SPLIT, SPLIT, SPLIT, strict=True)):
        person = make_annotator(any_db).id
        lease(any_db, person, 4, settings)
        for step, (image_id, answer) in enumerate(zip(ids, answers, strict=False)):
            vote(any_db, person, image_id, answer, settings, now=after(10 * step + number))
    return ids[:3]


@pytest.fixture
def supervisor(any_db: Database, make_annotator: MakeAnnotator) -> int:
    return make_annotator(any_db, role="supervisor").id


def decided(
    db: Database, campaign_id: int, image_id: int, who: int, submitted: SubmittedDecision
) -> int:
    with db.write() as session:
        return decide(session, campaign_id, image_id, Actor(who), submitted).id


def waiting(db: Database, campaign_id: int, *skipped: int) -> int | None:
    with db.read() as session:
        return next_contested(session, campaign_id, skipped=skipped)


def case_of(db: Database, campaign_id: int, image_id: int) -> Case:
    with db.read() as session:
        return load_case(session, campaign_id, image_id)


def test_the_queue_is_in_order_and_can_be_skipped(
    any_db: Database, campaign_id: int, contested: list[int]
) -> None:
    first, second, third = contested
    assert waiting(any_db, campaign_id) == first
    assert waiting(any_db, campaign_id, first) == second
    assert waiting(any_db, campaign_id, *contested) is None
    with any_db.read() as session:
        assert count_contested(session, campaign_id) == 3
        assert count_contested(session, campaign_id + 1) == 0
        assert next_contested(session, campaign_id, "votes", [first, second]) == third
        with pytest.raises(InvalidInput, match="oldest, votes"):
            next_contested(session, campaign_id, "newest")


def test_most_votes_first(
    any_db: Database, campaign_id: int, contested: list[int], make_annotator: MakeAnnotator
) -> None:
    person = make_annotator(any_db).id
    with any_db.write() as session:
        session.add(
            Vote(
                campaign_id=campaign_id,
                image_id=contested[1],
                annotator_id=person,
                answer="unsure",
                request_id="one-more-vote",
                blind=False,
            )
        )
        session.flush()
        rebuild(session, campaign_id)
        assert next_contested(session, campaign_id, "votes") == contested[1]
        assert next_contested(session, campaign_id, "oldest") == contested[0]


def test_a_decision_settles_the_image_and_leaves_the_votes(
    any_db: Database, campaign_id: int, contested: list[int], supervisor: int
) -> None:
    first = contested[0]
    votes = [(one.vote.id, one.vote.answer) for one in case_of(any_db, campaign_id, first).votes]
    number = decided(
        any_db, campaign_id, first, supervisor, SubmittedDecision("right", " two lamps ")
    )
    row = consensus_row(any_db, first)
    assert (row.status, row.label, row.votes_left) == ("agreed", "right", 1)
    case = case_of(any_db, campaign_id, first)
    assert [(one.vote.id, one.vote.answer) for one in case.votes] == votes
    assert case.decision is not None
    assert (case.decision.id, case.decision.note) == (number, "two lamps")
    assert waiting(any_db, campaign_id) == contested[1]
    with any_db.write() as session:
        assert rebuild(session, campaign_id) == 0


def test_what_cannot_be_told_leaves_the_queue(
    any_db: Database, campaign_id: int, contested: list[int], supervisor: int
) -> None:
    decided(any_db, campaign_id, contested[0], supervisor, SubmittedDecision(None))
    assert consensus_row(any_db, contested[0]).status == "contested"
    assert waiting(any_db, campaign_id) == contested[1]
    with any_db.read() as session:
        assert count_contested(session, campaign_id) == 2


def test_another_decision_is_another_row(
    any_db: Database, campaign_id: int, contested: list[int], supervisor: int
) -> None:
    first = contested[0]
    one = decided(any_db, campaign_id, first, supervisor, SubmittedDecision("left"))
    two = decided(any_db, campaign_id, first, supervisor, SubmittedDecision("center", seen=one))
    assert consensus_row(any_db, first).label == "center"
    with any_db.read() as session:
        past = list_decisions(session, campaign_id, 10)
        assert [(each.decision.id, each.decision.superseded_at is None) for each in past] == [
            (two, True),
            (one, False),
        ]
        assert [each.decision.id for each in list_decisions(session, campaign_id, 10, two)] == [one]
        assert len(list_decisions(session, campaign_id, 1)) == 1


def test_undo_gives_the_image_back(
    any_db: Database, campaign_id: int, contested: list[int], supervisor: int
) -> None:
    first = contested[0]
    number = decided(
        any_db, campaign_id, first, supervisor, SubmittedDecision("left", use_as_gold=True)
    )
    assert consensus_row(any_db, first).label == "left"
    for _ in range(2):
        with any_db.write() as session:
            undo_decision(session, number)
    row = consensus_row(any_db, first)
    assert (row.status, row.label) == ("contested", None)
    assert case_of(any_db, campaign_id, first).gold is None
    with any_db.read() as session:
        assert last_decision(session, campaign_id, supervisor) is None
        assert session.scalar(select(func.count()).select_from(Decision)) == 1
    again = decided(any_db, campaign_id, first, supervisor, SubmittedDecision("right"))
    with any_db.write() as session, pytest.raises(Conflict, match="newer decision"):
        undo_decision(session, number)
    with any_db.write() as session, pytest.raises(NotFound):
        undo_decision(session, again + 99)


def test_gold_goes_with_its_decision_and_no_other(
    any_db: Database, campaign_id: int, contested: list[int], supervisor: int
) -> None:
    first, second, _ = contested
    with any_db.write() as session:
        session.add(Gold(campaign_id=campaign_id, image_id=second, label="left", source="csv"))
    one = decided(any_db, campaign_id, first, supervisor, SubmittedDecision("left", "nose", True))
    assert case_of(any_db, campaign_id, first).gold == "left"
    decided(any_db, campaign_id, first, supervisor, SubmittedDecision("right", seen=one))
    assert case_of(any_db, campaign_id, first).gold is None
    other = decided(any_db, campaign_id, second, supervisor, SubmittedDecision("right"))
    with any_db.write() as session:
        undo_decision(session, other)
    assert case_of(any_db, campaign_id, second).gold == "left"


def test_the_second_supervisor_is_told(
    any_db: Database, campaign_id: int, contested: list[int], make_annotator: MakeAnnotator
) -> None:
    ada, bob = (make_annotator(any_db, role="supervisor") for _ in range(2))
    first = contested[0]
    number = decided(any_db, campaign_id, first, ada.id, SubmittedDecision("left"))
    with pytest.raises(Conflict, match="Somebody has decided left"):
        decided(any_db, campaign_id, first, bob.id, SubmittedDecision("right"))
    assert consensus_row(any_db, first).label == "left"
    with any_db.write() as session:
        undo_decision(session, number)
    with pytest.raises(Conflict, match="undone the earlier decision"):
        decided(any_db, campaign_id, first, bob.id, SubmittedDecision("right", seen=number))


def test_many_supervisors_at_once_make_one_decision(
    any_db: Database, campaign_id: int, contested: list[int], make_annotator: MakeAnnotator
) -> None:
    people = [make_annotator(any_db, role="supervisor").id for _ in range(6)]
    start = threading.Barrier(len(people))
    outcomes: list[str] = []

    def act(who: int) -> None:
        start.wait()
        try:
            decided(any_db, campaign_id, contested[0], who, SubmittedDecision("left", "", True))
            outcomes.append("stored")
        except SidelightError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=act, args=(who,)) for who in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict"] * 5 + ["stored"]
    with any_db.read() as session:
        assert session.scalar(select(func.count()).select_from(Decision)) == 1
        assert session.scalar(select(func.count()).select_from(Gold)) == 1


def test_what_is_no_decision(
    any_db: Database, campaign_id: int, contested: list[int], supervisor: int
) -> None:
    for submitted, message in (
        (SubmittedDecision("unsure"), "is not a decision"),
        (SubmittedDecision("left", "x" * 301), "at most 300"),
        (SubmittedDecision(None, use_as_gold=True), "cannot become a gold"),
    ):
        with pytest.raises(InvalidInput, match=message):
            decided(any_db, campaign_id, contested[0], supervisor, submitted)
    with pytest.raises(NotFound):
        decided(any_db, campaign_id, 999, supervisor, SubmittedDecision("left"))
    with pytest.raises(NotFound):
        decided(any_db, campaign_id + 1, contested[0], supervisor, SubmittedDecision("left"))
    assert case_of(any_db, campaign_id, contested[0]).decision is None


def test_a_case_tells_all(
    any_db: Database, campaign_id: int, contested: list[int], supervisor: int
) -> None:
    first, second, _ = contested
    publish_run(any_db, 1, {first: (0.1, 0.2, 0.7)}, after(0))
    case = case_of(any_db, campaign_id, first)
    assert case.model == pytest.approx((0.1, 0.2, 0.7))
    assert [one.vote.answer for one in case.votes] == list(SPLIT)
    assert len({one.person.id for one in case.votes}) == 3
    assert case.decided_by is None
    assert case_of(any_db, campaign_id, second).model is None
    with pytest.raises(NotFound):
        case_of(any_db, campaign_id, 999)
