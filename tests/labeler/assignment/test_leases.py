"""Which images are assigned to whom."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
from sqlalchemy import select

from labeler.assignment.leases import FORGET_FROM, REMEMBER_LEASES, lease_images, release_leases
from labeler.assignment.presentation import Presentation
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.images.checking import check_images
from labeler.images.registration import register_dataset
from labeler.models.consensus import Consensus
from labeler.models.voting import Lease, Vote
from labeler.rules.random_draws import is_blind
from tests.conftest import CountQueries, MakeAnnotator, MakeDataset, write_images
from tests.labeler.acting import NOON, after, ids, lease, lease_count, publish_run, set_rules, vote


@pytest.fixture
def faces(any_db: Database, make_dataset: MakeDataset) -> int:
    return make_dataset(any_db, count=6)


def queue(db: Database) -> list[int]:
    with db.read() as session:
        return list(
            session.scalars(
                select(Consensus.image_id).order_by(Consensus.priority, Consensus.random_key)
            )
        )


def test_images_come_in_the_order_of_the_queue(
    any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    leased = lease(any_db, make_annotator(any_db).id, 4, settings)
    assert ids(leased) == queue(any_db)[:4]
    assert {(one.width, one.height) for one in leased} == {(20, 24)}
    assert all(len(one.sha256) == 64 and one.filename.endswith(".jpg") for one in leased)
    assert {one.expires_at for one in leased} == {after(settings.lease_seconds)}


def test_a_reload_gives_the_same_images_renewed(
    any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    ada = make_annotator(any_db)
    first = lease(any_db, ada.id, 3, settings)
    again = lease(any_db, ada.id, 4, settings, after(60))
    assert ids(again)[:3] == ids(first)
    assert len(again) == 4
    assert lease_count(any_db) == 4
    third = lease(any_db, ada.id, 2, settings, after(60 + settings.lease_seconds - 1))
    assert set(ids(third)) <= set(ids(again))


def test_people_get_different_images_as_long_as_there_are_some(
    any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    handed = [ids(lease(any_db, make_annotator(any_db).id, 2, settings)) for _ in range(3)]
    assert sorted(chain.from_iterable(handed)) == sorted(queue(any_db))


def test_an_image_is_never_assigned_to_more_people_than_votes_are_needed(
    any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    set_rules(any_db, required_votes=2)
    handed = [lease(any_db, make_annotator(any_db).id, 6, settings) for _ in range(3)]
    assert [len(leased) for leased in handed] == [6, 6, 0]


def test_votes_that_are_there_count_as_well(
    any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    set_rules(any_db, required_votes=2)
    ada, bob, eve = (make_annotator(any_db).id for _ in range(3))
    image_id = ids(lease(any_db, ada, 6, settings))[0]
    vote(any_db, ada, image_id, "left", settings)
    assert image_id in ids(lease(any_db, bob, 6, settings))
    assert image_id not in ids(lease(any_db, eve, 6, settings))


def test_nobody_gets_an_image_they_have_answered(
    any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    ada = make_annotator(any_db).id
    for image_id in ids(lease(any_db, ada, 6, settings)):
        vote(any_db, ada, image_id, "unsure", settings)
    assert lease(any_db, ada, 6, settings) == []


def test_the_least_answered_images_come_first(
    any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    ada, bob = make_annotator(any_db).id, make_annotator(any_db).id
    answered = ids(lease(any_db, ada, 3, settings))
    for image_id in answered:
        vote(any_db, ada, image_id, "left", settings)
    order = ids(lease(any_db, bob, 6, settings))
    assert set(order[3:]) == set(answered)


def test_expired_leases_are_assigned_to_others(
    any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    set_rules(any_db, required_votes=1)
    ada, bob = make_annotator(any_db).id, make_annotator(any_db).id
    assert len(lease(any_db, ada, 6, settings)) == 6
    late = after(settings.lease_seconds + 1)
    assert lease(any_db, bob, 6, settings) == []
    assert len(lease(any_db, bob, 6, settings, late)) == 6
    assert lease(any_db, ada, 6, settings, late) == []


def test_leases_from_long_ago_are_forgotten(
    any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    ada, bob = make_annotator(any_db).id, make_annotator(any_db).id
    lease(any_db, ada, 3, settings)
    much_later = after(settings.lease_seconds + 1) + REMEMBER_LEASES
    lease(any_db, bob, FORGET_FROM, settings, much_later)
    assert lease_count(any_db) == 6


def test_released_images_are_free_at_once(
    any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    set_rules(any_db, required_votes=1)
    ada, bob = make_annotator(any_db).id, make_annotator(any_db).id
    lease(any_db, ada, 6, settings)
    with any_db.write() as session:
        assert release_leases(session, ada) == 6
    assert len(lease(any_db, bob, 6, settings)) == 6


def test_only_the_active_data_set_is_assigned(
    any_db: Database, settings: Settings, make_annotator: MakeAnnotator, tmp_path: Path
) -> None:
    ada = make_annotator(any_db).id
    assert lease(any_db, ada, 3, settings) == []
    reports = [register_dataset(any_db, write_images(tmp_path / name, 2)) for name in "ab"]
    for report in reports:
        check_images(any_db, report.dataset_id, processes=1)
    with any_db.read() as session:
        active = select(Consensus.image_id).where(Consensus.campaign_id == reports[1].dataset_id)
        expected = set(session.scalars(active))
    assert set(ids(lease(any_db, ada, 6, settings))) == expected


def test_the_newest_published_proposal_is_shown(
    any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    first, second, third, *_ = queue(any_db)
    publish_run(any_db, faces, {first: (0.9, 0.1, 0.0)}, NOON)
    run_id = publish_run(any_db, faces, {first: (0.2, 0.3, 0.5), second: (0.8, 0.1, 0.1)}, after(1))
    shown = {
        one.image_id: one.presentation
        for one in lease(any_db, make_annotator(any_db).id, 3, settings)
    }
    assert shown[first] == Presentation(
        shown_run_id=run_id, shown_label="right", shown_probability=0.5
    )
    assert shown[second] == Presentation(
        shown_run_id=run_id, shown_label="left", shown_probability=0.8
    )
    assert shown[third] == Presentation()


def test_a_proposal_that_favours_no_label_is_not_shown(
    any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    publish_run(any_db, faces, dict.fromkeys(queue(any_db), (0.375, 0.25, 0.375)), NOON)
    ada = make_annotator(any_db).id
    for _reload in range(2):
        for one in lease(any_db, ada, 6, settings):
            assert one.presentation == Presentation()
    vote(any_db, ada, queue(any_db)[0], "left", settings)
    with any_db.read() as session:
        assert session.scalars(select(Vote.shown_label)).all() == [None]


def test_a_lease_keeps_what_was_shown_when_a_new_model_comes(
    any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    ada = make_annotator(any_db).id
    image_id = queue(any_db)[0]
    run_id = publish_run(any_db, faces, {image_id: (0.9, 0.1, 0.0)}, NOON)
    lease(any_db, ada, 1, settings)
    publish_run(any_db, faces, {image_id: (0.0, 0.1, 0.9)}, after(1))
    (again,) = lease(any_db, ada, 1, settings, after(2))
    assert again.presentation == Presentation(
        shown_run_id=run_id, shown_label="left", shown_probability=0.9
    )


def test_the_blind_see_no_proposal_and_stay_blind(
    any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    set_rules(any_db, proposals="mixed", blind_share=0.5)
    publish_run(any_db, faces, dict.fromkeys(queue(any_db), (0.6, 0.2, 0.2)), NOON)
    for _ in range(4):
        ada = make_annotator(any_db).id
        leased = lease(any_db, ada, 6, settings)
        assert all(
            one.presentation.blind == is_blind(faces, ada, one.image_id, 0.5) for one in leased
        )
        assert all(
            (one.presentation.shown_label is None) == one.presentation.blind for one in leased
        )
        assert all(
            (one.presentation.withheld_label == "left") == one.presentation.blind for one in leased
        )
        with any_db.write() as session:
            release_leases(session, ada)
        again = {one.image_id: one.presentation for one in lease(any_db, ada, 6, settings)}
        assert again == {one.image_id: one.presentation for one in leased}


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_blind_share_is_kept(share: float) -> None:
    drawn = [is_blind(1, person, image, share) for person in range(50) for image in range(200)]
    assert abs(sum(drawn) / len(drawn) - share) < 0.02


def test_the_number_of_statements_does_not_grow_with_the_number_of_images(
    any_db: Database,
    faces: int,
    settings: Settings,
    make_annotator: MakeAnnotator,
    count_queries: CountQueries,
) -> None:
    ada = make_annotator(any_db).id
    with count_queries(any_db) as few, any_db.write() as session:
        lease_images(session, ada, 1, settings=settings)
    with any_db.write() as session:
        release_leases(session, ada)
    with count_queries(any_db) as many, any_db.write() as session:
        lease_images(session, ada, 5, settings=settings)
    assert len(many) == len(few) <= 5
    with any_db.read() as session:
        assert session.get(Lease, (faces, queue(any_db)[0], ada)) is not None
