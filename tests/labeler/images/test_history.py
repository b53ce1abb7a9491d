"""What has happened to one image, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from labeler.campaigns.service import get_campaign
from labeler.config import Settings
from labeler.consensus.store import rebuild
from labeler.database.engine import Database
from labeler.errors import NotFound
from labeler.gold.service import NewGold, add_gold
from labeler.images.history import (
    ImageHistory,
    campaign_of,
    get_image,
    list_same_person,
    load_history,
)
from labeler.models.base import MAX_ID
from labeler.models.voting import Vote
from labeler.voting.service import undo_vote
from tests.conftest import MakeAnnotator
from tests.labeler.acting import NOON, publish_run
from tests.labeler.images.labelled_images import (
    AGREED_LEFT,
    CANNOT_TELL,
    CONTESTED,
    GOLD,
    LabelledImages,
    label_images,
)


@pytest.fixture
def labelled(
    any_db: Database, tmp_path: Path, make_annotator: MakeAnnotator, settings: Settings
) -> LabelledImages:
    return label_images(any_db, tmp_path / "faces", make_annotator, settings)


def history_of(db: Database, image_id: int) -> ImageHistory:
    with db.read() as session:
        return load_history(session, get_campaign(session, 1), get_image(session, image_id))


def test_votes_stay_in_order_also_when_they_are_withdrawn(
    any_db: Database, labelled: LabelledImages, settings: Settings
) -> None:
    image_id = labelled.ids[AGREED_LEFT[0]]
    with any_db.write() as session:
        cast = session.scalars(select(Vote).where(Vote.image_id == image_id).order_by(Vote.id))
        first = cast.first()
        assert first is not None
        undo_vote(session, first.annotator_id, first.id, settings=settings, now=NOON)
    votes = history_of(any_db, image_id).votes
    assert [one.vote.id for one in votes] == sorted(one.vote.id for one in votes)
    assert [one.vote.superseded_at is None for one in votes] == [False, True, True]
    assert len({one.person.id for one in votes}) == len(votes)


def test_each_vote_that_counts_moves_the_label(
    any_db: Database, labelled: LabelledImages, settings: Settings
) -> None:
    image_id = labelled.ids[CONTESTED[0]]  # left, center, right
    with any_db.write() as session:
        rebuild(session, 1)  # with the model, which came after the votes
    history = history_of(any_db, image_id)
    first, second, last = (one.then for one in history.votes)
    assert first is not None
    assert second is not None
    assert last is not None
    assert max(first) == first[0] > 0.5
    assert second[1] > first[1]
    assert last[2] > second[2]
    row = history.consensus
    assert row is not None
    assert last == pytest.approx((row.p_left, row.p_center, row.p_right), abs=1e-3)
    with any_db.write() as session:
        vote = history.votes[0].vote
        undo_vote(session, vote.annotator_id, vote.id, settings=settings, now=NOON)
    withdrawn, second, _ = (one.then for one in history_of(any_db, image_id).votes)
    assert withdrawn is None
    assert second is not None
    assert max(second) == second[1]


def test_decisions_do_not_change_what_the_votes_said(
    any_db: Database, labelled: LabelledImages
) -> None:
    votes = history_of(any_db, labelled.ids[CANNOT_TELL]).votes
    assert [one.then is not None for one in votes] == [True] * 3


def test_only_the_last_run_is_current(any_db: Database, labelled: LabelledImages) -> None:
    image_id = labelled.ids[1]
    run = publish_run(any_db, labelled.dataset_id, {image_id: (0.0, 0.0, 1.0)}, NOON)
    history = history_of(any_db, image_id)
    assert [one.is_current for one in history.proposals] == [False, True]
    assert history.current_proposal is not None
    assert history.current_proposal.run.id == run
    assert history.current_proposal.chances == (0.0, 0.0, 1.0)


def test_gold_and_decisions_keep_their_past(any_db: Database, labelled: LabelledImages) -> None:
    image_id = labelled.ids[GOLD]
    with any_db.write() as session:
        add_gold(session, 1, [NewGold(image_id, "right", "looked again")], "csv")
    history = history_of(any_db, image_id)
    assert [(one.gold.label, one.person) for one in history.gold] == [
        ("center", None),
        ("right", None),
    ]
    assert history.current_gold is not None
    assert history.current_gold.label == "right"
    decided = history_of(any_db, labelled.ids[CANNOT_TELL]).current_decision
    assert decided is not None
    assert (decided.decision.label, decided.decision.note) == (None, "two lamps")


def test_images_of_the_same_person(any_db: Database, labelled: LabelledImages) -> None:
    with any_db.read() as session:
        one = get_image(session, labelled.ids[4])
        others = [image.id for image in list_same_person(session, one, 2)]
        stranger = get_image(session, max(labelled.ids.values()) + 1)
        assert (stranger.identity, list_same_person(session, stranger, 2)) == (None, [])
    assert others == [labelled.ids[1], labelled.ids[7]]


def test_what_does_not_exist_is_not_found(any_db: Database, labelled: LabelledImages) -> None:
    with any_db.read() as session:
        image = get_image(session, labelled.ids[1])
        with pytest.raises(NotFound):
            get_image(session, MAX_ID)
        with pytest.raises(NotFound):
            campaign_of(session, image, 77)
        assert campaign_of(session, image).id == 1
