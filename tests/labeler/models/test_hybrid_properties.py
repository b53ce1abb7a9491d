"""A hybrid property gives the same for a row and in a statement."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.models.consensus import Consensus
from labeler.models.voting import Vote
from labeler.voting.service import undo_vote
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import NOON, lease, vote


@pytest.fixture
def votes(
    any_db: Database, settings: Settings, make_annotator: MakeAnnotator, make_dataset: MakeDataset
) -> Database:
    """Four current votes of two people, one that was undone and one exercise."""
    make_dataset(any_db, 3)
    for answers in ("left center right", "unsure left left"):
        person = make_annotator(any_db).id
        held = lease(any_db, person, 3, settings)
        for one, answer in zip(held, answers.split(), strict=True):
            cast = vote(any_db, person, one.image_id, answer, settings)
    with any_db.write() as session:
        undo_vote(session, person, cast.vote_id, settings=settings, now=NOON)
        session.add(
            Vote(
                campaign_id=1,
                image_id=one.image_id,
                annotator_id=person,
                answer="right",
                mode="training",
                request_id="exercise-1",
                blind=True,
            )
        )
    return any_db


def test_a_vote_counts_if_it_is_current_and_no_exercise(votes: Database) -> None:
    with votes.read() as session:
        everything = session.scalars(select(Vote)).all()
        counted = set(session.scalars(select(Vote.id).where(Vote.counts)))
    assert len(everything) == 7
    assert counted == {one.id for one in everything if one.counts}
    assert {(one.mode, one.superseded_at is None) for one in everything if not one.counts} == {
        ("single", False),
        ("training", True),
    }


def test_the_votes_of_an_image_are_those_that_count(votes: Database) -> None:
    with votes.read() as session:
        in_statement = dict(session.execute(select(Consensus.image_id, Consensus.votes)).all())
        rows = session.scalars(select(Consensus)).all()
    assert {row.image_id: row.votes for row in rows} == in_statement
    assert sorted(in_statement.values()) == [1, 2, 2]
