"""A vote is stored once, counts at once, and never disappears."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.exc import IntegrityError

from labeler.campaigns.service import (
    CampaignPlan,
    activate_campaign,
    create_campaign,
    deactivate_campaign,
)
from labeler.config import Settings
from labeler.consensus.priority import STEPS
from labeler.consensus.store import rebuild
from labeler.database.engine import Database
from labeler.errors import Conflict, Forbidden, InvalidInput, NotFound, SidelightError, StaleLease
from labeler.images.checking import check_images
from labeler.images.registration import register_dataset
from labeler.labels import ANSWERS
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.models.voting import Vote
from labeler.voting.answers import list_own_answers
from labeler.voting.service import (
    SubmittedAnswer,
    cast_vote,
    last_vote,
    recent_votes,
    undo_vote,
)
from tests.conftest import CountQueries, MakeAnnotator, MakeDataset, write_images
from tests.labeler.acting import (
    NOON,
    after,
    consensus_row,
    current_votes,
    ids,
    lease,
    publish_run,
    set_rules,
    vote,
)

REQUEST = "0b0f7a52-6a1c-4f6e-9a57-1df0f2a6f001"


@pytest.fixture
def faces(any_db: Database, make_dataset: MakeDataset) -> int:
    return make_dataset(any_db, count=4)


@pytest.fixture
def ada(any_db: Database, faces: int, make_annotator: MakeAnnotator) -> int:
    return make_annotator(any_db, "ada").id


@pytest.fixture
def bob(any_db: Database, faces: int, make_annotator: MakeAnnotator) -> int:
    return make_annotator(any_db, "bob").id


def undo(db: Database, annotator_id: int, vote_id: int, settings: Settings) -> Any:
    with db.write() as session:
        return undo_vote(session, annotator_id, vote_id, settings=settings, now=after(5))


def stored(db: Database, vote_id: int) -> Vote:
    with db.read() as session:
        return session.get_one(Vote, vote_id)


def test_a_vote_is_stored_with_what_was_shown(
    any_db: Database, faces: int, ada: int, settings: Settings
) -> None:
    with any_db.read() as session:
        chances = dict.fromkeys(session.scalars(select(Image.id)), (0.1, 0.2, 0.7))
    run_id = publish_run(any_db, faces, chances, NOON)
    (leased,) = lease(any_db, ada, 1, settings)
    cast = vote(any_db, ada, leased.image_id, "left", settings)
    row = stored(any_db, cast.vote_id)
    assert cast.created
    assert (row.answer, row.blind, row.shown_run_id, row.shown_label) == (
        "left",
        False,
        run_id,
        "right",
    )
    assert (row.mode, row.created_at, row.superseded_at) == ("single", NOON, None)


def test_the_vote_counts_at_once_and_the_lease_is_over(
    any_db: Database, ada: int, settings: Settings
) -> None:
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    vote(any_db, ada, image_id, "center", settings)
    row = consensus_row(any_db, image_id)
    assert (row.votes_center, row.priority, row.status) == (1, STEPS, "open")
    assert image_id not in ids(lease(any_db, ada, 4, settings))


def test_three_votes_agree(
    any_db: Database, faces: int, make_annotator: MakeAnnotator, settings: Settings
) -> None:
    people = [make_annotator(any_db).id for _ in range(3)]
    image_id = next(ids(lease(any_db, person, 4, settings))[0] for person in people)
    for person, answer in zip(people, ("left", "left", "right"), strict=True):
        lease(any_db, person, 4, settings)
        vote(any_db, person, image_id, answer, settings)
    row = consensus_row(any_db, image_id)
    assert (row.status, row.label, row.votes_left, row.votes_right) == ("agreed", "left", 2, 1)
    assert row.probability == pytest.approx(2 / 3)


def test_the_same_request_again_is_answered_with_the_stored_vote(
    any_db: Database, ada: int, settings: Settings
) -> None:
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    first = vote(any_db, ada, image_id, "left", settings, request_id=REQUEST)
    again = vote(any_db, ada, image_id, "left", settings, after(9), REQUEST)
    assert again == dataclasses.replace(first, created=False)
    assert current_votes(any_db) == 1


def test_a_request_that_was_undone_is_still_known(
    any_db: Database, ada: int, settings: Settings
) -> None:
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    first = vote(any_db, ada, image_id, "left", settings, request_id=REQUEST)
    undo(any_db, ada, first.vote_id, settings)
    again = vote(any_db, ada, image_id, "left", settings, request_id=REQUEST)
    assert (again.vote_id, again.created) == (first.vote_id, False)
    assert current_votes(any_db) == 0


def test_a_request_id_cannot_stand_for_two_votes(
    any_db: Database, ada: int, bob: int, settings: Settings
) -> None:
    first, second = ids(lease(any_db, ada, 2, settings))
    lease(any_db, bob, 4, settings)
    vote(any_db, ada, first, "left", settings, request_id=REQUEST)
    for person, image_id, answer in (
        (ada, first, "right"),
        (ada, second, "left"),
        (bob, first, "left"),
    ):
        with pytest.raises(Conflict, match="belongs to another vote"):
            vote(any_db, person, image_id, answer, settings, request_id=REQUEST)
    assert current_votes(any_db) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"answer": "top"}, "'top' is not an answer. Allowed: left, center, right, unsure"),
        ({"answer": ""}, "is not an answer"),
        ({"request_id": "short"}, "8 to 36 letters"),
        ({"request_id": "x" * 37}, "8 to 36 letters"),
        ({"request_id": "not ok; DROP"}, "8 to 36 letters"),
        ({"elapsed_ms": -1}, "0 or more"),
        ({"elapsed_ms": True}, "a whole number"),
    ],
)
def test_what_is_not_allowed_is_named(
    any_db: Database, ada: int, settings: Settings, wrong: dict[str, Any], message: str
) -> None:
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    good = {"image_id": image_id, "answer": "left", "request_id": REQUEST}
    with pytest.raises(InvalidInput, match=message), any_db.write() as session:
        cast_vote(session, ada, SubmittedAnswer(**(good | wrong)), settings=settings)
    assert current_votes(any_db) == 0


def test_a_very_long_time_is_cut_to_a_day(any_db: Database, ada: int, settings: Settings) -> None:
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    with any_db.write() as session:
        submitted = SubmittedAnswer(image_id, "left", REQUEST, elapsed_ms=10**15)
        cast = cast_vote(session, ada, submitted, settings=settings)
    assert stored(any_db, cast.vote_id).elapsed_ms == 86_400_000


def test_an_image_that_cannot_be_labelled_is_not_found(
    any_db: Database, ada: int, settings: Settings, tmp_path: Path
) -> None:
    broken = write_images(tmp_path / "others", 1) / "broken.jpg"
    broken.write_bytes(b"")
    other = register_dataset(any_db, broken.parent, activate=False).dataset_id
    check_images(any_db, other, processes=1)
    with any_db.read() as session:
        elsewhere = session.scalars(select(Image.id).where(Image.dataset_id == other)).all()
    assert len(elsewhere) == 2
    for image_id in (*elsewhere, 99_999):
        with pytest.raises(NotFound, match=f"Image {image_id} is not part"):
            vote(any_db, ada, image_id, "left", settings)


def test_an_image_that_was_never_assigned_is_forbidden(
    any_db: Database, ada: int, bob: int, settings: Settings
) -> None:
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    with pytest.raises(Forbidden, match="is not assigned to you"):
        vote(any_db, bob, image_id, "left", settings)


def test_a_late_vote_is_welcome_as_long_as_the_image_is_open(
    any_db: Database, ada: int, settings: Settings
) -> None:
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    late = after(settings.lease_seconds + 60)
    assert vote(any_db, ada, image_id, "left", settings, late).created


def test_a_late_vote_on_a_finished_image_is_stale(
    any_db: Database, ada: int, bob: int, settings: Settings
) -> None:
    set_rules(any_db, required_votes=1)
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    late = after(settings.lease_seconds + 60)
    lease(any_db, bob, 4, settings, late)
    vote(any_db, bob, image_id, "right", settings, late)
    with pytest.raises(StaleLease, match="other people have answered it"):
        vote(any_db, ada, image_id, "left", settings, late)


def test_a_valid_lease_is_a_promise_even_if_the_image_is_finished(
    any_db: Database, ada: int, bob: int, settings: Settings
) -> None:
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    lease(any_db, bob, 4, settings)
    set_rules(any_db, required_votes=1)
    vote(any_db, bob, image_id, "right", settings)
    assert vote(any_db, ada, image_id, "right", settings).created


def test_changing_ones_mind_supersedes(any_db: Database, ada: int, settings: Settings) -> None:
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    first = vote(any_db, ada, image_id, "left", settings)
    second = vote(any_db, ada, image_id, "right", settings, after(5))
    assert stored(any_db, first.vote_id).superseded_at == after(5)
    assert stored(any_db, second.vote_id).superseded_at is None
    row = consensus_row(any_db, image_id)
    assert (row.votes_left, row.votes_right, row.priority) == (0, 1, STEPS)


def test_undo_takes_the_vote_back_and_leases_the_image_again(
    any_db: Database, ada: int, settings: Settings
) -> None:
    (leased,) = lease(any_db, ada, 1, settings)
    cast = vote(any_db, ada, leased.image_id, "left", settings)
    back = undo(any_db, ada, cast.vote_id, settings)
    assert dataclasses.replace(back, expires_at=leased.expires_at) == leased
    assert ids(lease(any_db, ada, 1, settings, after(6))) == [leased.image_id]
    assert consensus_row(any_db, leased.image_id).priority == 0
    assert stored(any_db, cast.vote_id).superseded_at == after(5)


def test_undo_twice_changes_nothing(any_db: Database, ada: int, settings: Settings) -> None:
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    cast = vote(any_db, ada, image_id, "left", settings)
    assert undo(any_db, ada, cast.vote_id, settings) == undo(any_db, ada, cast.vote_id, settings)
    assert current_votes(any_db) == 0


def test_undo_reopens_a_finished_image(any_db: Database, ada: int, settings: Settings) -> None:
    set_rules(any_db, required_votes=1)
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    cast = vote(any_db, ada, image_id, "left", settings)
    assert consensus_row(any_db, image_id).status == "agreed"
    undo(any_db, ada, cast.vote_id, settings)
    row = consensus_row(any_db, image_id)
    assert (row.status, row.label, row.probability) == ("open", None, None)


def test_what_cannot_be_undone(any_db: Database, ada: int, bob: int, settings: Settings) -> None:
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    first = vote(any_db, ada, image_id, "left", settings)
    vote(any_db, ada, image_id, "right", settings)
    cases: list[tuple[int, int, type[SidelightError], str]] = [
        (bob, first.vote_id, Forbidden, "somebody else's"),
        (ada, 99_999, NotFound, "no vote 99999"),
        (ada, first.vote_id, Conflict, "answered this image again"),
    ]
    for person, vote_id, error, message in cases:
        with pytest.raises(error, match=message):
            undo(any_db, person, vote_id, settings)
    assert current_votes(any_db) == 1


def test_the_newest_votes_that_count(any_db: Database, ada: int, settings: Settings) -> None:
    images = ids(lease(any_db, ada, 3, settings))
    cast = [vote(any_db, ada, image_id, "left", settings) for image_id in images]
    with any_db.read() as session:
        found = last_vote(session, ada)
        assert found is not None
        assert found.id == cast[2].vote_id
    undo(any_db, ada, cast[2].vote_id, settings)
    with any_db.read() as session:
        recent = [one.id for one in recent_votes(session, ada, 5)]
    assert recent == [cast[1].vote_id, cast[0].vote_id]


def test_nobody_has_no_last_vote(any_db: Database, ada: int) -> None:
    with any_db.read() as session:
        assert last_vote(session, ada) is None


@pytest.mark.parametrize(
    "change",
    [
        delete(Vote),
        update(Vote).values(answer="right"),
        update(Vote).values(superseded_at=NOON, answer="right"),
        update(Vote).values(elapsed_ms=1),
    ],
    ids=["delete", "answer", "answer with superseded_at", "elapsed_ms"],
)
def test_the_database_refuses_to_change_a_vote(
    any_db: Database, ada: int, settings: Settings, change: Any
) -> None:
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    vote(any_db, ada, image_id, "left", settings)
    with pytest.raises(IntegrityError, match="append-only"), any_db.write() as session:
        session.execute(change.execution_options(synchronize_session=False))


def test_the_database_lets_a_vote_be_superseded_once(
    any_db: Database, ada: int, settings: Settings
) -> None:
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    vote(any_db, ada, image_id, "left", settings)
    for value, allowed in ((after(1), True), (after(2), False), (None, False)):
        change = update(Vote).values(superseded_at=value)
        if allowed:
            with any_db.write() as session:
                session.execute(change)
        else:
            with pytest.raises(IntegrityError, match="append-only"), any_db.write() as session:
                session.execute(change)


def test_replacing_a_row_does_not_slip_past_the_triggers(
    db: Database, make_dataset: MakeDataset, make_annotator: MakeAnnotator, settings: Settings
) -> None:
    make_dataset(db)
    ada = make_annotator(db).id
    vote(db, ada, ids(lease(db, ada, 1, settings))[0], "left", settings)
    replace = "INSERT OR REPLACE INTO vote SELECT * FROM vote"
    with pytest.raises(IntegrityError, match="append-only"), db.write() as session:
        session.execute(text(replace))


@pytest.mark.postgres
def test_truncating_does_not_slip_past_the_triggers(postgres_db: Database) -> None:
    with pytest.raises(IntegrityError, match="append-only"), postgres_db.write() as session:
        session.execute(text("TRUNCATE vote CASCADE"))


def test_a_vote_takes_few_statements(
    any_db: Database, ada: int, settings: Settings, count_queries: CountQueries
) -> None:
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    with count_queries(any_db) as statements:
        vote(any_db, ada, image_id, "left", settings)
    assert len(statements) <= 6


def majority_by_hand(answers: list[str], required: int) -> tuple[str, str | None, float | None]:
    """Status, label and probability of an image with these answers, as docs/consensus.md says."""
    if len(answers) < required:
        return "open", None, None
    (first, most), *rest = Counter(answers).most_common()
    if first == "unsure" or (rest and rest[0][1] == most):
        return "contested", None, None
    return "agreed", first, most / sum(answer != "unsure" for answer in answers)


def test_the_majority_is_that_of_the_stored_votes_also_when_counted_anew(
    any_db: Database, faces: int, make_annotator: MakeAnnotator, settings: Settings
) -> None:
    set_rules(any_db, required_votes=2)
    answers = ["left", "left", "right", "left", "unsure", "left", "left", "center"]
    for person in (make_annotator(any_db).id for _ in range(3)):
        for image_id in ids(lease(any_db, person, 4, settings)):
            cast = vote(any_db, person, image_id, answers[(person * 3 + image_id) % 8], settings)
            if (person + image_id) % 4 == 0:
                undo(any_db, person, cast.vote_id, settings)
            elif (person + image_id) % 4 == 1:
                vote(any_db, person, image_id, "right", settings)
    with any_db.read() as session:
        votes = session.scalars(select(Vote).where(Vote.superseded_at.is_(None))).all()
        rows = session.scalars(select(Consensus)).all()
        assert session.scalar(select(func.count()).select_from(Vote)) >= 8
    assert {row.status for row in rows} >= {"agreed", "contested"}
    for row in rows:
        answers = [one.answer for one in votes if one.image_id == row.image_id]
        expected = majority_by_hand(answers, 2)
        assert (row.status, row.label, row.probability) == expected, answers
        assert [answers.count(word) for word in ANSWERS] == [
            row.votes_left,
            row.votes_center,
            row.votes_right,
            row.votes_unsure,
        ]
    with any_db.write() as session:
        assert rebuild(session, faces) == 0


def activate_another(db: Database, dataset_id: int) -> int:
    """Activate a new campaign with the same images in place of the first; returns its id."""
    made = create_campaign(db, dataset_id, CampaignPlan("another"))
    with db.write() as session:
        activate_campaign(session, made)
        deactivate_campaign(session, 1)
    return made


@pytest.mark.parametrize("named", [True, False], ids=["campaign named", "campaign not named"])
def test_an_answer_in_hand_is_taken_after_another_campaign_became_active(
    any_db: Database, faces: int, ada: int, bob: int, settings: Settings, named: bool
) -> None:
    held = lease(any_db, ada, 2, settings)
    other = activate_another(any_db, faces)
    more = 1 if named else 0  # they may be the same images, which only the name tells apart
    for number, one in enumerate(held):
        campaign_id = one.campaign_id if named else None
        submitted = SubmittedAnswer(
            one.image_id, "left", f"request-{number}", next_count=more, campaign_id=campaign_id
        )
        with any_db.write() as session:
            cast = cast_vote(session, ada, submitted, settings=settings, now=after(1))
        assert (cast.created, cast.campaign_id) == (True, 1)
        assert [each.campaign_id for each in cast.next_images] == [other] * more
        with any_db.write() as session:  # sent again, because the response was lost
            again = cast_vote(session, ada, submitted, settings=settings, now=after(2))
        assert (again.created, again.vote_id) == (False, cast.vote_id)
    assert current_votes(any_db) == 2
    with any_db.read() as session:
        assert session.get_one(Consensus, (1, held[0].image_id)).votes_left == 1
        assert session.get_one(Consensus, (other, held[0].image_id)).votes_left == 0
    foreign = SubmittedAnswer(held[0].image_id, "left", "request-9", campaign_id=1)
    with pytest.raises(Forbidden, match="not assigned to you"), any_db.write() as session:
        cast_vote(session, bob, foreign, settings=settings, now=after(3))


def test_the_same_image_of_two_campaigns_keeps_the_two_answers_apart(
    any_db: Database, faces: int, ada: int, settings: Settings
) -> None:
    """Mirrored in one campaign and not in the other: the wrong campaign would turn the label."""
    set_rules(any_db, mirror_views=True)
    earlier = {one.image_id: one for one in lease(any_db, ada, 4, settings)}
    other = activate_another(any_db, faces)
    later = {one.image_id: one for one in lease(any_db, ada, 4, settings, after(1))}
    image_id = next(each for each in earlier if earlier[each].presentation.mirrored)
    assert not later[image_id].presentation.mirrored
    for campaign_id, expected in ((1, "right"), (other, "left")):
        submitted = SubmittedAnswer(
            image_id, "left", f"request-{campaign_id}", campaign_id=campaign_id
        )
        with any_db.write() as session:
            cast = cast_vote(session, ada, submitted, settings=settings, now=after(2))
        assert cast.campaign_id == campaign_id
        assert stored(any_db, cast.vote_id).answer == expected


def test_an_earlier_answer_stays_after_another_campaign_became_active(
    any_db: Database, faces: int, ada: int, settings: Settings
) -> None:
    (one,) = lease(any_db, ada, 1, settings)
    first = vote(any_db, ada, one.image_id, "left", settings)
    activate_another(any_db, faces)
    changed = SubmittedAnswer(one.image_id, "right", "request-2", campaign_id=1)
    with pytest.raises(Conflict, match="has ended"), any_db.write() as session:
        cast_vote(session, ada, changed, settings=settings, now=after(1))
    assert stored(any_db, first.vote_id).superseded_at is None
    undo(any_db, ada, first.vote_id, settings)  # undone, it is in hand again
    with any_db.write() as session:
        assert cast_vote(session, ada, changed, settings=settings, now=after(6)).created


def test_an_answer_just_before_the_end_can_be_undone_and_given_again(
    any_db: Database, ada: int, settings: Settings
) -> None:
    (one,) = lease(any_db, ada, 1, settings)
    first = vote(any_db, ada, one.image_id, "left", settings)
    with any_db.write() as session:
        session.get_one(Campaign, 1).ends_at = after(2)
    with pytest.raises(Conflict, match="has ended"):
        vote(any_db, ada, one.image_id, "right", settings, after(3))
    assert undo(any_db, ada, first.vote_id, settings).image_id == one.image_id
    assert vote(any_db, ada, one.image_id, "right", settings, after(6)).created
    with pytest.raises(Conflict, match="has ended"):
        vote(any_db, ada, one.image_id, "center", settings, after(7))


def test_an_image_that_is_answered_anew_is_among_the_last_answers(
    any_db: Database, ada: int, settings: Settings
) -> None:
    """After an undo an answer is new; a changed one stays at its place."""
    images = ids(lease(any_db, ada, 4, settings))
    first = vote(any_db, ada, images[0], "left", settings, now=after(1))
    undo(any_db, ada, first.vote_id, settings)  # after five seconds
    for second, image_id in enumerate(images[1:], start=10):
        vote(any_db, ada, image_id, "left", settings, now=after(second))
    vote(any_db, ada, images[0], "center", settings, now=after(20))
    vote(any_db, ada, images[1], "right", settings, now=after(21))
    vote(any_db, ada, images[0], "right", settings, now=after(22))
    with any_db.read() as session:
        last = [
            (one.vote.image_id, one.vote.answer)
            for one in list_own_answers(session, ada, 1, limit=3)
        ]
    assert last == [(images[0], "right"), (images[3], "left"), (images[2], "left")]
