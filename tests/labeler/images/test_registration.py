"""Registering data sets, checking their images, and reading them for the browser."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from sqlalchemy import func, select

from labeler.assignment.leases import lease_images
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import BrokenData, Conflict, Forbidden, NotFound
from labeler.images.checking import check_images
from labeler.images.converted import ConvertedPictures
from labeler.images.head_pose import estimate_yaw
from labeler.images.registration import activate_dataset, register_dataset
from labeler.images.serving import find_image
from labeler.models.consensus import Consensus
from labeler.models.images import Dataset, Image
from labeler.models.voting import Vote
from labeler.voting.service import SubmittedAnswer, cast_vote
from rotation.errors import DatasetError
from tests.conftest import MakeAnnotator, MakeDataset, write_images

ATTRIBUTES = "2\nBald Male Young\n000001.jpg -1 1 1\n000003.jpg 1 -1 -1\n000009.jpg 1 1 1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_images(tmp_path / "faces", 5)


def images_of(db: Database, dataset_id: int) -> dict[str, Image]:
    with db.read() as session:
        rows = session.scalars(select(Image).where(Image.dataset_id == dataset_id))
        return {image.filename: image for image in rows}


def queue_of(db: Database) -> set[int]:
    with db.read() as session:
        return set(session.scalars(select(Consensus.image_id)))


def test_size_hash_and_text_files_are_recorded(any_db: Database, folder: Path) -> None:
    (folder / "list_attr_celeba.txt").write_text(ATTRIBUTES)
    (folder / "identity_CelebA.txt").write_text("000001.jpg 17\n")
    (folder / "list_eval_partition.csv").write_text("image_id,partition\n000001.jpg,2\n")
    (folder / "list_landmarks_align_celeba.txt").write_text("000001.jpg 1 2 3 4 5 6 7 8 9 10\n")
    report = register_dataset(any_db, folder)
    assert (report.name, report.added, report.attributes) == ("faces", 5, 3)
    found = images_of(any_db, report.dataset_id)
    data = (folder / "000001.jpg").read_bytes()
    first, second = found["000001.jpg"], found["000002.jpg"]
    assert (first.byte_size, first.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (first.identity, first.partition) == (17, 2)
    assert first.landmarks == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert (first.yaw_deg, second.yaw_deg) == (estimate_yaw([first.landmarks])[0], None)
    assert first.attribute_bits == 0b110  # not bald, male, young: the first name is the lowest bit
    assert (second.attribute_bits, second.identity, second.landmarks) == (None, None, None)
    assert any("1 rows are about images that are not here" in text for text in report.problems)
    assert any("3 images have no row in it" in text for text in report.problems)


def test_registering_again_changes_nothing(db: Database, folder: Path) -> None:
    first = register_dataset(db, folder)
    before = images_of(db, first.dataset_id)
    again = register_dataset(db, folder)
    assert (again.dataset_id, again.added, again.changed, again.unchanged) == (
        first.dataset_id,
        0,
        0,
        5,
    )
    after = images_of(db, first.dataset_id)
    assert {name: image.id for name, image in after.items()} == {
        name: image.id for name, image in before.items()
    }


def test_an_import_that_was_stopped_goes_on(
    db: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StoppedError(Exception):
        """Not an error that anything handles."""

    def cut(done: int, total: int) -> None:
        if done >= 4:
            raise StoppedError

    monkeypatch.setattr("labeler.images.registration.BATCH", 2)
    with pytest.raises(StoppedError):
        register_dataset(db, folder, progress=cut)
    with db.read() as session:
        assert session.scalar(select(Dataset.active)) is False
    report = register_dataset(db, folder)
    assert (report.added, report.unchanged) == (1, 4)
    assert sorted(images_of(db, report.dataset_id)) == [f"{i:06d}.jpg" for i in range(1, 6)]


def test_new_text_files_change_the_rows_but_not_the_status(db: Database, folder: Path) -> None:
    dataset_id = register_dataset(db, folder).dataset_id
    check_images(db, dataset_id, processes=1)
    (folder / "list_attr_celeba.txt").write_text(ATTRIBUTES)
    report = register_dataset(db, folder)
    assert (report.changed, report.unchanged) == (2, 3)
    assert {image.status for image in images_of(db, dataset_id).values()} == {"ok"}
    assert len(queue_of(db)) == 5


def test_a_file_with_new_content_is_checked_anew_and_loses_its_votes(
    db: Database, settings: Settings, make_annotator: MakeAnnotator, folder: Path
) -> None:
    dataset_id = register_dataset(db, folder).dataset_id
    check_images(db, dataset_id, processes=1)
    ada = make_annotator(db)
    with db.write() as session:
        leased = lease_images(session, ada.id, 5, settings=settings)
        for number, one in enumerate(leased):
            ballot = SubmittedAnswer(one.image_id, "left", f"request-{number}")
            cast_vote(session, ada.id, ballot, settings=settings)
    shutil.copy(folder / "000002.jpg", folder / "000001.jpg")
    assert register_dataset(db, folder).changed == 1
    first = images_of(db, dataset_id)["000001.jpg"]
    assert first.status == "unchecked"
    assert first.id not in queue_of(db)
    check_images(db, dataset_id, processes=1)
    with db.read() as session:
        row = session.get_one(Consensus, (dataset_id, first.id))
        assert (row.priority, row.status) == (0, "open")
        current = select(func.count()).select_from(Vote).where(Vote.superseded_at.is_(None))
        assert session.scalar(current) == 4


def test_a_file_that_is_gone_leaves_the_queue_and_comes_back_with_its_votes(
    db: Database, settings: Settings, make_annotator: MakeAnnotator, folder: Path
) -> None:
    dataset_id = register_dataset(db, folder).dataset_id
    check_images(db, dataset_id, processes=1)
    ada = make_annotator(db)
    with db.write() as session:
        for number, one in enumerate(lease_images(session, ada.id, 5, settings=settings)):
            ballot = SubmittedAnswer(one.image_id, "left", f"request-{number}")
            cast_vote(session, ada.id, ballot, settings=settings)
    (folder / "000001.jpg").rename(folder / "away.bak")
    report = register_dataset(db, folder)
    assert (report.gone, report.total) == (1, 4)
    first = images_of(db, dataset_id)["000001.jpg"]
    assert (first.status, first.problem) == ("broken", "no longer in the data set")
    assert first.id not in queue_of(db)
    (folder / "away.bak").rename(folder / "000001.jpg")
    register_dataset(db, folder)
    check_images(db, dataset_id, processes=1)
    with db.read() as session:
        assert session.get_one(Consensus, (dataset_id, first.id)).votes_left == 1


def damaged_zip(folder: Path, path: Path, damaged: str = "") -> Path:
    """The files of the folder, stored as they are; the bytes of one are spoilt."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    if damaged:
        whole = (folder / damaged).read_bytes()
        path.write_bytes(path.read_bytes().replace(whole, whole[:-40] + bytes(40)))
    return path


def test_a_file_that_cannot_be_read_for_a_time_keeps_its_votes(
    any_db: Database, settings: Settings, make_annotator: MakeAnnotator, tmp_path: Path
) -> None:
    folder = write_images(tmp_path / "faces", 2)
    path = damaged_zip(folder, tmp_path / "faces.zip")
    dataset_id = register_dataset(any_db, path).dataset_id
    check_images(any_db, dataset_id, processes=1)
    ada = make_annotator(any_db)
    with any_db.write() as session:
        for number, one in enumerate(lease_images(session, ada.id, 2, settings=settings)):
            ballot = SubmittedAnswer(one.image_id, "left", f"request-{number}")
            cast_vote(session, ada.id, ballot, settings=settings)
    damaged_zip(folder, path, "000001.jpg")
    assert register_dataset(any_db, path).changed == 1
    assert register_dataset(any_db, path).unchanged == 2
    first = images_of(any_db, dataset_id)["000001.jpg"]
    assert first.status == "broken"
    assert first.id not in queue_of(any_db)
    damaged_zip(folder, path)
    assert register_dataset(any_db, path).changed == 1
    assert check_images(any_db, dataset_id, processes=1).checked == 1
    with any_db.read() as session:
        assert session.get_one(Consensus, (dataset_id, first.id)).votes_left == 1


def test_a_check_that_was_stopped_has_counted_the_earlier_votes(
    db: Database,
    settings: Settings,
    make_annotator: MakeAnnotator,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset_id = register_dataset(db, folder).dataset_id
    check_images(db, dataset_id, processes=1)
    ada = make_annotator(db)
    with db.write() as session:
        for number, one in enumerate(lease_images(session, ada.id, 5, settings=settings)):
            ballot = SubmittedAnswer(one.image_id, "left", f"request-{number}")
            cast_vote(session, ada.id, ballot, settings=settings)
    names = ("000001.jpg", "000002.jpg")
    for name in names:
        (folder / name).rename(folder / f"{name}.away")
    register_dataset(db, folder)
    for name in names:
        (folder / f"{name}.away").rename(folder / name)
    register_dataset(db, folder)
    monkeypatch.setattr("labeler.images.checking.CHUNK", 1)

    def stop(_done: int, _total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        check_images(db, dataset_id, stop, processes=1)
    check_images(db, dataset_id, processes=1)
    with db.read() as session:
        assert session.scalars(select(Consensus.votes_left)).all() == [1] * 5


def test_two_checks_at_once_let_each_image_in_once(any_db: Database, folder: Path) -> None:
    dataset_id = register_dataset(any_db, folder).dataset_id
    meanwhile: list[int] = []

    def check_beside(_done: int, _total: int) -> None:
        if not meanwhile:
            meanwhile.append(check_images(any_db, dataset_id, processes=1).checked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labeler.images.checking.CHUNK", 1)
        report = check_images(any_db, dataset_id, check_beside, processes=1)
    assert (meanwhile, report.checked, report.ok) == ([4], 5, 5)
    assert len(queue_of(any_db)) == 5


def test_a_picture_that_was_replaced_is_taken_out_of_all_hands(
    db: Database, settings: Settings, make_annotator: MakeAnnotator, folder: Path
) -> None:
    dataset_id = register_dataset(db, folder).dataset_id
    check_images(db, dataset_id, processes=1)
    ada = make_annotator(db)
    with db.write() as session:
        lease_images(session, ada.id, 5, settings=settings)
    shutil.copy(folder / "000002.jpg", folder / "000001.jpg")
    register_dataset(db, folder)
    check_images(db, dataset_id, processes=1)
    first = images_of(db, dataset_id)["000001.jpg"]
    with db.write() as session, pytest.raises(Forbidden):
        cast_vote(
            session, ada.id, SubmittedAnswer(first.id, "left", "request-1"), settings=settings
        )


def test_odd_names_are_told_and_do_not_stop_the_rest(any_db: Database, folder: Path) -> None:
    data = (folder / "000001.jpg").read_bytes()
    (folder / "12:30.jpg").write_bytes(data)
    (folder / "line\nbreak.jpg").write_bytes(data)
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.jpg")).write_bytes(data)
    deep = folder / "/".join(["d" * 100] * 4)
    deep.mkdir(parents=True)
    (deep / "x.jpg").write_bytes(data)
    (folder / "C:x.jpg").write_bytes(data)
    report = register_dataset(any_db, folder)
    told = "\n".join(report.problems)
    assert "1 images are left out, because their names are not UTF-8" in told
    assert "2 images are left out, because their names are longer" in told
    assert r"'line\nbreak.jpg'" in told
    assert r"'\udcff.jpg'" in told
    checked = check_images(any_db, report.dataset_id, processes=1)
    assert checked.ok == 5
    assert [name for name, _ in checked.broken] == ["12:30.jpg", "C:x.jpg"]


def test_broken_files_are_named_and_kept_out(any_db: Database, folder: Path) -> None:
    whole = (folder / "000001.jpg").read_bytes()
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_bytes(b"not a picture")
    dataset_id = register_dataset(any_db, folder).dataset_id
    calls: list[tuple[int, int]] = []
    report = check_images(any_db, dataset_id, lambda *call: calls.append(call), processes=1)
    assert (report.checked, report.ok) == (8, 5)
    assert [name for name, _ in report.broken] == ["cut.jpg", "empty.jpg", "text.jpg"]
    assert all(name in problem for name, problem in report.broken)
    assert calls[-1] == (8, 8)
    found = images_of(any_db, dataset_id)
    assert queue_of(any_db) == {image.id for image in found.values() if image.status == "ok"}
    assert (found["000001.jpg"].width, found["000001.jpg"].height) == (20, 24)
    again = check_images(any_db, dataset_id, processes=1)
    assert (again.checked, again.ok, len(again.broken)) == (0, 5, 3)


def test_an_entry_damaged_in_the_zip_does_not_stop_the_rest(db: Database, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "faces", 3)
    path = damaged_zip(folder, tmp_path / "faces.zip", "000002.jpg")
    dataset_id = register_dataset(db, path).dataset_id
    report = check_images(db, dataset_id, processes=1)
    assert report.ok == 2
    assert [name for name, _ in report.broken] == ["000002.jpg"]
    assert register_dataset(db, path).unchanged == 3


def test_several_processes_find_the_same(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labeler.images.checking.FEW", 2)
    monkeypatch.setattr("labeler.images.checking.CHUNK", 4)
    folder = write_images(tmp_path / "faces", 13)
    (folder / "000007.jpg").write_bytes(b"broken")
    dataset_id = register_dataset(db, folder).dataset_id
    report = check_images(db, dataset_id, processes=2)
    assert (report.checked, report.ok) == (13, 12)
    assert len(queue_of(db)) == 12


def test_checking_an_unknown_data_set_is_refused(db: Database) -> None:
    with pytest.raises(NotFound, match="no data set with the number 7"):
        check_images(db, 7)


def test_several_data_sets_are_active(any_db: Database, tmp_path: Path) -> None:
    for name in ("one", "two"):
        register_dataset(any_db, write_images(tmp_path / name, 1))
    register_dataset(any_db, write_images(tmp_path / "three", 1), activate=False)

    def active() -> list[str]:
        with any_db.read() as session:
            return list(
                session.scalars(select(Dataset.name).where(Dataset.active).order_by(Dataset.name))
            )

    assert active() == ["one", "two"]
    with any_db.write() as session:
        activate_dataset(session, "three")
    assert active() == ["one", "three", "two"]
    with any_db.write() as session, pytest.raises(NotFound, match="registered: one, three, two"):
        activate_dataset(session, "four")


def test_the_same_default_name_elsewhere_is_refused(db: Database, tmp_path: Path) -> None:
    first = register_dataset(db, write_images(tmp_path / "a" / "faces", 2))
    moved = write_images(tmp_path / "b" / "faces", 2)
    with pytest.raises(Conflict, match="Choose another name"):
        register_dataset(db, moved)
    report = register_dataset(db, moved, name="faces")
    assert (report.dataset_id, report.unchanged) == (first.dataset_id, 2)
    assert register_dataset(db, moved, name="others").dataset_id != first.dataset_id


def test_a_malformed_text_file_stops_before_anything_is_stored(db: Database, folder: Path) -> None:
    (folder / "identity_CelebA.txt").write_text("000001.jpg one\n")
    with pytest.raises(DatasetError, match=r"identity_CelebA\.txt, line 1"):
        register_dataset(db, folder)
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(Dataset)) == 0


def test_too_many_attributes_are_refused(db: Database, folder: Path) -> None:
    names = " ".join(f"A{i}" for i in range(64))
    (folder / "list_attr_celeba.txt").write_text(f"1\n{names}\n000001.jpg {'1 ' * 64}\n")
    with pytest.raises(BrokenData, match="64 attributes; at most 63"):
        register_dataset(db, folder)


def test_63_attributes_survive_the_packing(any_db: Database, folder: Path) -> None:
    names = [f"A{i}" for i in range(63)]
    (folder / "list_attr_celeba.txt").write_text(f"{' '.join(names)}\n000001.jpg {'1 ' * 63}\n")
    dataset_id = register_dataset(any_db, folder).dataset_id
    assert images_of(any_db, dataset_id)["000001.jpg"].attribute_bits == 2**63 - 1


def sent(db: Database, home: Path, image_id: int) -> tuple[bytes, str]:
    """What a browser gets of an image, and its MIME type."""
    with db.read() as session:
        found = find_image(session, image_id)
    return found.for_browser(ConvertedPictures(home))


def test_an_ordinary_picture_goes_out_unchanged(
    db: Database, tmp_path: Path, make_dataset: MakeDataset
) -> None:
    dataset_id = make_dataset(db)
    image = images_of(db, dataset_id)["000001.jpg"]
    data, mime = sent(db, tmp_path, image.id)
    assert mime == "image/jpeg"
    assert hashlib.sha256(data).hexdigest() == image.sha256


@pytest.mark.parametrize(
    ("kind", "mode", "mime"),
    [("TIFF", "RGB", "image/png"), ("JPEG", "CMYK", "image/jpeg"), ("PNG", "I;16", "image/png")],
)
def test_what_a_browser_cannot_show_is_converted(
    db: Database, tmp_path: Path, kind: str, mode: str, mime: str
) -> None:
    grey = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (16, 1))
    deep = Pillow.fromarray(grey.astype(np.uint16) * 257)
    picture = deep if mode == "I;16" else Pillow.fromarray(grey).convert(mode)
    folder = tmp_path / "odd"
    folder.mkdir()
    picture.save(folder / f"x.{kind.lower().replace('jpeg', 'jpg')}", kind)
    dataset_id = register_dataset(db, folder).dataset_id
    (image,) = images_of(db, dataset_id).values()
    data, found = sent(db, tmp_path, image.id)
    shown = Pillow.open(io.BytesIO(data))
    assert found == mime
    assert shown.mode in ("RGB", "L")
    assert np.abs(np.asarray(shown.convert("L")).astype(int) - grey).max() <= 6


def test_a_zip_that_was_replaced_shows_its_new_pictures(db: Database, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "faces", 2)
    path = damaged_zip(folder, tmp_path / "faces.zip")
    dataset_id = register_dataset(db, path).dataset_id
    for _ in range(2):
        image = images_of(db, dataset_id)["000001.jpg"]
        data, _mime = sent(db, tmp_path, image.id)
        assert hashlib.sha256(data).hexdigest() == image.sha256
        shutil.copy(folder / "000002.jpg", folder / "000001.jpg")
        path.unlink()
        damaged_zip(folder, path)
        register_dataset(db, path)


def test_a_picture_that_is_gone_is_a_clear_error(
    db: Database, tmp_path: Path, make_dataset: MakeDataset
) -> None:
    dataset_id = make_dataset(db)
    with db.read() as session:
        dataset = session.get_one(Dataset, dataset_id)
        image = session.scalars(select(Image)).first()
        assert image is not None
        os.unlink(Path(dataset.path) / image.filename)
    with pytest.raises(BrokenData, match=image.filename):
        sent(db, tmp_path, image.id)
    with pytest.raises(NotFound, match="no image 999"):
        sent(db, tmp_path, 999)
