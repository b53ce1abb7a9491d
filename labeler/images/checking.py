"""Decode every image once, so that broken files are found before people see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, update

from labeler.campaigns.service import admit_images
from labeler.database.engine import Database
from labeler.errors import NotFound
from labeler.images.process_pool import map_chunks
from labeler.languages.texts import gettext as _
from labeler.models.images import Dataset, Image
from rotation.data.decoding import decode
from rotation.data.image_source import ImageSource
from rotation.errors import DatasetError

CHUNK = 250  # images per task and per transaction
FEW = 500  # with fewer images it is faster not to start processes
Progress = Callable[[int, int], None]
Task = Sequence[tuple[int, str]]  # image id and filename


@dataclass(frozen=True, slots=True)
class Finding:
    """The result for one image: its displayed size, or the problem."""

    image_id: int
    filename: str
    width: int | None
    height: int | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The number of images `checked` now; `ok` and `broken` (filename, problem) in all."""

    checked: int
    ok: int
    broken: list[tuple[str, str]]


def check_images(
    db: Database,
    dataset_id: int,
    progress: Progress | None = None,
    processes: int = 2,
) -> CheckReport:
    """Decode the images of a data set that were not checked yet, and add the good ones.

    Each chunk is committed, so an interrupted check continues where it stopped. If an image was
    missing for a time, its earlier votes count again.

    Parameters:
        progress: called with (images done, images in all).
        processes: number of processes that decode.

    Raises:
        NotFound: there is no such data set.
        DatasetError: the folder or zip file cannot be opened.
    """
    path, unchecked = _unchecked(db, dataset_id)
    done = 0
    for findings in _examine_all(path, unchecked, processes):
        _store(db, dataset_id, findings)
        done += len(findings)
        if progress is not None:
            progress(done, len(unchecked))
    return _report(db, dataset_id, done)


def _unchecked(db: Database, dataset_id: int) -> tuple[str, Task]:
    with db.read() as session:
        dataset = session.get(Dataset, dataset_id)
        if dataset is None:
            raise NotFound(_("There is no data set with the number %(number)s.", number=dataset_id))
        rows = session.execute(
            select(Image.id, Image.filename)
            .where(Image.dataset_id == dataset_id, Image.status == "unchecked")
            .order_by(Image.filename)
        )
        return dataset.path, [(image_id, name) for image_id, name in rows]


def _examine_all(path: str, unchecked: Task, processes: int) -> Iterator[list[Finding]]:
    tasks = [unchecked[start : start + CHUNK] for start in range(0, len(unchecked), CHUNK)]
    if tasks:
        yield from map_chunks(path, _examine, tasks, processes if len(unchecked) > FEW else 1)


def _examine(source: ImageSource, task: Task) -> list[Finding]:
    return [_examine_one(source, image_id, name) for image_id, name in task]


def _examine_one(source: ImageSource, image_id: int, name: str) -> Finding:
    try:
        width, height = decode(source.read(name), name).size
    except DatasetError as error:
        return Finding(image_id, name, None, None, str(error))
    return Finding(image_id, name, width, height, None)


def _store(db: Database, dataset_id: int, findings: Sequence[Finding]) -> None:
    rows = [
        {
            "id": one.image_id,
            "status": "ok" if one.problem is None else "broken",
            "problem": one.problem,
            "width": one.width,
            "height": one.height,
        }
        for one in findings
    ]
    with db.write() as session:
        session.execute(update(Image), rows)
        sound = [one.image_id for one in findings if one.problem is None]
        admit_images(session, dataset_id, sound)


def _report(db: Database, dataset_id: int, checked: int) -> CheckReport:
    with db.read() as session:
        rows = session.execute(
            select(Image.filename, Image.problem)
            .where(Image.dataset_id == dataset_id, Image.status == "broken")
            .order_by(Image.filename)
        )
        broken = [(name, problem or "") for name, problem in rows]
        sound = select(func.count()).where(Image.dataset_id == dataset_id, Image.status == "ok")
        return CheckReport(checked, session.scalar(sound) or 0, broken)
