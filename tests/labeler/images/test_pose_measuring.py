"""Poses measured on request: the numbers on the pages, the job, and the mean faces."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sqlalchemy import select, update

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import Conflict, NotFound
from labeler.images.checking import check_images
from labeler.images.pose_measuring import measure_missing_yaw
from labeler.images.registration import register_dataset
from labeler.mean_faces import files
from labeler.mean_faces.files import Options
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from rotation.demo_faces.dataset import write_faces
from tests.labeler.acting import waiting, work
from tests.labeler.conftest import Visit


def agree(db: Database, label: str = "left") -> None:
    """Give every image of the campaign a label."""
    with db.write() as session:
        session.execute(update(Consensus).values(status="agreed", label=label, probability=0.99))


def test_pages_say_how_many_poses_are_missing_and_queue_the_job(
    visit: Visit, db: Database, dataset_id: int
) -> None:
    boss = visit("supervisor")
    assert "6 images, no yaw known." in boss.get("/admin/data-sets").text
    agree(db)
    page = boss.get("/admin/mean-faces").text
    assert "6 labels, no yaw known." in page
    assert "Press “Measure poses” first" in page
    assert boss.submit("/admin/mean-faces").status_code == 409
    address = f"/admin/data-sets/{dataset_id}/poses"
    answer = boss.submit(address, {"back": "/admin/mean-faces"})
    assert (answer.status_code, answer.location) == (303, "/admin/mean-faces")
    boss.submit(address)
    assert waiting(db) == 1, "one measurement is enough"
    assert "Poses are being measured" in boss.get("/admin/mean-faces").text
    with db.write() as session:
        session.execute(update(Image).where(Image.id > 2).values(yaw_deg=3.0))
    page = boss.get("/admin/mean-faces").text
    assert "6 labels, 2 without a known yaw." in page
    assert "4 labels of images whose yaw is known" in page
    with db.write() as session:
        session.execute(update(Image).values(yaw_deg=3.0))
    assert "without a known yaw" not in boss.get("/admin/data-sets").text
    assert boss.submit(address).status_code == 409
    assert boss.submit("/admin/data-sets/99/poses").status_code == 404


def test_a_figure_of_nothing_is_not_drawn(
    db: Database, settings: Settings, dataset_id: int
) -> None:
    agree(db)
    with pytest.raises(Conflict, match="no labelled image has a known yaw"):
        files.make(db, settings.home, 1, Options())
    assert files.find(settings.home, 1, Options()) is None


def test_nothing_to_measure(db: Database, settings: Settings, dataset_id: int) -> None:
    with db.write() as session:
        session.execute(update(Image).values(yaw_deg=3.0))
    with pytest.raises(Conflict, match="known already"):
        measure_missing_yaw(db, settings.home, dataset_id)
    with pytest.raises(NotFound):
        measure_missing_yaw(db, settings.home, 99)


@pytest.mark.slow
def test_the_worker_measures_the_poses_of_faces(
    visit: Visit, db: Database, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "faces"
    write_faces(folder, 4)
    made = register_dataset(db, folder)
    check_images(db, made.dataset_id, processes=1)
    with db.write() as session:
        session.execute(update(Image).values(yaw_deg=None))
    before = "torch" in sys.modules  # by another test
    visit("admin").submit(f"/admin/data-sets/{made.dataset_id}/poses")
    work(settings)
    with db.read() as session:
        assert any(yaw is not None for yaw in session.scalars(select(Image.yaw_deg)))
    assert (settings.home / "poses").is_dir()
    assert ("torch" in sys.modules) == before, "torch stays in the process that measures"
