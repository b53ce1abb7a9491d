"""Going back to an older model run, and what depends on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sqlalchemy import delete, func, select, update

from labeler.cli.proposals import proposals as proposals_command
from labeler.config import Settings
from labeler.consensus.store import rebuild
from labeler.database.engine import Database
from labeler.errors import Conflict, NotFound
from labeler.light_classifier.face_features import N_ODD
from labeler.light_classifier.features import CELLS, CROP, FeatureKind
from labeler.light_classifier.mirror_logistic import MirrorLogistic
from labeler.light_classifier.storage import model_to_bytes
from labeler.light_classifier.training import METHOD
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.models.proposals import ModelRun, Proposal, Publication
from labeler.proposals.feature_cache import FeatureCache
from labeler.proposals.rollback import list_missing, restore_run
from labeler.proposals.runs import (
    KEEP_RUNS,
    current_run,
    previous_run,
    prune_proposals,
    publish_run,
    start_run,
)
from labeler.proposals.service import landmarks_of, propose
from labeler.proposals.training import FeatureReader
from labeler.quality.refresh import refresh_dataset
from tests.labeler.acting import set_rules
from tests.labeler.lit_faces import add_people, cycle_labels, register, write_faces

COUNT = 12


def biased(center: float, n_odd: int = N_ODD) -> MirrorLogistic:
    """A model that looks at the rendered heads' opinion alone, with a leaning to `center`."""
    odd = np.zeros(n_odd)
    odd[-1] = 0.1
    return MirrorLogistic(odd, np.zeros(2 * n_odd), np.zeros(2 * n_odd), 0.0, center)


def make_run(db: Database, dataset_id: int, center: float) -> int:
    """A published run with all its proposals."""
    run_id = start_run(db, dataset_id, METHOD, {})
    with db.read() as session:
        images = list(session.execute(select(Image.id, Image.filename).order_by(Image.filename)))
        path = images and session.scalars(select(Image)).first().dataset.path
        landmarks = landmarks_of(session, dataset_id)
    model, read = biased(center), FeatureReader(path, 1, None, landmarks)
    propose(db, run_id, read, [tuple(row) for row in images], model)
    publish_run(db, run_id, {}, model_to_bytes(model))
    return run_id


@pytest.fixture
def faces(any_db: Database, tmp_path: Path) -> int:
    labels = cycle_labels(COUNT)
    write_faces(tmp_path / "faces", labels)
    with any_db.write() as session:
        dataset = register(session, tmp_path / "faces", labels)
        add_people(session, 1)
    set_rules(any_db, method="posterior", use_model=True, order="uncertain")
    return dataset.id


def chances(db: Database, run_id: int) -> list[float]:
    with db.read() as session:
        rows = select(Proposal.p_center).where(Proposal.model_run_id == run_id)
        return list(session.scalars(rows.order_by(Proposal.image_id)))


def current_id(db: Database, dataset_id: int) -> int | None:
    with db.read() as session:
        run = current_run(session, dataset_id)
        return run.id if run else None


def test_an_older_run_becomes_current_and_the_newer_one_again(any_db: Database, faces: int) -> None:
    first, second = make_run(any_db, faces, -1.0), make_run(any_db, faces, 1.0)
    kept = chances(any_db, first)
    assert restore_run(any_db, first, 1) == 0
    assert (current_id(any_db, faces), chances(any_db, first)) == (first, kept)
    with any_db.read() as session:
        before = previous_run(session, faces)
    assert before is not None
    assert before.id == second
    restore_run(any_db, second)
    assert current_id(any_db, faces) == second
    with any_db.read() as session:
        log = session.execute(
            select(Publication.model_run_id, Publication.annotator_id).order_by(Publication.id)
        ).all()
    assert [tuple(row) for row in log] == [
        (first, None),
        (second, None),
        (first, 1),
        (second, None),
    ]


def test_what_depends_on_the_proposals_follows(any_db: Database, faces: int) -> None:
    first = make_run(any_db, faces, -1.0)
    refresh_dataset(any_db, faces)
    before = derived(any_db)
    make_run(any_db, faces, 2.0)
    refresh_dataset(any_db, faces)
    assert derived(any_db) != before
    restore_run(any_db, first)
    refresh_dataset(any_db, faces)
    assert derived(any_db) == before
    with any_db.write() as session:
        assert rebuild(session, 1) == 0


def derived(db: Database) -> list[tuple[float, int]]:
    with db.read() as session:
        rows = select(Consensus.p_center, Consensus.priority).order_by(Consensus.image_id)
        return [(round(p, 3), priority) for p, priority in session.execute(rows)]


def test_a_run_whose_proposals_are_gone_makes_the_same_again(
    any_db: Database, faces: int, tmp_path: Path
) -> None:
    first = make_run(any_db, faces, -1.0)
    kept = chances(any_db, first)
    for step in range(KEEP_RUNS):
        make_run(any_db, faces, float(step))
    prune_proposals(any_db, faces)
    assert chances(any_db, first) == []
    cache = FeatureCache(tmp_path / "features.sqlite3")
    assert restore_run(any_db, first, cache=cache) == COUNT
    assert current_id(any_db, faces) == first
    assert chances(any_db, first) == pytest.approx(kept, abs=1e-12)
    with any_db.read() as session:
        runs = session.scalar(select(func.count(Proposal.model_run_id.distinct())))
    assert runs == KEEP_RUNS


def test_images_that_came_later_are_proposed_too(any_db: Database, faces: int) -> None:
    first = make_run(any_db, faces, -1.0)
    with any_db.write() as session:
        session.execute(delete(Proposal).where(Proposal.image_id.in_([2, 5])))
    make_run(any_db, faces, 1.0)
    assert restore_run(any_db, first) == 2
    assert len(chances(any_db, first)) == COUNT


def test_nobody_sees_the_older_run_before_it_is_complete(any_db: Database, faces: int) -> None:
    first = make_run(any_db, faces, -1.0)
    second = make_run(any_db, faces, 1.0)
    with any_db.write() as session:
        session.execute(delete(Proposal).where(Proposal.model_run_id == first))
    seen = []
    restore_run(any_db, first, progress=lambda *_: seen.append(current_id(any_db, faces)))
    assert seen == [second]


def test_refusals(any_db: Database, faces: int) -> None:
    with pytest.raises(NotFound):
        restore_run(any_db, 7)
    first, second = make_run(any_db, faces, -1.0), make_run(any_db, faces, 1.0)
    with pytest.raises(Conflict, match="already the current one"):
        restore_run(any_db, second)
    training = start_run(any_db, faces, METHOD, {})
    with pytest.raises(Conflict, match="never published"):
        restore_run(any_db, training)
    with any_db.write() as session:
        session.execute(delete(Proposal).where(Proposal.model_run_id == first))
        session.execute(update(ModelRun).where(ModelRun.id == first).values(method="older"))
    with pytest.raises(Conflict, match="no stored model"):
        restore_run(any_db, first)
    assert current_id(any_db, faces) == second


@pytest.mark.parametrize(
    ("method", "kind"), [("mirror-logistic-2", CROP), ("mirror-logistic-3", CELLS)]
)
def test_a_run_of_a_former_method_makes_its_proposals_again(
    any_db: Database, faces: int, method: str, kind: FeatureKind
) -> None:
    """Its model knows other features, which are read for it."""
    first = make_run(any_db, faces, -1.0)
    make_run(any_db, faces, 1.0)
    former = model_to_bytes(biased(-1.0, kind.n_odd))
    with any_db.write() as session:
        changed = {"method": method, "model": former}
        session.execute(update(ModelRun).where(ModelRun.id == first).values(changed))
        session.execute(delete(Proposal).where(Proposal.model_run_id == first))
    assert restore_run(any_db, first) == COUNT
    made = chances(any_db, first)
    assert len(made) == COUNT
    assert len(set(made)) > 1


def test_a_run_without_a_model_goes_by_the_proposals_it_has(any_db: Database, faces: int) -> None:
    first = make_run(any_db, faces, -1.0)
    make_run(any_db, faces, 1.0)
    with any_db.write() as session:
        session.execute(update(ModelRun).where(ModelRun.id == first).values(model=None))
        session.execute(delete(Proposal).where(Proposal.image_id == 3))
    with any_db.read() as session:
        assert list_missing(session, session.get_one(ModelRun, first)) == []
    assert restore_run(any_db, first) == 0
    assert current_id(any_db, faces) == first


def test_commands(
    db: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIDELIGHT_HOME", str(settings.home))
    monkeypatch.setenv("SIDELIGHT_DATABASE_URL", settings.database_url)
    labels = cycle_labels(COUNT)
    write_faces(tmp_path / "faces", labels)
    with db.write() as session:
        dataset_id = register(session, tmp_path / "faces", labels).id
    runner = CliRunner()
    assert "There is no model run" in runner.invoke(proposals_command, ["runs"]).output
    make_run(db, dataset_id, -1.0)
    refused = runner.invoke(proposals_command, ["rollback"])
    assert "no other published run" in str(refused.exception)
    make_run(db, dataset_id, 1.0)
    done = runner.invoke(proposals_command, ["rollback"], catch_exceptions=False)
    assert "Run 1 is current. 0 of" in done.output
    listed = runner.invoke(proposals_command, ["runs"], catch_exceptions=False).output.splitlines()
    assert [line[:7] for line in listed] == ["  run 2", "* run 1"]
    assert f"{COUNT} proposals kept" in listed[1]
    runner.invoke(proposals_command, ["rollback", "2"], catch_exceptions=False)
    assert current_id(db, dataset_id) == 2
