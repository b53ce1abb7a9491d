"""Uploads: in pieces, continued, cancelled, within limits, and registered by the worker."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from labeler.app import create_app
from labeler.audit.log import Actor
from labeler.backup.service import create_backup
from labeler.campaigns.archive import archive_campaign
from labeler.campaigns.deletion import mark_deleted
from labeler.campaigns.service import CampaignPlan, add_campaign
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.doctor.service import examine
from labeler.errors import StorageFull, WrongOffset
from labeler.image_imports import service as imports
from labeler.image_imports.service import NewUpload
from labeler.image_imports.storage import UploadedFile, UploadFolder
from labeler.images.pose_measuring import FOLDER
from labeler.jobs import kinds
from labeler.models.audit import AuditEvent
from labeler.models.campaigns import Campaign
from labeler.models.image_imports import ImageImport
from labeler.models.images import Dataset, Image
from labeler.models.subsets import Subset
from labeler.subsets.service import import_names
from tests.conftest import MakeAnnotator
from tests.labeler.acting import at_once, work
from tests.labeler.conftest import Browser, Visit
from tests.labeler.faults import small_disk
from tests.labeler.image_imports.uploading import (
    begin,
    finish,
    image_bytes,
    make_zip,
    send_piece,
    upload,
)
from tests.labeler.lit_faces import write_landmarks

GOOD = {"name": "class", "files": [{"name": "a.zip", "size": 100}], "fingerprint": ""}


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """A zip file of four images and one broken file."""
    return make_zip([*image_bytes(tmp_path / "sent", 4), ("bad.jpg", b"no image")])


@pytest.fixture
def admin(visit: Visit) -> Browser:
    return visit("admin")


def message(answer: object) -> str:
    return str(answer.get_json()["error"]["message"])  # type: ignore[attr-defined]


def pictures(settings: Settings) -> list[Path]:
    return [path for path in (settings.home / "pictures").rglob("*") if path.is_file()]


def test_an_upload_becomes_a_data_set(
    admin: Browser, content: bytes, db: Database, settings: Settings
) -> None:
    import_id = upload(admin, "class", content)
    page = admin.get(f"/admin/data-sets/imports/{import_id}").text
    assert "The images are being checked" in page
    work(settings)
    page = admin.get(f"/admin/data-sets/imports/{import_id}").text
    assert "4 images have been added" in page
    assert "bad.jpg" in page
    with db.read() as session:
        dataset = session.scalars(select(Dataset)).one()
        assert dataset.name == "class"
        assert not session.scalars(select(Campaign)).all(), "nobody is assigned its images yet"
        states = dict(session.execute(select(Image.filename, Image.status)).all())
    assert states["bad.jpg"] == "broken"
    assert list(states.values()).count("ok") == 4
    assert [path.name for path in pictures(settings) if path.suffix == ".zip"] == ["images.zip"]
    assert Path(dataset.path).read_bytes() == content
    assert Path(dataset.path).stat().st_mode & 0o077 == 0
    assert f"/admin/campaigns/new?dataset={dataset.id}" in admin.get("/admin/data-sets").text


def test_annotation_files_beside_the_zip_are_read(
    admin: Browser, tmp_path: Path, db: Database, settings: Settings
) -> None:
    images = image_bytes(tmp_path / "sent", 2)
    write_landmarks(tmp_path, [name for name, _ in images])
    table = (tmp_path / "list_landmarks_align_celeba.csv").read_bytes()
    packed = make_zip(images)
    sizes = [("Faces.ZIP", len(packed)), ("list_landmarks_align_celeba.csv", len(table))]
    files = [{"name": name, "size": size} for name, size in sizes]
    import_id = begin(admin, "class", 0, files=files).get_json()["id"]
    both = packed + table
    middle = len(packed) - 3  # one piece reaches from one file into the next
    assert send_piece(admin, import_id, 0, both[:middle]).status_code == 200
    assert send_piece(admin, import_id, middle, both[middle:]).status_code == 200
    finish(admin, import_id)
    work(settings)
    with db.read() as session:
        assert [image.yaw_deg is not None for image in session.scalars(select(Image))] == [True] * 2


def test_an_upload_continues_where_it_was(
    admin: Browser, content: bytes, settings: Settings
) -> None:
    import_id = begin(admin, "class", len(content)).get_json()["id"]
    send_piece(admin, import_id, 0, content[:1000])
    wrong = send_piece(admin, import_id, 2000, content[2000:])
    assert (wrong.status_code, wrong.get_json()["offset"]) == (409, 1000)
    again = send_piece(admin, import_id, 0, content[:1000])
    assert (again.status_code, again.get_json()["offset"]) == (409, 1000)
    assert finish(admin, import_id).status_code == 409

    restarted = create_app(settings)  # another process of the site, with nothing but the disk
    after = Browser(restarted.test_client(), admin.annotator_id)
    with admin.client.session_transaction() as old, after.client.session_transaction() as new:
        new["token"] = old["token"]
    [found] = after.get("/admin/data-sets/imports/unfinished").get_json()["uploads"]
    assert (found["id"], found["offset"], found["fingerprint"]) == (import_id, 1000, "ab12")
    assert "1000" in after.get(f"/admin/data-sets/imports/{import_id}/offset").text
    assert send_piece(after, import_id, 1000, content[1000:]).status_code == 200
    assert finish(after, import_id).status_code == 200
    assert finish(after, import_id).status_code == 409
    restarted.extensions["sidelight_db"].dispose()


def test_pieces_of_two_tabs_do_not_mix(
    db: Database, settings: Settings, content: bytes, make_annotator: MakeAnnotator
) -> None:
    by = Actor(make_annotator(db, role="admin").id)
    wanted = NewUpload("class", [UploadedFile("x.zip", len(content))])
    import_id = imports.begin_upload(db, settings, wanted, by)
    piece = 512

    def tab(_number: int) -> int:
        here = 0
        while here < len(content):
            try:
                here = imports.receive(
                    db, settings, import_id, here, content[here : here + piece], by
                )
            except WrongOffset as error:
                here = error.offset
        return here

    assert at_once(tab, 4) == [len(content)] * 4
    with db.write() as session:
        made = imports.finish_upload(session, settings, import_id, by)
        assert imports.place_of(settings, made).read_bytes() == content


def test_two_uploads_at_once(
    admin: Browser, visit: Visit, content: bytes, db: Database, settings: Settings
) -> None:
    other = visit("admin")
    one = begin(admin, "one", len(content)).get_json()["id"]
    two = begin(other, "two", len(content)).get_json()["id"]
    assert begin(other, "one", 5).status_code == 409
    for start in range(0, len(content), 1000):
        for browser, number in ((admin, one), (other, two)):
            send_piece(browser, number, start, content[start : start + 1000])
    assert send_piece(other, one, len(content), b"x").status_code == 404, "somebody else's upload"
    assert finish(other, one).status_code == 404
    assert admin.get("/admin/data-sets/imports/unfinished").get_json()["uploads"][0]["id"] == one
    finish(admin, one)
    finish(other, two)
    work(settings)
    with db.read() as session:
        assert set(session.scalars(select(Dataset.name))) == {"one", "two"}


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"name": 7}, 422, "send a text"),
        ({"name": " "}, 422, "enter 1 to 100 characters"),
        ({"name": "x" * 101}, 422, "1 to 100"),
        ({"name": "faces"}, 409, "Choose another name"),
        ({"files": []}, 422, "one zip file"),
        ({"files": [{"name": "a.txt", "size": 3}]}, 422, "one zip file"),
        ({"files": [{"name": "a.zip", "size": 3}] * 2}, 422, "one zip file"),
        (
            {"files": [{"name": "a.zip", "size": 3}, {"name": "../../b.txt", "size": 3}]},
            422,
            "is not an annotation file",
        ),
        ({"files": [{"name": "a.zip", "size": 0}]}, 422, "is empty"),
        ({"files": [{"name": "a.zip", "size": -1}]}, 422, "size"),
        ({"files": [{"name": "a.zip", "size": 10**13}]}, 422, "SIDELIGHT_UPLOAD_MB"),
        ({"files": "a.zip"}, 422, "send a list"),
        ({"fingerprint": "../x"}, 422, "hexadecimal"),
    ],
)
def test_what_cannot_begin(
    admin: Browser, dataset_id: int, changes: dict[str, object], status: int, words: str
) -> None:
    answer = admin.send("/admin/data-sets/imports", GOOD | changes)
    assert answer.status_code == status
    assert words in message(answer)


def test_more_bytes_than_announced_are_refused(admin: Browser) -> None:
    import_id = begin(admin, "class", 10).get_json()["id"]
    answer = send_piece(admin, import_id, 0, b"x" * 11)
    assert answer.status_code == 422
    assert "it has changed" in message(answer)
    assert send_piece(admin, 77, 0, b"x").status_code == 404
    assert send_piece(admin, import_id, 10**17, b"x").status_code == 409
    answer = admin.client.post(
        f"/admin/data-sets/imports/{import_id}/pieces?offset=-1",
        headers={"X-CSRFToken": admin.token()},
    )
    assert answer.status_code == 422


def test_space_is_checked_before_and_during(
    db: Database, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    by = Actor(make_annotator(db, role="admin").id)
    wanted = NewUpload("class", [UploadedFile("x.zip", 600_000)])
    with small_disk(settings.home / "small", 1000) as disk:
        small = replace(settings, home=disk, upload_spare_mb=0)
        with pytest.raises(StorageFull, match=r"must stay free for votes"):
            imports.begin_upload(db, replace(small, upload_spare_mb=1), wanted, by)
        import_id = imports.begin_upload(db, small, wanted, by)
        with pytest.raises(StorageFull):  # the first one needs the space too
            imports.begin_upload(db, small, replace(wanted, name="other"), by)
        assert imports.receive(db, small, import_id, 0, b"x" * 100_000, by) == 100_000
        (disk / "others").write_bytes(b"x" * 700_000)
        with pytest.raises(StorageFull):
            imports.receive(db, small, import_id, 100_000, b"x" * 400_000, by)
        (disk / "others").unlink()
        assert imports.receive(db, small, import_id, 100_000, b"x" * 500_000, by) == 600_000


def test_a_piece_that_no_longer_fits_leaves_what_was_there(settings: Settings) -> None:
    """The disk fills up after the check: the system itself refuses the bytes."""
    with small_disk(settings.home / "small", 200) as disk:
        folder = UploadFolder(disk, "one", [UploadedFile("images.zip", 10**6)], spare=-(10**7))
        folder.create()
        assert folder.append(0, b"x" * 50_000) == 50_000
        with pytest.raises(StorageFull, match="full"):
            folder.append(50_000, b"y" * 400_000)
        assert folder.received() == 50_000


def test_cancel_removes_everything(
    admin: Browser, content: bytes, db: Database, settings: Settings
) -> None:
    import_id = begin(admin, "class", len(content)).get_json()["id"]
    send_piece(admin, import_id, 0, content[:100])
    address = f"/admin/data-sets/imports/{import_id}/cancel"
    question = admin.submit(address)
    assert "The 100 bytes that were uploaded are removed" in question.text
    assert pictures(settings)
    assert admin.confirm(address).status_code == 303
    assert pictures(settings) == []
    assert send_piece(admin, import_id, 100, content[100:]).status_code == 404
    assert begin(admin, "class", 5).status_code == 201, "the name is free again"


def test_cancel_while_the_job_waits_and_after_it_failed(
    admin: Browser, content: bytes, db: Database, settings: Settings
) -> None:
    queued = upload(admin, "queued", content)
    failed = upload(admin, "failed", content[:-30])
    admin.confirm(f"/admin/data-sets/imports/{queued}/cancel")
    work(settings)
    page = admin.get(f"/admin/data-sets/imports/{failed}").text
    assert "This is not a zip file, or it is cut off" in page
    assert admin.submit(f"/admin/data-sets/imports/{failed}/retry").status_code == 303
    assert admin.submit(f"/admin/data-sets/imports/{failed}/retry").status_code == 409
    admin.confirm(f"/admin/data-sets/imports/{failed}/cancel")
    work(settings)
    assert pictures(settings) == []
    with db.read() as session:
        assert not session.scalars(select(Dataset)).all()
        assert not session.scalars(select(ImageImport)).all()
        logged = Counter(session.scalars(select(AuditEvent.action)))
    assert (logged["import_begun"], logged["import_retried"], logged["import_cancelled"]) == (
        2,
        1,
        2,
    )


def test_cancelling_after_the_registration_began_removes_its_rows(
    admin: Browser, content: bytes, db: Database, settings: Settings
) -> None:
    import_id = upload(admin, "class", content)
    with pytest.raises(InterruptedError):
        imports.register_images(db, settings, import_id, stop_at("decoding each image"))
    with db.read() as session:
        assert len(session.scalars(select(Image)).all()) == 5
    admin.confirm(f"/admin/data-sets/imports/{import_id}/cancel")
    assert imports.register_images(db, settings, import_id, stop_at("never")) is None
    imports.remove_import(db, settings, import_id)
    with db.read() as session:
        assert not session.scalars(select(Image)).all()
    assert pictures(settings) == []


@pytest.mark.parametrize("campaign", ["none", "deleted", "archived"])
def test_cancelling_an_import_whose_images_have_a_subset(
    admin: Browser, content: bytes, db: Database, settings: Settings, campaign: str
) -> None:
    import_id = upload(admin, "class", content)
    with pytest.raises(InterruptedError):
        imports.register_images(db, settings, import_id, stop_at("decoding each image"))
    with db.write() as session:
        dataset = session.scalars(select(Dataset)).one()
        names = session.scalars(select(Image.filename)).all()
        import_names(session, dataset, "first", names[:2])
        if campaign != "none":
            made = add_campaign(session, dataset.id, CampaignPlan("faces"))
            (archive_campaign if campaign == "archived" else mark_deleted)(session, made.id)
        poses = settings.home / FOLDER / f"dataset-{dataset.id}.csv"
    poses.parent.mkdir()
    poses.touch()
    with db.write() as session:
        imports.cancel_import(session, import_id, Actor(admin.annotator_id))
    assert f"remove_import {import_id}" in kinds.queue_due(db), "also if its job was lost"
    work(settings)
    left = 5 if campaign == "archived" else 0
    with db.read() as session:
        assert len(session.scalars(select(Image)).all()) == left
        assert len(session.scalars(select(Subset)).all()) == bool(left)
    assert (bool(pictures(settings)), poses.exists()) == (bool(left), bool(left))


def test_a_stopped_registration_continues(
    admin: Browser, content: bytes, db: Database, settings: Settings
) -> None:
    import_id = upload(admin, "class", content)
    with pytest.raises(InterruptedError):
        imports.register_images(db, settings, import_id, stop_at("decoding each image"))
    told = imports.register_images(db, settings, import_id, stop_at("never"))
    assert told == {"data set": "class", "usable images": 4, "broken files": 1}


def stop_at(step: str) -> imports.Report:
    def report(now: str, _done: int, _total: int) -> None:
        if now == step:
            raise InterruptedError

    return report


def test_a_name_taken_meanwhile_is_told(
    admin: Browser, content: bytes, db: Database, settings: Settings
) -> None:
    import_id = upload(admin, "class", content)
    with db.write() as session:
        session.add(Dataset(name="class", path="/elsewhere", attribute_names=[]))
    work(settings)
    assert "Choose another name" in admin.get(f"/admin/data-sets/imports/{import_id}").text
    with db.read() as session:
        assert session.scalars(select(Dataset)).one().path == "/elsewhere"


def test_the_form_works_without_scripts(
    admin: Browser, content: bytes, db: Database, settings: Settings
) -> None:
    def send(name: str, data: bytes, filename: str) -> tuple[int, str]:
        fields = {"name": name, "files": [(io.BytesIO(data), filename)]}
        answer = admin.submit("/admin/data-sets/add", fields)
        return answer.status_code, answer.text

    assert send("class", content, "faces.zip")[0] == 303
    status, text = send("class", content, "faces.zip")
    assert status == 409
    assert 'value="class"' in text
    status, text = send("more", content, "faces.rar")
    assert (status, "one zip file" in text) == (422, True)
    work(settings)
    with db.read() as session:
        assert session.scalars(select(Dataset.name)).all() == ["class"]


def test_only_admins_upload(visit: Visit, content: bytes) -> None:
    for role in ("annotator", "supervisor"):
        browser = visit(role)
        assert begin(browser, "class", 10).status_code == 403
        assert send_piece(browser, 1, 0, b"x").status_code == 403
    assert visit("supervisor").get("/admin/data-sets").status_code == 200


def test_a_backup_holds_complete_uploads_only(
    admin: Browser, content: bytes, db: Database, settings: Settings
) -> None:
    upload(admin, "whole", content)
    half = begin(admin, "half", len(content)).get_json()["id"]
    send_piece(admin, half, 0, content[:100])
    files = [file.name for file in create_backup(db, settings).manifest.files]
    assert [name for name in files if "/pictures/" in name and name.endswith(".zip")]
    assert not [name for name in files if name.endswith(".part")]
    shutil.rmtree(settings.home / "pictures")  # as in a home that was restored
    [row] = [
        one
        for one in admin.get("/admin/data-sets/imports/unfinished").get_json()["uploads"]
        if one["id"] == half
    ]
    assert row["offset"] == 0


def test_the_doctor_names_what_nothing_needs(
    app: Flask, admin: Browser, content: bytes, settings: Settings
) -> None:
    upload(admin, "whole", content)
    begin(admin, "half", len(content))
    left = settings.home / "pictures" / "0123456789abcdef"
    left.mkdir()
    said = [each for each in examine(settings) if each.check == "uploads"]
    assert [each.status for each in said] == ["warning"]
    assert str(left) in said[0].message
    left.rmdir()
    assert [each.status for each in examine(settings) if each.check == "uploads"] == ["ok"]
