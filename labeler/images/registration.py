"""Register a data set: store its images' names, hashes and annotations in the database."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.orm import Session

from labeler.assignment.leases import withdraw_images
from labeler.campaigns.service import activate_campaign, ensure_campaign
from labeler.consensus.store import remove_rows
from labeler.database.engine import Database
from labeler.errors import Conflict, InvalidInput, NotFound
from labeler.images.annotations import Annotations, describe, read_annotations
from labeler.images.datasets import list_datasets
from labeler.images.head_pose import estimate_yaw
from labeler.languages.texts import gettext as _
from labeler.models.images import MAX_FILENAME, Dataset, Image
from labeler.voting.service import supersede_votes_on
from rotation.data.image_source import ImageSource
from rotation.data.sources import open_source
from rotation.reading import real_path

BATCH = 2_000  # rows per transaction; an interrupted import repeats at most so many
LEFT_OUT_SHOWN = 10
GONE = "no longer in the data set"
_UNSTORABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
Progress = Callable[[int, int], None]
_COMPARED = (
    "byte_size",
    "sha256",
    "problem",
    "attribute_bits",
    "identity",
    "partition",
    "landmarks",
)


@dataclass
class RegisterReport:
    """What a registration did. `changed`: images with a new file or new annotations."""

    dataset_id: int
    name: str
    path: str
    added: int = 0
    unchanged: int = 0
    changed: int = 0
    gone: int = 0
    attributes: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """The number of images in the data set now."""
        return self.added + self.unchanged + self.changed


def register_dataset(
    db: Database,
    path: str | os.PathLike[str],
    name: str | None = None,
    activate: bool = True,
    progress: Progress | None = None,
    campaign: bool = True,
) -> RegisterReport:
    """Register a folder or zip file of images, with CelebA's text files if they exist.

    It can be repeated, also after an interruption. Images that are known and unchanged stay as
    they are. A file with new content must be checked again, and its votes no longer count, because
    they were about another image. A file that is missing or unreadable is not assigned any more,
    and its votes stay.

    Commands hold `work_lock(db, AdvisoryLock.IMPORT)` meanwhile. Without it, one of two calls at
    the same time ends with a `Conflict`.

    Parameters:
        path: the folder or zip file.
        name: of the data set; default: the name of the folder or file. An existing name means that
            the data set has moved to `path`.
        activate: activate the campaign of this data set, beside those that are active.
        progress: called with (images done, images in all).
        campaign: create a campaign of all images if there is none; needed for `activate`.

    Raises:
        DatasetError: there are no images, or a text file is malformed.
        Conflict: another data set has the default name.
        InvalidInput: the name is empty or longer than 100 characters.
    """
    path = real_path(path)
    with open_source(path) as source:
        names = [name for name in source.names() if _can_be_stored(name)]
        annotations = read_annotations(path, names)
        report = _open_report(db, path, name, annotations, campaign or activate)
        report.problems += source.notes
        _tell_left_out(report, source.names())
        known = _known_images(db, report.dataset_id)
        done = 0
        for batch in _batches(names):
            _store(db, report, source, batch, known, annotations)
            done += len(batch)
            if progress is not None:
                progress(done, len(names))
    _retire_gone(db, report, known, set(names))
    if activate:
        with db.write() as session:
            activate_dataset(session, report.name)
    return report


def activate_dataset(session: Session, name: str) -> Dataset:
    """Activate the newest campaign of a data set, unless one of its campaigns is active already.

    Other active campaigns stay active.

    Raises:
        NotFound: there is no such data set. The message lists all data sets.
    """
    datasets = {one.name: one for one in list_datasets(session)}
    if name not in datasets:
        known = ", ".join(sorted(datasets)) or _("none")
        raise NotFound(
            _("There is no data set %(name)r; registered: %(known)s.", name=name, known=known)
        )
    if not datasets[name].active:
        activate_campaign(session, ensure_campaign(session, datasets[name]).id)
    return datasets[name]


def _open_report(
    db: Database, path: Path, name: str | None, annotations: Annotations, campaign: bool
) -> RegisterReport:
    """Find or create the data set."""
    with db.write() as session:
        dataset = _find_dataset(session, path, name)
        dataset.path = str(path)
        dataset.attribute_names = list(annotations.attribute_names)
        session.add(dataset)
        session.flush()
        if campaign:
            ensure_campaign(session, dataset)
        return RegisterReport(
            dataset.id,
            dataset.name,
            dataset.path,
            attributes=len(annotations.attribute_names),
            problems=list(annotations.problems),
        )


def _find_dataset(session: Session, path: Path, name: str | None) -> Dataset:
    if name is not None:
        if not 1 <= len(name.strip()) <= 100:
            raise InvalidInput(_("Enter a name of 1 to %(limit)s characters.", limit=100))
        named = session.scalar(select(Dataset).where(Dataset.name == name.strip()))
        return named or Dataset(name=name.strip())
    same_path = session.scalar(
        select(Dataset).where(Dataset.path == str(path), Dataset.deleted_at.is_(None))
    )
    if same_path is not None:
        return same_path
    default = (path.name if path.is_dir() else path.stem)[:100] or "images"
    other = session.scalar(select(Dataset).where(Dataset.name == default))
    if other is not None:
        raise Conflict(
            _(
                "A data set with the name %(name)r is already registered from %(path)s. Choose "
                "another name with --name, or use --name %(plain)s if the images have moved.",
                name=default,
                plain=default,
                path=other.path,
            )
        )
    return Dataset(name=default)


def _can_be_stored(name: str) -> bool:
    """Whether both databases and a CSV file can store the name."""
    return len(name) <= MAX_FILENAME and not _UNSTORABLE.search(name)


def _tell_left_out(report: RegisterReport, names: Sequence[str]) -> None:
    left_out = [name for name in names if not _can_be_stored(name)]
    if left_out:
        shown = ", ".join(map(repr, left_out[:LEFT_OUT_SHOWN]))
        report.problems.append(
            f"{len(left_out)} images are left out, because their names are longer than "
            f"{MAX_FILENAME} characters, are not UTF-8 or contain control characters. Rename "
            f"them: {shown}"
        )


def _known_images(db: Database, dataset_id: int) -> Mapping[str, Row[Any]]:
    columns = [getattr(Image, name) for name in _COMPARED]
    with db.read() as session:
        rows = session.execute(
            select(Image.filename, Image.id, Image.status, *columns).where(
                Image.dataset_id == dataset_id
            )
        )
        return {row.filename: row for row in rows}


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), BATCH):
        yield names[start : start + BATCH]


def _store(
    db: Database,
    report: RegisterReport,
    source: ImageSource,
    names: Sequence[str],
    known: Mapping[str, Row[Any]],
    annotations: Annotations,
) -> None:
    """Compare a batch with the stored rows, and write the changes in one transaction."""
    added, changed, replaced, repositioned = [], [], [], []
    for name in names:
        found = describe(source, name, annotations)
        row = known.get(name)
        if row is not None and found["problem"] is not None:
            # It may be readable again later, so its votes stay.
            found["sha256"] = row.sha256
        if row is None:
            new = {"dataset_id": report.dataset_id, "filename": name, **_status(found)}
            added.append(new | found)
        elif not _is_same(row, found):
            changed.append({"id": row.id, **found, **_new_status(row, found)})
            if row.sha256 != found["sha256"]:
                replaced.append(row.id)
            if (row.sha256, row.landmarks) != (found["sha256"], found["landmarks"]):
                repositioned.append(changed[-1])
    _set_yaw([*added, *repositioned])
    with db.write() as session:
        if added:
            session.execute(insert(Image), added)
        _write_changes(session, changed, replaced)
    report.added += len(added)
    report.changed += len(changed)
    report.unchanged += len(names) - len(added) - len(changed)


def _set_yaw(rows: Sequence[dict[str, Any]]) -> None:
    """Set the yaw of images with landmarks. For others a file can (`images.head_pose`)."""
    told = [row for row in rows if row["landmarks"]]
    yaws = estimate_yaw([row["landmarks"] for row in told]) if told else []
    for row in rows:
        row["yaw_deg"] = None
    for row, yaw in zip(told, yaws, strict=True):
        row["yaw_deg"] = yaw


def _is_same(row: Row[Any], found: Mapping[str, Any]) -> bool:
    """Whether a row is unchanged. Only the check finds problems of decoding, so they stay."""
    return row.problem != GONE and all(
        getattr(row, name) == found[name] for name in _COMPARED if name != "problem"
    )


def _status(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"status": "unchecked" if found["problem"] is None else "broken"}


def _new_status(row: Row[Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the status of a known image. It stays while the content is the same.

    An unreadable file has size 0, so it changes when it becomes readable again.
    """
    is_same = (row.sha256, row.byte_size) == (found["sha256"], found["byte_size"])
    if is_same and row.problem != GONE:
        return {"status": row.status, "problem": row.problem}
    return _status(found)


def _write_changes(
    session: Session, changed: list[dict[str, Any]], replaced: Sequence[int]
) -> None:
    if changed:
        session.execute(update(Image), changed)
        uncheckable = [row["id"] for row in changed if row["status"] != "ok"]
        remove_rows(session, uncheckable)
    supersede_votes_on(session, replaced)
    withdraw_images(session, replaced)


def _retire_gone(
    db: Database, report: RegisterReport, known: Mapping[str, Row[Any]], here: set[str]
) -> None:
    gone = [row.id for name, row in known.items() if name not in here]
    values = [{"id": image_id, "status": "broken", "problem": GONE} for image_id in gone]
    for start in range(0, len(gone), BATCH):
        with db.write() as session:
            _write_changes(session, values[start : start + BATCH], ())
    report.gone = len(gone)
    if gone:
        report.problems.append(
            f"{len(gone)} images are no longer in the folder; they are not assigned any more"
        )
