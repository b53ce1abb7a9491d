"""Training on votes and proposing for every image, with real pictures and a real database."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from sqlalchemy import func, select, update

from labeler.consensus.store import rebuild
from labeler.database.engine import Database
from labeler.errors import BrokenData, Conflict, NotFound
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now
from labeler.models.consensus import Consensus
from labeler.models.images import Dataset, Image
from labeler.models.proposals import ModelRun, Proposal
from labeler.proposals.feature_extraction import CHUNK, FEW, extract_features
from labeler.proposals.runs import ABANDONED_AFTER, KEEP_RUNS, current_run, publish_run, start_run
from labeler.proposals.service import train_and_propose
from labeler.proposals.training_data import select_training
from labeler.quality.refresh import refresh_campaign
from labeler.statistics.posterior import DEFAULT_CONFUSION
from rotation.data.labels import LABELS
from rotation.errors import DatasetError
from tests.labeler.acting import set_rules
from tests.labeler.lit_faces import (
    LANDMARKS,
    add_people,
    cycle_labels,
    register,
    vote,
    write_faces,
)

LABELLED = 18


@pytest.fixture
def truth(tmp_path: Path) -> dict[str, str]:
    labels = cycle_labels(60)
    write_faces(tmp_path / "faces", labels)
    return labels


@pytest.fixture
def dataset_id(db: Database, tmp_path: Path, truth: dict[str, str]) -> int:
    """Sixty pictures, no votes."""
    with db.write() as session:
        dataset = register(session, tmp_path / "faces", truth)
        add_people(session, 3)
        return dataset.id


def cast(db: Database, dataset_id: int, answers: dict[str, list[str]]) -> None:
    with db.write() as session:
        people = list(session.scalars(select(Annotator).order_by(Annotator.id)))
        dataset = session.get_one(Dataset, dataset_id)
        vote(session, dataset, answers, people)


@pytest.fixture
def voted(db: Database, dataset_id: int, truth: dict[str, str]) -> int:
    """The first 18 pictures have three true votes each."""
    cast(db, dataset_id, {name: [label] * 3 for name, label in list(truth.items())[:LABELLED]})
    return dataset_id


def proposals(db: Database, run_id: int) -> dict[str, tuple[float, float, float]]:
    with db.read() as session:
        rows = session.execute(
            select(Image.filename, Proposal.p_left, Proposal.p_center, Proposal.p_right)
            .join(Proposal, Proposal.image_id == Image.id)
            .where(Proposal.model_run_id == run_id)
        )
        return {filename: (left, center, right) for filename, left, center, right in rows}


def count_proposals(db: Database) -> dict[int, int]:
    with db.read() as session:
        rows = session.execute(
            select(Proposal.model_run_id, func.count()).group_by(Proposal.model_run_id)
        )
        return dict(rows.all())


def only_run(db: Database) -> ModelRun:
    with db.read() as session:
        return session.scalars(select(ModelRun)).one()


def test_proposes_the_true_side_for_every_image(
    db: Database, voted: int, truth: dict[str, str]
) -> None:
    seen: list[tuple[int, int]] = []
    result = train_and_propose(db, voted, lambda done, total: seen.append((done, total)))
    found = proposals(db, result.run_id)
    assert set(found) == set(truth)
    right = [LABELS[p.index(max(p))] == truth[name] for name, p in found.items()]
    assert sum(right) >= 57
    assert seen[-1] == (60, 60)
    assert result.n_proposed == 60
    assert result.unreadable == []


def test_images_without_a_face_get_equal_chances_and_are_counted(
    db: Database, voted: int, tmp_path: Path
) -> None:
    """One of them has votes, so it cannot teach; the others are proposed as ever."""
    set_rules(db, method="posterior", order="uncertain")
    faceless = ["face000.png", "face050.png"]
    for name in faceless:
        blank = Picture.new("RGB", (300, 200), (90, 90, 90))
        blank.save(tmp_path / "faces" / name)
    result = train_and_propose(db, voted)
    found = proposals(db, result.run_id)
    assert len(found) == 60
    assert [found[name] for name in faceless] == [pytest.approx((1 / 3,) * 3)] * 2
    told = {name: result.metrics[name] for name in ("n_without_face", "n_training_without_face")}
    assert told == {"n_without_face": 2, "n_training_without_face": 1}
    assert result.metrics["n_training"] == LABELLED - 1
    assert sum(result.metrics["directions"]) == 58
    with db.read() as session:
        rows = session.execute(
            select(Image.filename, Proposal.n_faces, Proposal.azimuth_deg, Proposal.strength)
            .join(Proposal, Proposal.image_id == Image.id)
            .where(Proposal.model_run_id == result.run_id)
        ).all()
        asked = session.scalars(
            select(Image.filename)
            .join(Proposal, Proposal.image_id == Image.id)
            .where(Proposal.model_run_id == result.run_id, Proposal.ask.is_not(None))
        ).all()
    for name, n_faces, azimuth, strength in rows:
        known = (n_faces, azimuth is None, strength is None)
        assert known == ((0, True, True) if name in faceless else (1, False, False))
    assert "face050.png" not in asked
    with db.write() as session:
        rebuild(session, voted)
    assert max(_urgency(db, name) for name in asked) < 0
    assert _urgency(db, "face050.png") > 0  # 0 is the largest doubt without a rank


def _urgency(db: Database, name: str) -> int:
    """The place of an image in the queue of the order `uncertain`; small is early."""
    with db.read() as session:
        row = session.scalars(
            select(Consensus)
            .join(Image, Image.id == Consensus.image_id)
            .where(Image.filename == name)
        ).one()
        return row.priority


def test_the_direction_follows_the_light(db: Database, voted: int, truth: dict[str, str]) -> None:
    result = train_and_propose(db, voted)
    with db.read() as session:
        rows = session.execute(
            select(Image.filename, Proposal.azimuth_deg)
            .join(Proposal, Proposal.image_id == Image.id)
            .where(Proposal.model_run_id == result.run_id)
        ).all()
    mean = {
        label: np.mean([azimuth for name, azimuth in rows if truth[name] == label])
        for label in LABELS
    }
    assert mean["left"] < -20 < mean["center"] < 20 < mean["right"]


def test_published_run_tells_how_it_was_made(db: Database, voted: int) -> None:
    result = train_and_propose(db, voted)
    with db.read() as session:
        run = current_run(session, voted)
    assert run is not None
    assert (run.id, run.status, run.problem) == (result.run_id, "published", None)
    assert run.metrics == result.metrics
    assert run.metrics["n_training"] == run.metrics["n_agreed"] == LABELLED
    assert run.metrics["cross_validation"]["n_per_label"] == [6, 6, 6]
    assert run.metrics["cross_validation"]["accuracy"] > 0.8
    assert sum(run.metrics["mean_probabilities"].values()) == pytest.approx(1)
    assert run.settings["inverse_penalty"] > 0


def test_same_votes_give_the_same_proposals(db: Database, voted: int) -> None:
    first, second = train_and_propose(db, voted), train_and_propose(db, voted)
    assert first.run_id != second.run_id
    assert proposals(db, first.run_id) == proposals(db, second.run_id)


def test_proposes_nothing_before_any_vote(db: Database, dataset_id: int) -> None:
    with pytest.raises(Conflict, match="0 image"):
        train_and_propose(db, dataset_id)
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(ModelRun)) == 0
        assert current_run(session, dataset_id) is None


@pytest.mark.parametrize(
    ("answers", "missing"),
    [
        ({f"face{i:03d}.png": ["left"] for i in range(7)}, "7 image.* labelled left.* different"),
        ({"face000.png": ["left"], "face001.png": ["center"]}, "2 image.* labelled center or left"),
        ({f"face{i:03d}.png": ["unsure"] for i in range(9)}, "0 image"),
        ({f"face{i:03d}.png": ["left", "right"] for i in range(9)}, "0 image"),
    ],
)
def test_says_what_is_missing(
    db: Database, dataset_id: int, answers: dict[str, list[str]], missing: str
) -> None:
    cast(db, dataset_id, answers)
    with pytest.raises(Conflict, match=missing):
        train_and_propose(db, dataset_id)


def test_teaching_labels_and_shares(db: Database, dataset_id: int) -> None:
    cast(
        db,
        dataset_id,
        {
            "face000.png": ["left", "left", "center"],  # agreed
            "face001.png": ["center"],  # open, one vote
            "face002.png": ["right", "right", "unsure"],  # agreed: 2 of 2 that name a label
            "face003.png": ["left", "unsure"],  # open
            "face004.png": ["left", "center", "right"],  # contested
            "face005.png": ["left", "unsure", "unsure"],  # contested
            "face006.png": ["unsure"],
        },
    )
    with db.read() as session:
        taught = select_training(session, dataset_id)
    assert [(each.filename, each.label, each.sure) for each in taught] == [
        ("face000.png", "left", True),
        ("face001.png", "center", False),
        ("face002.png", "right", True),
        ("face003.png", "left", False),
        ("face004.png", "center", False),  # who sees light from a side is wrong more often
        ("face005.png", "left", False),
    ]
    surest = {each.filename: max(each.shares) for each in taught}
    assert surest["face002.png"] > surest["face000.png"] > 0.8
    by_one = [row[LABELS.index("center")] for row in DEFAULT_CONFUSION]
    assert surest["face001.png"] == pytest.approx(max(by_one) / sum(by_one))
    for each in taught:
        assert sum(each.shares) == pytest.approx(1)
        # From thirds the likelihood is the posterior up to a factor.
        assert np.allclose(np.array(each.likelihood) / sum(each.likelihood), each.shares)


def test_proposals_never_teach_themselves(db: Database, voted: int) -> None:
    """Where the model counts in the consensus, the next run still learns from votes alone."""
    set_rules(db, method="posterior", use_model=True)
    with db.read() as session:
        before = select_training(session, voted)
    train_and_propose(db, voted)
    refresh_campaign(db, voted, all_images=True)
    with db.read() as session:
        counted = session.scalars(select(Consensus.p_left).order_by(Consensus.image_id)).all()
        after = select_training(session, voted)
    assert len({round(p, 6) for p in counted}) > 10  # the model does count
    taught = {each.filename: each.label for each in before}
    assert {each.filename: each.label for each in after} == taught


def test_pictures_of_one_person_share_a_group(db: Database, voted: int) -> None:
    with db.write() as session:
        known = Image.filename.in_(["face000.png", "face001.png"])
        session.execute(update(Image).where(known).values(identity=4))
    with db.read() as session:
        groups = [each.group for each in select_training(session, voted)]
    assert groups[0] == groups[1] == 4
    assert len(set(groups)) == LABELLED - 1


def test_never_learns_from_proposals(db: Database, voted: int) -> None:
    first = train_and_propose(db, voted)
    with db.write() as session:  # proposals that are as wrong as can be
        session.execute(
            update(Proposal)
            .where(Proposal.model_run_id == first.run_id)
            .values(p_left=0.0, p_center=1.0, p_right=0.0)
        )
    second = train_and_propose(db, voted)
    assert second.metrics["n_training"] == LABELLED
    assert second.metrics["mean_probabilities"] == first.metrics["mean_probabilities"]


def test_damaged_and_vanished_images_get_no_proposal(
    db: Database, voted: int, tmp_path: Path
) -> None:
    (tmp_path / "faces/face050.png").write_bytes(b"")
    (tmp_path / "faces/face051.png").unlink()
    (tmp_path / "faces/face000.png").write_bytes(b"no image")
    with db.write() as session:
        broken = Image.filename == "face052.png"
        session.execute(update(Image).where(broken).values(status="broken", problem="truncated"))
    result = train_and_propose(db, voted)
    assert len(result.unreadable) == 3
    assert result.n_proposed == 56
    assert result.metrics["n_training"] == LABELLED - 1
    assert not {"face050.png", "face051.png", "face052.png"} & set(proposals(db, result.run_id))


def test_missing_folder_fails_the_run_and_keeps_the_last_one(
    db: Database, voted: int, tmp_path: Path
) -> None:
    good = train_and_propose(db, voted)
    (tmp_path / "faces").rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match="faces"):
        train_and_propose(db, voted)
    with db.read() as session:
        current = current_run(session, voted)
        failed = session.scalars(select(ModelRun).order_by(ModelRun.id.desc())).first()
    assert current is not None
    assert current.id == good.run_id
    assert failed is not None
    assert failed.status == "failed"
    assert "DatasetError" in (failed.problem or "")


@pytest.mark.slow
def test_interrupt_fails_the_run_and_its_proposals_go_later(db: Database, voted: int) -> None:
    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_and_propose(db, voted, interrupt)
    failed = only_run(db)
    assert (failed.status, failed.published_at) == ("failed", None)
    assert count_proposals(db) == {failed.id: 60}
    result = train_and_propose(db, voted)
    assert count_proposals(db) == {result.run_id: 60}


def test_nobody_sees_the_run_before_it_is_complete(db: Database, voted: int) -> None:
    first = train_and_propose(db, voted)

    def look(_done: int, _total: int) -> None:
        with db.read() as session:
            current = current_run(session, voted)
        assert current is not None
        assert current.id == first.run_id

    train_and_propose(db, voted, look)


def test_people_can_vote_while_it_works(db: Database, voted: int) -> None:
    """The progress callback runs between the chunks: no transaction is open then."""
    train_and_propose(db, voted, lambda _d, _t: cast(db, voted, {"face059.png": ["right"]}))
    with db.read() as session:
        votes = session.scalar(select(Consensus.votes_right).where(Consensus.image_id == 60))
    assert votes == 1


@pytest.mark.slow
def test_old_proposals_are_pruned_and_runs_stay(db: Database, voted: int) -> None:
    runs = [train_and_propose(db, voted).run_id for _ in range(KEEP_RUNS + 2)]
    assert sorted(count_proposals(db)) == runs[-KEEP_RUNS:]
    with db.read() as session:
        assert sorted(session.scalars(select(ModelRun.id))) == runs


def test_run_of_a_process_that_is_gone_is_closed(db: Database, voted: int) -> None:
    old = start_run(db, voted, "test", {})
    with db.write() as session:
        long_ago = utc_now() - 2 * ABANDONED_AFTER
        session.execute(update(ModelRun).values(beat_at=long_ago))
    young = start_run(db, voted, "test", {})
    with db.read() as session:
        assert dict(session.execute(select(ModelRun.id, ModelRun.status)).all()) == {
            old: "failed",
            young: "training",
        }
    with pytest.raises(Conflict, match="was stopped or has failed"):
        publish_run(db, old, {})


def test_unreadable_teachers_fail_clearly(db: Database, voted: int, tmp_path: Path) -> None:
    for path in (tmp_path / "faces").iterdir():
        path.write_bytes(b"x")
    with pytest.raises(BrokenData, match=r"18 of the 18 labelled images .* face000\.png"):
        train_and_propose(db, voted)
    assert only_run(db).status == "failed"


def test_unknown_data_set(db: Database) -> None:
    with pytest.raises(NotFound):
        train_and_propose(db, 12345)


@pytest.mark.slow
def test_processes_give_the_same_features_in_the_same_order(tmp_path: Path) -> None:
    labels = cycle_labels(12)
    write_faces(tmp_path, labels)
    (tmp_path / "face003.png").write_bytes(b"broken")
    names = (list(labels) * (FEW // 12 + 2))[: FEW + 20]
    known = dict.fromkeys(names, LANDMARKS)
    alone = list(extract_features(str(tmp_path), names, processes=1, landmarks=known))
    together = list(extract_features(str(tmp_path), names, processes=2, landmarks=known))
    assert len(alone) == len(together) == -(-len(names) // CHUNK)
    for one, other in zip(alone, together, strict=True):
        assert one.positions == other.positions
        assert one.unreadable == other.unreadable
        assert (one.features == other.features).all()
    positions = [position for chunk in together for position in chunk.positions]
    assert [names[position] for position in positions] == [n for n in names if n != "face003.png"]


@pytest.mark.slow
@pytest.mark.postgres
def test_works_on_postgresql(postgres_db: Database, tmp_path: Path, truth: dict[str, str]) -> None:
    with postgres_db.write() as session:
        dataset_id = register(session, tmp_path / "faces", truth).id
        add_people(session, 1)
    cast(postgres_db, dataset_id, {name: [truth[name]] for name in list(truth)[:LABELLED]})
    runs = [train_and_propose(postgres_db, dataset_id).run_id for _ in range(KEEP_RUNS + 1)]
    assert count_proposals(postgres_db) == dict.fromkeys(runs[1:], 60)
    with postgres_db.read() as session:
        current = current_run(session, dataset_id)
    assert current is not None
    assert current.id == runs[-1]
