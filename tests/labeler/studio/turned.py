"""Turned heads for the tests: the files are written by the engine's own code."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.models.base import utc_now
from labeler.models.jobs import Job
from labeler.models.studio import HeadTurn
from labeler.studio.files import result_folder, turn_folder
from rotation.editing.method import TurnPath
from rotation.editing.pipeline import Rotation
from rotation.imaging.images import save_text
from rotation.options import EditingOptions, OutputOptions, RunOptions, TurnOptions
from rotation.report.json_report import describe_run, write_json_report
from rotation.report.output_files import plan_output, write_images
from tests.rotation.report.test_html_report import a_rotation

YAWS = (-20.0, 0.0, 20.0)
DOUBT = "31% of the face was hidden in the photograph"
COMMAND = "manage.py rotation run --images faces --source 000001.jpg --out turned"
SIZE = (48, 64)  # of the photograph: width, height


def write_result(
    folder: Path,
    yaws: Sequence[float] = YAWS,
    size: tuple[int, int] = SIZE,
    *,
    whole: bool = True,
    animations: tuple[str, ...] = ("gif", "webp"),
) -> None:
    """Write what a run writes into its folder; the last frame is marked as doubtful.

    Parameters:
        whole: as geometry does, which turns the whole photograph.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in _files(tuple(yaws), size, whole, animations).items():
        (folder / name).write_bytes(content)


@cache
def _files(
    yaws: tuple[float, ...], size: tuple[int, int], whole: bool, animations: tuple[str, ...]
) -> dict[str, bytes]:
    """The files by their names; drawing them anew for each test would take seconds."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        _write(folder, yaws, size, whole, animations)
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def _write(
    folder: Path,
    yaws: tuple[float, ...],
    size: tuple[int, int],
    whole: bool,
    animations: tuple[str, ...],
) -> None:
    options = RunOptions(
        images=Path("faces"),
        labels=Path("labels.csv"),
        source="000001.jpg",
        out=folder,
        cache=folder,
        turn=TurnOptions(
            yaws_deg=yaws, editing=EditingOptions("geometry" if whole else "line", 1.0)
        ),
        output=OutputOptions(animations, contact_sheets=True),
    )
    result = _whole(yaws, size) if whole else _crops(yaws)
    write_images(result, options.turn.yaws_deg, plan_output(options.output), folder)
    write_json_report(describe_run(result, options) | {"command": COMMAND}, folder / "report.json")
    save_text("<!doctype html><title>Report</title>", folder / "report.html")


def _crops(yaws: Sequence[float]) -> Rotation:
    reached = tuple(yaw != yaws[-1] for yaw in yaws)
    frames = np.stack([_picture((8, 8), yaw) for yaw in yaws])
    turn = TurnPath(tuple(yaws), reached)
    plain = a_rotation()
    widths = (5.0,) * len(plain.selection.angles_deg)
    return dataclasses.replace(
        plain,
        frames=frames,
        turn=turn,
        norms=(1.0,) * len(yaws),
        selection=dataclasses.replace(plain.selection, half_widths_deg=widths),
    )


def _whole(yaws: Sequence[float], size: tuple[int, int]) -> Rotation:
    plain = _crops(yaws)
    last = len(yaws) - 1
    turn = TurnPath(
        tuple(yaws),
        None,
        hidden=tuple(0.31 if place == last else 0.0 for place in range(len(yaws))),
        doubts=tuple(DOUBT if place == last else None for place in range(len(yaws))),
        mesh_yaw_deg=3.0,
        refined=False,
    )
    photograph = Image.fromarray(_picture(size, 3.0))
    return dataclasses.replace(
        plain,
        source=dataclasses.replace(plain.source, photograph=photograph),
        photographs=[_picture(size, yaw) for yaw in yaws],
        turn=turn,
    )


def _picture(size: tuple[int, int], yaw_deg: float) -> NDArray[np.uint8]:
    """A plain picture (H, W, 3) that differs from those of other yaws."""
    ramp = np.linspace(40, 200, size[0])[None, :].repeat(size[1], axis=0)
    red = np.full_like(ramp, 128 + yaw_deg)
    return np.stack([red, ramp, ramp[:, ::-1]], axis=-1).astype(np.uint8)


def add_turn(
    db: Database,
    owner_id: int,
    *,
    state: str | None = "done",
    name: str = "Ada’s turn",
    **more: Any,
) -> int:
    """Store a turn without files, and a job in that state for it; returns its number.

    Parameters:
        state: "done" also ends the turn; None: its job is gone.
    """
    values = {"source_name": "faces/000001.jpg", "settings": {}, **more}
    with db.write() as session:
        job_id = None
        if state is not None:
            worker = "worker" if state == "running" else None
            job = Job(
                kind="turn_head",
                queue="figures",
                subject=0,
                parameters={},
                state=state,
                worker=worker,
            )
            session.add(job)
            session.flush()
            job_id = job.id
        ended = {"finished_at": utc_now(), "summary": {}} if state == "done" else {}
        turn = HeadTurn(owner_id=owner_id, name=name, job_id=job_id, **{**ended, **values})
        session.add(turn)
        session.flush()
        return turn.id


def add_result(db: Database, site: Settings, owner_id: int, **more: Any) -> int:
    """Store a finished turn with its files; returns its number."""
    turn_id = add_turn(db, owner_id, **more)
    write_result(folder_of(db, site, turn_id))
    return turn_id


def folder_of(db: Database, settings: Settings, turn_id: int) -> Path:
    """The folder of a result."""
    with db.read() as session:
        return result_folder(settings.home, session.get_one(HeadTurn, turn_id))


def remove_by_hand(settings: Settings, turn_id: int) -> None:
    """Remove the folder of a turn, as a person does who tidies the disk."""
    shutil.rmtree(turn_folder(settings.home, turn_id))
