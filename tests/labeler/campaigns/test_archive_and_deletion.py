"""Campaigns and data sets are archived, restored and deleted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from labeler.campaigns import deletion
from labeler.campaigns.archive import (
    archive_campaign,
    find_archived,
    list_archived,
    restore_campaign,
)
from labeler.campaigns.service import (
    CampaignPlan,
    activate_campaign,
    active_campaigns,
    create_campaign,
    deactivate_campaign,
    edit_campaign,
    find_campaign,
    get_campaign,
    list_campaigns,
)
from labeler.config import Settings
from labeler.database.engine import AdvisoryLock, Database
from labeler.database.work_lock import work_lock
from labeler.errors import Conflict, NotFound
from labeler.images import deletion as dataset_deletion
from labeler.images.datasets import get_dataset, list_datasets
from labeler.images.filtering import ImageFilter
from labeler.images.pose_measuring import FOLDER
from labeler.images.registration import register_dataset
from labeler.jobs import deletion as deletion_jobs
from labeler.jobs import kinds
from labeler.models.audit import AuditEvent
from labeler.models.base import Base
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.image_imports import ImageImport
from labeler.models.images import Dataset, Image
from labeler.models.jobs import Job
from labeler.models.people import ImageFlag, ReturnedAnswer
from labeler.models.proposals import ModelRun, Proposal
from labeler.models.subsets import Subset, SubsetImage
from labeler.models.voting import Lease, Vote
from labeler.proposals.runs import start_run
from labeler.subsets.service import freeze_filter, keep_filter
from labeler.voting.service import SubmittedAnswer, cast_vote, undo_vote
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import NOON, ids, lease, make_gold, publish_run, vote, work


@pytest.fixture
def ada(any_db: Database, make_dataset: MakeDataset, make_annotator: MakeAnnotator) -> int:
    """A person, and the campaign `faces` with six images."""
    make_dataset(any_db, 6)
    return make_annotator(any_db, "ada").id


def count(db: Database, table: type) -> int:
    with db.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def archive(db: Database, campaign_id: int) -> None:
    with db.write() as session:
        archive_campaign(session, campaign_id)


def test_an_archived_campaign_is_read_only(any_db: Database, ada: int, settings: Settings) -> None:
    first, second = lease(any_db, ada, 2, settings)
    cast = vote(any_db, ada, first.image_id, "left", settings)
    archive(any_db, 1)
    with any_db.read() as session:
        assert (list_campaigns(session), active_campaigns(session)) == ([], [])
        assert [one.id for one in list_archived(session)] == [1]
        assert find_campaign(session, "faces").id == 1, "its labels can be exported"
    assert lease(any_db, ada, 1, settings) == []
    assert vote(any_db, ada, second.image_id, "left", settings).created, "it was in hand"
    with any_db.write() as session:
        with pytest.raises(Conflict, match="archived"):
            undo_vote(session, ada, cast.vote_id, settings=settings)
        with pytest.raises(Conflict, match="Restore it first"):
            activate_campaign(session, 1)
        with pytest.raises(Conflict, match="Restore it first"):
            edit_campaign(session, 1, guideline="new")
    changed = SubmittedAnswer(first.image_id, "right", "request-2", campaign_id=1)
    with pytest.raises(Conflict, match="has ended"), any_db.write() as session:
        cast_vote(session, ada, changed, settings=settings)


def test_a_name_that_was_taken_is_told_when_it_is_restored(any_db: Database, ada: int) -> None:
    archive(any_db, 1)
    create_campaign(any_db, 1, CampaignPlan("faces"))
    with any_db.write() as session:
        found = find_archived(session, "faces")
        with pytest.raises(Conflict, match="Another campaign has the name 'faces' by now"):
            restore_campaign(session, found.id)
        assert restore_campaign(session, found.id, name="older faces").name == "older faces"
        assert not found.active
        with pytest.raises(NotFound, match="No archived campaign has the name 'faces'"):
            find_archived(session, "faces")
    with any_db.write() as session:
        activate_campaign(session, 1)


def test_a_campaign_is_deleted_with_all_its_rows_and_no_others(
    any_db: Database, ada: int, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "BATCH", 2)
    kept = create_campaign(any_db, 1, CampaignPlan("kept"))
    make_gold(any_db, {ids(lease(any_db, ada, 6, settings))[5]: "left"})
    for image_id in ids(lease(any_db, ada, 3, settings)):
        vote(any_db, ada, image_id, "left", settings)
    with pytest.raises(Conflict, match="Deactivate it first"), any_db.write() as session:
        deletion.mark_deleted(session, 1)
    with any_db.write() as session:
        deactivate_campaign(session, 1)
        told = deletion.mark_deleted(session, 1)
    assert (told.images, told.votes, told.people, told.gold) == (6, 3, 1, 1)
    with any_db.read() as session:
        with pytest.raises(NotFound):
            get_campaign(session, 1)
        assert (list_archived(session), deletion.find_marked(session)) == ([], [1])
    done: list[tuple[int, int]] = []
    deletion.remove_rows(any_db, 1, lambda *counts: done.append(counts))
    deletion.remove_rows(any_db, 1)  # again, as after an interruption
    assert done[-1][0] == done[-1][1]
    assert [count(any_db, one) for one in (Vote, Lease, Campaign, Image)] == [0, 0, 1, 6]
    with any_db.read() as session:
        assert set(session.scalars(select(Consensus.campaign_id))) == {kept}
        event = session.scalars(
            select(AuditEvent).where(AuditEvent.action == "campaign_deleted")
        ).one()
        assert event.details == {"images": 6, "votes": 3, "people": 1}
    assert create_campaign(any_db, 1, CampaignPlan("faces")) > kept, "numbers never come again"


def test_flags_returned_answers_and_subsets_go_with_a_campaign(
    any_db: Database, ada: int, settings: Settings
) -> None:
    """Lists of images stay; filters go, since they mean votes of the campaign."""
    kept = create_campaign(any_db, 1, CampaignPlan("kept"))
    (one,) = ids(lease(any_db, ada, 1, settings))
    vote(any_db, ada, one, "left", settings)
    with any_db.write() as session:
        vote_id = session.scalars(select(Vote.id)).one()
        for campaign_id in (1, kept):
            flag = ImageFlag(image_id=one, annotator_id=ada, reason="light")
            flag.campaign_id = campaign_id
            session.add(flag)
        session.add(ReturnedAnswer(vote_id=vote_id, annotator_id=ada, returned_by_id=ada))
        campaign = session.get_one(Campaign, 1)
        keep_filter(session, campaign, "live", ImageFilter())
        freeze_filter(session, campaign, "frozen", ImageFilter())
        deactivate_campaign(session, 1)
        deletion.mark_deleted(session, 1)
    deletion.remove_rows(any_db, 1)
    with any_db.read() as session:
        assert session.scalars(select(ImageFlag.campaign_id)).all() == [kept]
        assert session.scalars(select(ReturnedAnswer.id)).all() == []
        (subset,) = session.scalars(select(Subset))
        assert (subset.name, subset.count, subset.filter) == ("frozen", 6, None)
    with any_db.write() as session:
        dataset_deletion.mark_deleted(session, 1)
    dataset_deletion.remove_rows(any_db, 1)
    assert [count(any_db, one) for one in (Subset, SubsetImage, ImageFlag, Image)] == [0, 0, 0, 0]


def test_everything_that_refers_to_a_campaign_goes_with_it() -> None:
    """A table that is added later must be deleted with the campaign, or be released from it."""
    tables = Base.metadata.tables.values()
    refer = {
        table.name
        for table in tables
        if any(
            key.column.table.name == "campaign" and key.ondelete != "SET NULL"
            for key in table.foreign_keys
        )
    }
    assert refer == {table.__tablename__ for table in deletion.TABLES} | {"subset"}
    of_votes = {
        table.name
        for table in tables
        if any(key.column.table.name == "vote" for key in table.foreign_keys)
    }
    assert of_votes - refer == {"returned_answer"}


def test_votes_of_other_campaigns_cannot_be_deleted(
    any_db: Database, ada: int, settings: Settings
) -> None:
    (one,) = lease(any_db, ada, 1, settings)
    vote(any_db, ada, one.image_id, "left", settings)
    archive(any_db, 1)
    everything = delete(Vote).execution_options(synchronize_session=False)
    with pytest.raises(IntegrityError, match="append-only"), any_db.write() as session:
        session.execute(everything)
    with pytest.raises(Conflict, match="not to be deleted"):
        deletion.remove_rows(any_db, 1)
    assert count(any_db, Vote) == 1


def test_a_data_set_is_deleted_with_its_campaigns_and_runs(
    any_db: Database, ada: int, settings: Settings, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    make_dataset(any_db, 4, "others")
    with any_db.write() as session:
        deactivate_campaign(session, 2)
    held = ids(lease(any_db, ada, 2, settings))
    publish_run(any_db, 1, dict.fromkeys(held, (0.5, 0.3, 0.2)), NOON)
    vote(any_db, ada, held[0], "left", settings)
    with pytest.raises(Conflict, match="of this data set is active"), any_db.write() as session:
        dataset_deletion.mark_deleted(session, 1)
    with any_db.write() as session:
        deactivate_campaign(session, 1)
        told = dataset_deletion.mark_deleted(session, 1)
        with pytest.raises(NotFound, match="Somebody else may have deleted it"):
            dataset_deletion.mark_deleted(session, 1)
    assert (told.name, told.images, told.campaigns, told.votes, told.runs) == ("faces", 6, 1, 1, 1)
    with any_db.read() as session:
        assert [one.name for one in list_datasets(session)] == ["others"]
    # The name is free at once, also while the rows are still there.
    again = register_dataset(any_db, tmp_path / "faces", activate=False).dataset_id
    assert dataset_deletion.remove_rows(any_db, 1) == [1]
    assert dataset_deletion.remove_rows(any_db, 1) == []
    gone = (Vote, ModelRun, Proposal)
    assert [count(any_db, one) for one in gone] == [0, 0, 0]
    with any_db.read() as session:
        assert set(session.scalars(select(Dataset.id))) == {2, again}
        assert set(session.scalars(select(Image.dataset_id))) == {2, again}
    assert (tmp_path / "faces" / "000001.jpg").is_file()


def test_a_data_set_that_is_deleted_gets_no_campaign(any_db: Database, ada: int) -> None:
    archive(any_db, 1)
    with any_db.write() as session:
        dataset_deletion.mark_deleted(session, 1)
    with pytest.raises(NotFound, match="There is no data set 1"):
        create_campaign(any_db, 1, CampaignPlan("late"))
    with any_db.read() as session, pytest.raises(NotFound, match="Data set 1 does not exist"):
        get_dataset(session, 1)


def test_a_campaign_that_slipped_in_does_not_stop_the_deletion(any_db: Database, ada: int) -> None:
    """Earlier versions let people create and activate a campaign of a data set that goes."""
    archive(any_db, 1)
    with any_db.write() as session:
        dataset_deletion.mark_deleted(session, 1)
        stray = Campaign(dataset_id=1, name="stray", rules={}, selection={}, active=True)
        session.add(stray)
    assert len(dataset_deletion.remove_rows(any_db, 1)) == 2
    assert [count(any_db, one) for one in (Campaign, Image, Dataset)] == [0, 0, 0]


@pytest.mark.parametrize("state", ["receiving", "checking"])
def test_a_data_set_whose_import_is_open_is_not_deleted(
    any_db: Database, ada: int, state: str
) -> None:
    archive(any_db, 1)
    with any_db.write() as session:
        session.add(ImageImport(owner_id=ada, name="faces", path="x", files=[], state=state))
    with any_db.write() as session:
        with pytest.raises(Conflict, match="The import of 'faces' has not ended"):
            dataset_deletion.mark_deleted(session, 1)
        session.scalars(select(ImageImport)).one().state = "done"
        session.flush()
        assert dataset_deletion.mark_deleted(session, 1).name == "faces"


def test_queued_jobs_of_what_is_deleted_are_cancelled(
    any_db: Database, ada: int, make_dataset: MakeDataset
) -> None:
    """Those of others stay, and so does the deletion."""
    other_dataset = make_dataset(any_db, 2, "others")
    other = create_campaign(any_db, 1, CampaignPlan("other"))
    archive(any_db, 1)
    run_id = start_run(any_db, 1, "test", {})
    with any_db.write() as session:
        kinds.fill_campaign.queue(session, 1)
        kinds.fill_campaign.queue(session, other)
        deletion_jobs.mark_campaign(session, 1)
        kinds.delete_campaign.queue(session, 1)
        session.get_one(ModelRun, run_id).status = "failed"
        assert queued(session) == {("fill_campaign", other), ("delete_campaign", 1)}
        kinds.measure_poses.queue(session, 1)
        kinds.restore_run.queue(session, run_id)
        kinds.measure_poses.queue(session, other_dataset)
        deletion_jobs.mark_dataset(session, 1)
        assert queued(session) == {("delete_campaign", 1), ("measure_poses", other_dataset)}
        problems = set(session.scalars(select(Job.problem).where(Job.state == "cancelled")))
    assert problems == {"cancelled: the campaign is deleted", "cancelled: the data set is deleted"}


def queued(session: Session) -> set[tuple[str, int]]:
    found = session.scalars(select(Job).where(Job.state == "queued"))
    return {(job.kind, job.subject) for job in found}


def test_the_measured_poses_go_with_a_data_set(
    db: Database, settings: Settings, make_dataset: MakeDataset
) -> None:
    """SQLite gives the number of a deleted data set to the next one."""
    dataset_id = make_dataset(db, 2)
    poses = settings.home / FOLDER / f"dataset-{dataset_id}.csv"
    poses.parent.mkdir(parents=True)
    poses.write_text("poses of other images")
    archive(db, 1)
    with db.write() as session:
        deletion_jobs.mark_dataset(session, dataset_id)
        kinds.delete_dataset.queue(session, dataset_id)
    with ThreadPoolExecutor(1) as pool:
        with work_lock(db, AdvisoryLock.IMPORT):
            deleting = pool.submit(work, settings)
            with pytest.raises(TimeoutError):  # it waits until no import runs
                deleting.result(timeout=1)
            assert count(db, Dataset) == 1
        deleting.result(timeout=30)
    assert count(db, Dataset) == 0
    assert not poses.exists()
