"""Turned heads of random pixels, of the size of CelebA's photographs, for pages of the studio."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now
from labeler.models.studio import HeadTurn
from labeler.studio.files import result_folder
from rotation.imaging.images import degrees, draw_strip, photograph_path, save_png, save_text

YAWS = tuple(float(yaw) for yaw in range(-30, 31, 10))
SIZE = (218, 178)  # height and width


def turn_heads(db: Database, settings: Settings, count: int) -> None:
    """Store `count` finished turns. The first two have files, which pages of results read."""
    with db.write() as session:
        owner = Annotator(username="turner", pseudonym="turner", role="admin", password_hash="!")
        session.add(owner)
        session.flush()
        values = {"owner_id": owner.id, "source_name": "000001.jpg", "summary": {}, "dataset_id": 1}
        chosen = {"light_filter": True, "angles_deg": YAWS, "attributes": ["Male"], "way": "auto"}
        turns = [
            HeadTurn(name=f"Head {n}", settings=chosen, finished_at=utc_now(), **values)
            for n in range(count)
        ]
        session.add_all(turns)
        session.flush()
        folders = [result_folder(settings.home, turn) for turn in turns[:2]]
    _write(folders[0])
    for folder in folders[1:]:
        shutil.copytree(folders[0], folder)


def _write(folder: Path) -> None:
    rng = np.random.default_rng(0)
    shape = (len(YAWS) + 1, *SIZE, 3)
    pixels = rng.integers(0, 256, shape, dtype=np.uint8)
    names = [degrees(yaw) for yaw in YAWS]
    save_png(draw_strip(pixels, ["photograph", *names], scale=1), folder / "strip.png")
    save_png(draw_strip(pixels[1:, :128, :128], names, scale=1), folder / "cluster_means.png")
    for yaw, frame in zip(YAWS, pixels[1:], strict=True):
        save_png(Image.fromarray(frame), photograph_path(folder, yaw))
    nothing = [None] * len(YAWS)
    report = {
        "source": {"name": "000001.jpg", "yaw_deg": 3.0, "light": "left"},
        "yaws_deg": YAWS,
        "clusters": {
            "angles_deg": YAWS,
            "sizes": [100] * len(YAWS),
            "mean_yaws_deg": YAWS,
            "half_widths_deg": [5.0] * len(YAWS),
            "attributes": ["Male"],
            "widening": [],
        },
        "editing": "geometry",
        "turn": {"hidden": [0.0] * len(YAWS), "doubts": nothing, "reached": None, "fallback": None},
    }
    save_text(json.dumps(report), folder / "report.json")
