"""The same name at the same time: one gets it, the others are told."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeler.accounts import sessions
from labeler.app import create_app
from labeler.campaigns import deletion
from labeler.campaigns import service as campaigns
from labeler.campaigns.archive import archive_campaign, restore_campaign
from labeler.campaigns.service import CampaignPlan
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import Conflict, SidelightError
from labeler.images import deletion as dataset_deletion
from labeler.images.registration import register_dataset
from labeler.models.audit import AuditEvent
from labeler.models.images import Dataset
from labeler.proposals.runs import start_run
from tests.conftest import MakeAnnotator, MakeDataset, write_images
from tests.labeler.acting import at_once
from tests.labeler.conftest import Browser

AT_ONCE = 6


def conflicts(results: list[object]) -> int:
    """How many were refused; everybody else got what they wanted."""
    odd = [one for one in results if isinstance(one, Exception) and not isinstance(one, Conflict)]
    assert odd == []
    return sum(isinstance(one, Conflict) for one in results)


def test_a_campaign_is_cloned_under_a_name_once(
    any_db: Database, make_dataset: MakeDataset
) -> None:
    make_dataset(any_db)
    results = at_once(lambda _: campaigns.clone_campaign(any_db, 1, "again"), AT_ONCE)
    assert conflicts(results) == AT_ONCE - 1
    told = next(str(one) for one in results if isinstance(one, Conflict))
    assert "name" in told
    assert "Choose another" in told


def test_a_campaign_is_renamed_to_a_name_once(any_db: Database, make_dataset: MakeDataset) -> None:
    dataset_id = make_dataset(any_db)
    ids = [
        campaigns.create_campaign(any_db, dataset_id, CampaignPlan(f"number {n}"))
        for n in range(AT_ONCE)
    ]

    def rename(number: int) -> None:
        with any_db.write() as session:
            campaigns.edit_campaign(session, ids[number], name="the one")

    assert conflicts(at_once(rename, AT_ONCE)) == AT_ONCE - 1


def test_all_campaigns_that_are_activated_at_once_are_active(
    any_db: Database, make_dataset: MakeDataset
) -> None:
    dataset_id = make_dataset(any_db)
    ids = [
        campaigns.create_campaign(any_db, dataset_id, CampaignPlan(f"number {n}"))
        for n in range(AT_ONCE)
    ]

    def activate(number: int) -> None:
        with any_db.write() as session:
            campaigns.activate_campaign(session, ids[number])

    assert conflicts(at_once(activate, AT_ONCE)) == 0
    with any_db.read() as session:
        assert {one.id for one in campaigns.active_campaigns(session)} == {1, *ids}


def test_a_campaign_is_deleted_once(any_db: Database, make_dataset: MakeDataset) -> None:
    dataset_id = make_dataset(any_db)
    made = campaigns.create_campaign(any_db, dataset_id, CampaignPlan("short-lived"))

    def delete(_number: int) -> None:
        with any_db.write() as session:
            deletion.mark_deleted(session, made)

    results = at_once(delete, AT_ONCE)
    assert sum(one is None for one in results) == 1
    assert {str(one) for one in results if one is not None} == {deletion.GONE}
    with any_db.read() as session:
        logged = select(func.count()).where(AuditEvent.action == "campaign_deleted")
        assert session.scalar(logged) == 1


Change = Callable[[Session, int], object]


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (archive_campaign, campaigns.activate_campaign, "is archived. Restore it first"),
        (deletion.mark_deleted, campaigns.activate_campaign, "There is no campaign"),
        (campaigns.activate_campaign, deletion.mark_deleted, "is active. Deactivate it first"),
        (deletion.mark_deleted, archive_campaign, "There is no campaign"),
        (deletion.mark_deleted, restore_campaign, "There is no campaign"),
        (campaigns.activate_campaign, archive_campaign, ""),
    ],
)
def test_of_two_changes_at_once_the_second_sees_the_first(
    any_db: Database, make_dataset: MakeDataset, first: Change, second: Change, told: str
) -> None:
    made = campaigns.create_campaign(any_db, make_dataset(any_db), CampaignPlan("changed"))
    if second is restore_campaign:
        with any_db.write() as session:
            archive_campaign(session, made)
    assert told in str(_change_while_open(any_db, made, first, second) or "")


def test_a_data_set_that_is_being_deleted_gets_no_campaign(
    any_db: Database, make_dataset: MakeDataset
) -> None:
    dataset_id = make_dataset(any_db)
    with any_db.write() as session:
        campaigns.deactivate_campaign(session, 1)

    def add(session: Session, number: int) -> None:
        campaigns.add_campaign(session, number, CampaignPlan("late"))

    error = _change_while_open(any_db, dataset_id, dataset_deletion.mark_deleted, add)
    assert str(error) == f"There is no data set {dataset_id}."


def _change_while_open(
    db: Database, number: int, first: Change, second: Change
) -> SidelightError | None:
    """Begin the second change while the first is not committed; returns what it was told."""

    def change() -> SidelightError | None:
        try:
            with db.write() as session:
                second(session, number)
        except SidelightError as error:
            return error
        return None

    with ThreadPoolExecutor(1) as pool:
        with db.write() as session:
            first(session, number)
            session.flush()
            changing = pool.submit(change)
            with pytest.raises(TimeoutError):
                changing.result(timeout=0.3)
        return changing.result(timeout=20)


def test_an_archived_campaign_is_restored_under_a_free_name(
    any_db: Database, make_dataset: MakeDataset
) -> None:
    """Two of one name: only one can come back with it."""
    dataset_id = make_dataset(any_db)
    ids = []
    for _ in range(2):
        ids.append(campaigns.create_campaign(any_db, dataset_id, CampaignPlan("twin")))
        with any_db.write() as session:
            archive_campaign(session, ids[-1])

    def restore(number: int) -> None:
        with any_db.write() as session:
            restore_campaign(session, ids[number])

    assert conflicts(at_once(restore, 2)) == 1


def test_a_data_set_is_registered_under_a_name_once(any_db: Database, tmp_path: Path) -> None:
    folders = [write_images(tmp_path / str(n) / "faces", 2) for n in range(AT_ONCE)]
    results = at_once(lambda n: register_dataset(any_db, folders[n]), AT_ONCE)
    assert conflicts(results) == AT_ONCE - 1
    with any_db.read() as session:
        assert session.scalars(select(Dataset.name)).all() == ["faces"]


def test_one_run_of_a_data_set_is_in_training(any_db: Database, make_dataset: MakeDataset) -> None:
    dataset_id = make_dataset(any_db)
    results = at_once(lambda _: start_run(any_db, dataset_id, "test", {}), AT_ONCE)
    assert conflicts(results) == AT_ONCE - 1
    assert any("in training" in str(one) for one in results)


def test_clones_at_once_on_the_site(
    any_db: Database, settings: Settings, make_dataset: MakeDataset, make_annotator: MakeAnnotator
) -> None:
    make_dataset(any_db)
    app = create_app(replace(settings, database_url=any_db.url))
    browsers = [_join(app, any_db, make_annotator) for _ in range(AT_ONCE)]
    tokens = [browser.token() for browser in browsers]

    def clone(number: int) -> int:
        form = {"copy_name": "again", "csrf_token": tokens[number]}
        answer = browsers[number].client.post("/admin/campaigns/1/clone", data=form)
        return answer.status_code

    assert sorted(at_once(clone, AT_ONCE)) == [303] + [409] * (AT_ONCE - 1)
    app.extensions["sidelight_db"].dispose()


def _join(app: Flask, db: Database, make_annotator: MakeAnnotator) -> Browser:
    person, client = make_annotator(db, role="admin"), app.test_client()
    with db.write() as session:
        token = sessions.open_session(session, person, "", app.extensions["sidelight_settings"])
    with client.session_transaction() as cookie:
        cookie["token"] = token
    return Browser(client, person.id)
