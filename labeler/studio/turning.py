"""The work of a job that turns a head: export what the engine reads, run it, keep its result.

An attempt works in a folder of its own, and its result gets its place by renaming. So a result is
whole or absent, whenever a worker is killed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import Conflict, NotFound, SidelightError
from labeler.exports.csv_files import stream_labels
from labeler.home_files import TURNING
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset, Image
from labeler.models.studio import HeadTurn
from labeler.models.subsets import Subset
from labeler.private_files import PRIVATE_FOLDER
from labeler.proposals.runs import current_run
from labeler.studio import files
from labeler.studio.choices import TurnChoices, choices_of
from labeler.studio.engine_options import EngineFiles, command_line, run_options
from labeler.studio.engine_process import run_engine
from labeler.studio.pictures import write_copies
from labeler.studio.summary import is_complete, read_summary
from labeler.subsets.members import stream_names
from rotation.data.formulas import guard_formula
from rotation.data.labels_csv import stream_csv

LABELS, POSES, SUBSET = "labels.csv", "poses.csv", "subset.csv"
COLLECTING = mark("collecting labels and poses")
POSE_COLUMNS = ("filename", "yaw_deg")
Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be done, read once from the database."""

    turn: HeadTurn
    choices: TurnChoices
    images: str
    campaign: Campaign
    source: str
    subset: Subset | None
    model: str


def turn_head(db: Database, settings: Settings, turn_id: int, report: Report) -> dict[str, Any]:
    """Turn a head, and store the result. It may be called again after it was interrupted.

    Parameters:
        report: called with (step, done, total); if it raises, the engine ends and nothing stays.

    Raises:
        NotFound: the turn was deleted.
        Conflict: its data set, campaign, subset or source is gone.
        SidelightError: the engine refuses; the message says why.
        RuntimeError: the engine was killed; trying again may help.
    """
    home = settings.home
    with db.read() as session:
        turn = session.get(HeadTurn, turn_id)
        if turn is None:
            raise NotFound(_("This turn was deleted."))
        if turn.finished_at is None:
            order = _load_order(session, turn, settings.studio_model)
    if turn.finished_at is None:
        if not is_complete(files.result_folder(home, turn)):  # an earlier attempt may have ended it
            _make_result(db, home, order, report)
        _store_summary(db, home, order)
    for work in files.list_works(home, turn_id):  # left by processes that were killed
        files.remove_work(work)
    if not turn.keeps_upload:
        files.remove_source(home, turn_id)
    return {"turn": turn_id}


def _load_order(session: Session, turn: HeadTurn, model: str) -> _Order:
    dataset = session.get(Dataset, turn.dataset_id or 0)
    campaign = session.get(Campaign, turn.campaign_id or 0)
    if dataset is None or dataset.deleted_at is not None:
        raise Conflict(_("The data set of this turn was deleted. Turn the head with another one."))
    if campaign is None or campaign.deleted_at is not None:
        raise Conflict(
            _("The campaign whose labels this turn needs was deleted. Choose another campaign.")
        )
    source = ""
    if turn.image_id is not None:
        source = session.get_one(Image, turn.image_id).filename
    subset = session.get(Subset, turn.subset_id) if turn.subset_id is not None else None
    if subset is not None and subset.deleted_at is not None:
        raise Conflict(
            _("The subset %(name)s was deleted. Choose another one, or none.", name=subset.name)
        )
    choices = choices_of(turn.settings)
    if choices.with_proposals and current_run(session, dataset.id) is None:
        choices = replace(choices, with_proposals=False)
    return _Order(turn, choices, dataset.path, campaign, source, subset, model)


def _make_result(db: Database, home: Path, order: _Order, report: Report) -> None:
    upload = _upload_of(home, order)
    work = files.work_folder(home, order.turn.id)
    try:
        files.begin_work(work)
        report(COLLECTING, 0, 0)
        _write_inputs(db, order, work / files.INPUTS)
        report(COLLECTING, 0, 0)
        cache = home / TURNING
        cache.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        words = run_options(order.choices, _engine_files(order, upload))
        run_engine([*words, "--cache", str(cache), "--device", "cpu"], work, report)
        write_copies(work / files.RESULT)
        files.pack_inputs(work)
        _publish(home, order.turn, work)
    except OSError as error:
        raise _in_words(error) from None
    finally:
        files.remove_work(work)


def _publish(home: Path, turn: HeadTurn, work: Path) -> None:
    """Publish the result of an attempt, unless another attempt was quicker."""
    place = files.result_folder(home, turn)
    if is_complete(place):
        return
    try:
        files.publish(home, turn, work)
    except OSError:
        if not is_complete(place):
            raise


def _upload_of(home: Path, order: _Order) -> Path | None:
    """The uploaded source; None if the source is an image of the data set."""
    if order.source:
        return None
    upload = files.source_file(home, order.turn.id)
    if upload is None:
        raise Conflict(
            _(
                "The picture of this turn is not there any more: it is removed when its job ends, "
                "or its data set was deleted. Choose the source again."
            )
        )
    return upload


def _engine_files(order: _Order, upload: Path | None) -> EngineFiles:
    """The files of the engine, relative to the folder in which it works."""
    return EngineFiles(
        images=order.images,
        labels=f"{files.INPUTS}/{LABELS}",
        poses=f"{files.INPUTS}/{POSES}",
        out=files.RESULT,
        source=order.source,
        source_file=str(upload) if upload else "",
        subset=f"{files.INPUTS}/{SUBSET}" if order.subset else "",
        model=order.model,
    )


def _write_inputs(db: Database, order: _Order, folder: Path) -> None:
    folder.mkdir(mode=PRIVATE_FOLDER)
    labels = stream_labels(db, order.campaign.id, order.choices.with_proposals)
    _write(folder / LABELS, labels)
    _write(folder / POSES, _stream_poses(db, order.campaign.dataset_id))
    if order.subset is not None:
        _write(folder / SUBSET, stream_names(db, order.subset))


def _stream_poses(db: Database, dataset_id: int) -> Iterable[str]:
    """The known yaws of a data set as the text of a `poses.csv`."""
    known = Image.dataset_id == dataset_id, Image.yaw_deg.is_not(None), Image.status == "ok"
    with db.read() as session:
        rows = session.execute(
            select(Image.filename, Image.yaw_deg).where(*known).order_by(Image.id)
        ).all()
    if not rows:
        raise Conflict(
            _(
                "No image of the data set has a known yaw. Press “Measure poses” on the page “Data "
                "sets”, and try again when that is done."
            )
        )
    return stream_csv(POSE_COLUMNS, ((guard_formula(name), f"{yaw:.3f}") for name, yaw in rows))


def _write(path: Path, chunks: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(chunks)


def _store_summary(db: Database, home: Path, order: _Order) -> None:
    turn_id = order.turn.id
    place = files.result_folder(home, order.turn)
    summary = read_summary(place, _repeating(home, order))
    with db.write() as session:
        turn = session.get(HeadTurn, turn_id)
        if turn is None:
            shutil.rmtree(files.turn_folder(home, turn_id), ignore_errors=True)
            raise NotFound(_("This turn was deleted meanwhile."))
        summary["source"]["name"] = turn.source_name
        turn.summary, turn.finished_at = summary, utc_now()


def _repeating(home: Path, order: _Order) -> str:
    """The commands that repeat a turn on the server, line by line."""
    inputs = files.turn_folder(home, order.turn.id) / files.INPUTS
    found = files.source_file(home, order.turn.id) if order.turn.keeps_upload else None
    told = EngineFiles(
        images=order.images,
        labels=str(inputs / LABELS),
        poses=str(inputs / POSES),
        out=f"turned-{order.turn.id}/",
        source=order.source,
        source_file="" if order.source else str(found or order.turn.source_name),
        subset=str(inputs / SUBSET) if order.subset else "",
        model=order.model,
    )
    return (
        f"gunzip --keep --force {quote(str(inputs))}/*.csv.gz\n{command_line(order.choices, told)}"
    )


def _in_words(error: OSError) -> SidelightError | OSError:
    from labeler.database.failures import disk_message

    return SidelightError(disk_message(error)) if error.errno is not None else error
