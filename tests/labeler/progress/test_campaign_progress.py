"""Counts for people and data sets."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import func, select

from labeler.config import Settings
from labeler.consensus.store import count_current_votes
from labeler.database.engine import Database
from labeler.images.checking import check_images
from labeler.images.registration import register_dataset
from labeler.models.campaigns import Campaign
from labeler.models.voting import Vote
from labeler.progress.annotator_progress import OwnProgress, own_progress
from labeler.progress.campaign_progress import (
    CampaignProgress,
    DatasetProgress,
    campaign_progress,
    dataset_progress,
)
from labeler.proposals.schedule import load_schedule
from labeler.voting.service import undo_vote
from tests.conftest import CountQueries, MakeAnnotator, MakeDataset, write_images
from tests.labeler.acting import after, ids, lease, make_gold, set_rules, vote

DAY = 86_400


def test_the_own_progress(
    any_db: Database,
    settings: Settings,
    make_annotator: MakeAnnotator,
    make_dataset: MakeDataset,
    count_queries: CountQueries,
) -> None:
    make_dataset(any_db, 6)
    set_rules(any_db, required_votes=2)
    ada, bob = make_annotator(any_db).id, make_annotator(any_db).id
    images = ids(lease(any_db, ada, 6, settings))
    lease(any_db, bob, 6, settings)
    vote(any_db, ada, images[0], "left", settings, after(-DAY))
    vote(any_db, ada, images[1], "left", settings)
    undone = vote(any_db, ada, images[2], "left", settings)
    vote(any_db, bob, images[1], "left", settings)
    with any_db.write() as session:
        undo_vote(session, ada, undone.vote_id, settings=settings)
    with count_queries(any_db) as statements, any_db.read() as session:
        progress = own_progress(session, ada, now=after(60))
    assert progress == OwnProgress(votes=2, today=1, remaining=4)
    assert len([one for one in statements if one.startswith("SELECT")]) == 2


def test_nothing_is_left_without_a_data_set(
    any_db: Database, make_annotator: MakeAnnotator
) -> None:
    with any_db.read() as session:
        assert own_progress(session, make_annotator(any_db).id) == OwnProgress(0, 0, 0)
        assert dataset_progress(session, 1).images == 0
        assert campaign_progress(session, 1).images == 0


def test_the_progress_of_a_data_set_and_its_campaign(
    any_db: Database,
    settings: Settings,
    make_annotator: MakeAnnotator,
    tmp_path: Path,
    count_queries: CountQueries,
) -> None:
    folder = write_images(tmp_path / "faces", 5)
    (folder / "broken.jpg").write_bytes(b"")
    dataset_id = register_dataset(any_db, folder).dataset_id
    check_images(any_db, dataset_id, processes=1)
    write_images(folder, 6)
    register_dataset(any_db, folder)
    set_rules(any_db, method="majority", required_votes=1, gold_rate=0.0)
    ada = make_annotator(any_db).id
    images = ids(lease(any_db, ada, 5, settings))
    for image_id, answer in zip(images, ("left", "left", "center", "unsure"), strict=False):
        vote(any_db, ada, image_id, answer, settings)
    with count_queries(any_db) as statements, any_db.read() as session:
        images_done = dataset_progress(session, dataset_id)
        progress = campaign_progress(session, dataset_id)
    assert images_done == DatasetProgress(images=7, ok=5, broken=1, unchecked=1)
    assert progress == CampaignProgress(
        open=1,
        agreed=3,
        contested=1,
        votes=4,
        labels={"left": 2, "center": 1, "right": 0},
        answers={"left": 2, "center": 1, "right": 0, "unsure": 1},
        undecided=1,
        open_after={0: 1},
        finished_after={1: 4},
    )
    assert progress.images == 5
    assert len([one for one in statements if one.startswith("SELECT")]) == 2


def test_all_counts_of_votes_agree(
    any_db: Database,
    settings: Settings,
    make_annotator: MakeAnnotator,
    make_dataset: MakeDataset,
) -> None:
    """Those of the overview and of the model runs, with changed and undone answers and gold."""
    make_dataset(any_db, 4)
    set_rules(any_db, required_votes=2)
    ada, bob = make_annotator(any_db).id, make_annotator(any_db).id
    images = ids(lease(any_db, ada, 4, settings))
    lease(any_db, bob, 4, settings)
    for person, image_id, answer in (
        (ada, images[0], "left"),
        (ada, images[1], "unsure"),
        (bob, images[0], "right"),
        (ada, images[0], "center"),  # changed
    ):
        vote(any_db, person, image_id, answer, settings)
    undone = vote(any_db, ada, images[2], "left", settings)
    with any_db.write() as session:
        undo_vote(session, ada, undone.vote_id, settings=settings)
    make_gold(any_db, {images[0]: "left"})
    with any_db.read() as session:
        rows = session.scalar(select(func.count()).where(Vote.counts))
        assert rows == 3
        assert campaign_progress(session, 1).votes == rows
        assert count_current_votes(session, 1) == rows
        assert load_schedule(session, session.get_one(Campaign, 1)).votes == rows
        assert count_current_votes(session, 2) == 0
