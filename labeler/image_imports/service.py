"""Imports in the browser: begin, receive, register, cancel and list them.

The name of the data set is reserved from the beginning to the end. What the import command does
with a folder or zip file, `register_images` does with what was uploaded.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from labeler.audit.log import Actor, record
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import Conflict, InvalidInput, NotFound
from labeler.image_imports.server_folders import find_place
from labeler.image_imports.storage import (
    MB,
    ZIP,
    UploadedFile,
    UploadFolder,
    check_space,
    new_folder_name,
)
from labeler.image_imports.zip_check import check_images_at
from labeler.images import deletion
from labeler.images.checking import CheckReport, check_images
from labeler.images.pose_measuring import remove_poses
from labeler.images.registration import register_dataset
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.models.image_imports import OPEN_STATES, ImageImport
from labeler.models.images import Dataset
from rotation.data.celeba import FILE_STEMS
from rotation.reading import real_path

ANNOTATION_NAMES = tuple(
    f"{stem}{suffix}" for stem in FILE_STEMS.values() for suffix in (".txt", ".csv")
)
MAX_NAME = 100
MAX_ANNOTATION_BYTES = 512 * 2**20
NAMED = 10  # broken files in the log
Report = Callable[[str, int, int], None]
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_FINGERPRINT = re.compile(r"[0-9a-f]{0,16}")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewUpload:
    """What a browser wants to send.

    `files`: name and size in bytes of each; one zip file of images, and annotation files.
    """

    name: str
    files: Sequence[UploadedFile]
    fingerprint: str = ""


def begin_upload(db: Database, settings: Settings, wanted: NewUpload, by: Actor) -> int:
    """Reserve the name of a data set, and make room for its files; returns the import's number.

    Raises:
        InvalidInput: name or files are not allowed. The message says what is.
        Conflict: a data set or another import has the name.
        StorageFull: the disk has too little space for this upload and the others that have begun.
    """
    files = _stored_files(wanted.files, settings.upload_mb * MB)
    if not _FINGERPRINT.fullmatch(wanted.fingerprint):
        raise InvalidInput(_("fingerprint: up to 16 hexadecimal digits are allowed."))
    size = sum(file.size for file in files)
    settings.home.mkdir(parents=True, exist_ok=True)
    with db.write() as session:
        check_space(
            settings.home, size + _outstanding(session, settings), settings.upload_spare_mb * MB
        )
        made = ImageImport(
            owner_id=by.id,
            name=_free_name(session, wanted.name),
            path=new_folder_name(),
            files=[[file.name, file.size] for file in files],
            size=size,
            fingerprint=wanted.fingerprint,
        )
        session.add(made)
        session.flush()
        record(session, "import_begun", by, ("image_import", made.id), bytes=size)
        folder_of(settings, made).create()
        return made.id


def begin_server_import(
    session: Session, settings: Settings, name: str, place: str, by: Actor
) -> ImageImport:
    """Begin the import of a folder or zip file on the server. Its files stay where they are.

    Raises:
        NotFound: it is not under an allowed folder.
        InvalidInput, Conflict: as for `begin_upload`.
    """
    path = find_place(settings.image_roots, place)
    made = ImageImport(
        owner_id=by.id, name=_free_name(session, name), path=str(path), files=[], state="checking"
    )
    session.add(made)
    session.flush()
    record(session, "import_begun", by, ("image_import", made.id), bytes=0)
    return made


def get_import(session: Session, import_id: int) -> ImageImport:
    """Return an import.

    Raises:
        NotFound: there is none of that number, or it is being removed.
    """
    found = session.get(ImageImport, import_id)
    if found is None or found.state == "cancelled":
        raise NotFound(_("There is no such import. It may have been cancelled."))
    return found


def list_open(session: Session) -> Sequence[ImageImport]:
    """Return the imports that have not ended, the newest first."""
    wanted = select(ImageImport).where(ImageImport.state.in_(OPEN_STATES))
    return session.scalars(wanted.order_by(ImageImport.id.desc())).all()


def find_cancelled(session: Session) -> Sequence[int]:
    """Return the numbers of the imports that are cancelled and still there."""
    wanted = select(ImageImport.id).where(ImageImport.state == "cancelled")
    return session.scalars(wanted.order_by(ImageImport.id)).all()


def folder_of(settings: Settings, found: ImageImport) -> UploadFolder:
    """Return the folder of an upload."""
    files = [UploadedFile(name, size) for name, size in found.files]
    return UploadFolder(settings.home, found.path, files, settings.upload_spare_mb * MB)


def place_of(settings: Settings, found: ImageImport) -> Path:
    """Return the folder or zip file of the images."""
    return real_path(folder_of(settings, found).images if found.files else found.path)


def dataset_of(session: Session, settings: Settings, found: ImageImport) -> Dataset | None:
    """Return the data set that an import has made, or is making."""
    path = str(place_of(settings, found))
    wanted = select(Dataset).where(Dataset.name == found.name, Dataset.path == path)
    return session.scalars(wanted).first()


def receive(
    db: Database, settings: Settings, import_id: int, offset: int, data: bytes, by: Actor
) -> int:
    """Store a piece of an upload; returns the bytes that are here then.

    Raises:
        NotFound: there is no such upload, or somebody else has begun it.
        Conflict: all of it is here already.
        WrongOffset, InvalidInput, StorageFull: as `UploadFolder.append`.
    """
    with db.read() as session:
        folder = folder_of(settings, get_upload(session, import_id, by))
    if not folder.path.exists():  # a backup does not hold it: the upload begins again
        folder.create()
    return folder.append(offset, data)


def get_upload(session: Session, import_id: int, by: Actor) -> ImageImport:
    """Return an upload to which this person may send pieces.

    Raises:
        NotFound: there is no such upload, or somebody else has begun it.
        Conflict: all of it is here already.
    """
    found = get_import(session, import_id)
    if found.owner_id != by.id or not found.files:
        raise NotFound(_("There is no such upload of yours."))
    if found.state != "receiving":
        raise Conflict(_("All of this upload is here already."))
    return found


def finish_upload(session: Session, settings: Settings, import_id: int, by: Actor) -> ImageImport:
    """Give the files their names once all bytes are here. Its images can then be registered.

    Raises:
        NotFound, Conflict: as `get_upload`; Conflict also if bytes are missing.
    """
    found = get_upload(session, import_id, by)
    folder_of(settings, found).complete()
    found.state = "checking"
    return found


def cancel_import(session: Session, import_id: int, by: Actor) -> ImageImport:
    """Cancel an import that has not ended. `remove_import` must follow, when no job works on it.

    Raises:
        NotFound: there is no such import.
        Conflict: its images have been added.
    """
    found = get_import(session, import_id)
    if found.state == "done":
        raise Conflict(_("The images of %(name)s have been added already.", name=found.name))
    record(session, "import_cancelled", by, ("image_import", found.id))
    found.state = "cancelled"
    return found


def record_retry(session: Session, found: ImageImport, by: Actor) -> None:
    """Note in the audit log that the images are checked and registered again."""
    record(session, "import_retried", by, ("image_import", found.id))


def remove_import(db: Database, settings: Settings, import_id: int) -> None:
    """Remove what a cancelled import has left: rows of images, its data set, and its files.

    A data set for which somebody has created a campaign stays, with its files. The call may be
    stopped and repeated at any time.
    """
    with db.write() as session:
        found = session.get(ImageImport, import_id)
        if found is None or found.state != "cancelled":
            return
        dataset = dataset_of(session, settings, found)
        if dataset is not None and not deletion.mark_unused(session, dataset.id):
            found.state = "done"
            return
        if not found.files:  # nothing else is left, and another import may have its name and path
            session.delete(found)
    if dataset is not None:
        deletion.remove_rows(db, dataset.id)
        remove_poses(settings.home, dataset.id)
    if found.files:
        with db.write() as session:
            folder_of(settings, found).remove()
            session.delete(found)


def register_images(
    db: Database, settings: Settings, import_id: int, report: Report
) -> dict[str, Any] | None:
    """Check and register the images of an import, as the command `images import` does.

    It may be repeated. Without a campaign, nobody can label the images yet.

    Parameters:
        report: called with (step, images done, images in all).

    Returns:
        The name of the data set, and the numbers of usable and of broken images; None if the
        import has ended or was cancelled.

    Raises:
        BrokenData: the zip file or an annotation file is not usable.
        DatasetError: there are no images, or an annotation file is malformed.
        Conflict: another data set has taken the name meanwhile.
    """
    with db.read() as session:
        found = session.get(ImageImport, import_id)
        if found is None or found.state != "checking":
            return None
        name, path = found.name, place_of(settings, found)
        taken = session.scalars(select(Dataset).where(Dataset.name == name)).first()
        if taken is not None and taken.path != str(path):
            raise Conflict(_taken(name))
    report(mark("checking the files"), 0, 0)
    check_images_at(path, settings.upload_images)
    registered = register_dataset(
        db, path, name, activate=False, progress=_step(report, mark("registering")), campaign=False
    )
    for problem in registered.problems:
        log.info("Note: %s", problem)
    checked = check_images(db, registered.dataset_id, _step(report, mark("decoding each image")))
    _log_broken(checked)
    with db.write() as session:
        session.execute(
            update(ImageImport)
            .where(ImageImport.id == import_id, ImageImport.state == "checking")
            .values(state="done")
        )
    return {
        mark("data set"): name,
        mark("usable images"): checked.ok,
        mark("broken files"): len(checked.broken),
    }


def _step(report: Report, step: str) -> Callable[[int, int], None]:
    return lambda done, total: report(step, done, total)


def _log_broken(checked: CheckReport) -> None:
    for filename, problem in checked.broken[:NAMED]:
        log.info("Broken: %s: %s", filename, problem.removeprefix(f"{filename}: "))
    if len(checked.broken) > NAMED:
        log.info("%s more files are broken.", len(checked.broken) - NAMED)


def _free_name(session: Session, text: str) -> str:
    name = text.strip()
    if not 1 <= len(name) <= MAX_NAME or _CONTROL.search(name):
        raise InvalidInput(
            _(
                "Name of the data set: enter 1 to %(limit)s characters; %(count)s were given, or "
                "one of them cannot be printed.",
                limit=MAX_NAME,
                count=write_number(len(name)),
            )
        )
    taken = select(ImageImport.id).where(
        ImageImport.name == name, ImageImport.state.in_(OPEN_STATES)
    )
    if session.scalar(select(Dataset.id).where(Dataset.name == name)) or session.scalar(taken):
        raise Conflict(_taken(name))
    return name


def _taken(name: str) -> str:
    return _(
        "A data set or an unfinished import is called %(name)r. Choose another name.", name=name
    )


def _stored_files(given: Sequence[UploadedFile], limit: int) -> list[UploadedFile]:
    """Check the files that a browser names, and give them the names that they have here."""
    zips = [file for file in given if file.name.lower().endswith(".zip")]
    others: Mapping[str, UploadedFile] = {file.name: file for file in given if file not in zips}
    if len(zips) != 1 or len(zips) + len(others) != len(given):
        raise InvalidInput(
            _(
                "Choose one zip file of images, and each annotation file once. %(zips)s of the "
                "%(files)s files are zip files.",
                zips=len(zips),
                files=len(given),
            )
        )
    for name in others:
        if name not in ANNOTATION_NAMES:
            raise InvalidInput(
                _(
                    "%(name)r is not an annotation file. Beside a zip file these are allowed: "
                    "%(allowed)s.",
                    name=name[:100],
                    allowed=", ".join(ANNOTATION_NAMES),
                )
            )
    if empty := next((file.name for file in given if file.size < 1), None):
        raise InvalidInput(_("%(name)r is empty. Choose a file with content.", name=empty[:100]))
    if large := next((each for each in others.values() if each.size > MAX_ANNOTATION_BYTES), None):
        raise InvalidInput(
            _(
                "%(name)s has %(size)s MB; %(limit)s are allowed.",
                name=large.name,
                size=write_number(large.size // MB),
                limit=write_number(MAX_ANNOTATION_BYTES // MB),
            )
        )
    size = sum(file.size for file in given)
    if size > limit:
        raise InvalidInput(
            _(
                "The files have %(size)s MB; %(limit)s MB are allowed (SIDELIGHT_UPLOAD_MB). "
                "Upload the images as several data sets, or raise the setting.",
                size=write_number(-(-size // MB)),
                limit=write_number(limit // MB),
            )
        )
    return [UploadedFile(ZIP, zips[0].size), *others.values()]


def _outstanding(session: Session, settings: Settings) -> int:
    """The bytes that the uploads that have begun still need."""
    begun = select(ImageImport).where(ImageImport.state == "receiving")
    return sum(
        found.size - folder_of(settings, found).received() for found in session.scalars(begun)
    )
