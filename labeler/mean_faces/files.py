"""The mean-face figures that the worker has drawn, kept as files under the home folder."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from labeler.database.engine import Database
from labeler.errors import InvalidInput
from labeler.models import utc_now

FOLDER = "figures"
SCALE = 2  # pixels for a pixel of the figure, so that it is sharp on paper


@dataclass(frozen=True, slots=True)
class Choices:
    """What a figure is made from: a file for each.

    Attributes:
        mirror: each image counts mirrored as well.
        min_percent: how probable a label must be, 0 to 100.
        with_proposals: the model's label where the votes agree on none.

    Raises:
        InvalidInput: a percentage beyond 0 to 100.
    """

    mirror: bool = True
    min_percent: int = 0
    with_proposals: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.min_percent <= 100:
            raise InvalidInput(
                f"The lowest probability is {self.min_percent} %. It must be between 0 and 100."
            )

    def name(self, campaign_id: int) -> str:
        """The file's name without its ending."""
        told = f"{'mirrored' if self.mirror else 'plain'}-{self.min_percent}"
        return f"mean-faces-{campaign_id}-{told}{'-proposals' if self.with_proposals else ''}"


@dataclass(frozen=True, slots=True)
class Kept:
    """A figure that is there. `numbers`: as `MeanFaces.as_dict` gives them."""

    png: Path
    made_at: datetime
    size: tuple[int, int]  # in pixels of scale 1
    numbers: dict[str, Any]


def make(db: Database, home: Path, campaign_id: int, choices: Choices) -> Kept:
    """Draw the figure from the present consensus; takes seconds to minutes.

    Raises: as `draw_mean_faces`.
    """
    # Late: the site, which only looks for files, needs neither NumPy nor the pictures.
    from labeler.mean_faces.drawing import render_mean_faces
    from labeler.mean_faces.service import draw_mean_faces

    faces = draw_mean_faces(
        db,
        campaign_id,
        min_probability=choices.min_percent / 100,
        with_proposals=choices.with_proposals,
        mirror=choices.mirror,
    )
    image = render_mean_faces(faces, SCALE)
    size = image.width // SCALE, image.height // SCALE
    told = {"made_at": utc_now().isoformat(), "size": size, "numbers": faces.as_dict()}
    png, sidecar = _paths(home, campaign_id, choices)
    png.parent.mkdir(parents=True, exist_ok=True)
    # Readers look for the numbers first, so that these come last; each file appears whole.
    fresh = png.with_suffix(".new.png")
    image.save(fresh)
    os.replace(fresh, png)
    fresh = sidecar.with_suffix(".new.json")
    fresh.write_text(json.dumps(told), encoding="utf-8")
    os.replace(fresh, sidecar)
    return _kept(png, told)


def find(home: Path, campaign_id: int, choices: Choices) -> Kept | None:
    """The figure that was drawn last with these choices, if there is one."""
    png, sidecar = _paths(home, campaign_id, choices)
    try:
        return _kept(png, json.loads(sidecar.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def _kept(png: Path, told: dict[str, Any]) -> Kept:
    width, height = told["size"]
    return Kept(png, datetime.fromisoformat(told["made_at"]), (width, height), told["numbers"])


def _paths(home: Path, campaign_id: int, choices: Choices) -> tuple[Path, Path]:
    path = home / FOLDER / choices.name(campaign_id)
    return path.with_suffix(".png"), path.with_suffix(".json")
