"""The stored figures of mean faces, which the background worker draws into the home folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from labeler.database.engine import Database
from labeler.errors import Conflict, InvalidInput
from labeler.languages.texts import gettext as _
from labeler.models.base import utc_now
from rotation.reading import read_json

FOLDER = "figures"
SCALE = 2  # of the stored figures, so that they are sharp on paper


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a figure. Each combination has its own file.

    Attributes:
        mirror: whether each image also counts as its mirror image.
        min_percent: the smallest probability of a label in percent, 0 to 100.
        with_proposals: use the model's label where the votes have none.
        subset_id: only images of this subset; None: all.

    Raises:
        InvalidInput: the percentage is not 0 to 100.
    """

    mirror: bool = True
    min_percent: int = 0
    with_proposals: bool = False
    subset_id: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_percent <= 100:
            raise InvalidInput(
                _(
                    "The lowest probability is %(given)s %%. It must be between 0 and 100.",
                    given=self.min_percent,
                )
            )

    def name(self, campaign_id: int) -> str:
        """Return the name of the file, without its suffix."""
        content = f"{'mirrored' if self.mirror else 'plain'}-{self.min_percent}"
        within = "" if self.subset_id is None else f"-subset-{self.subset_id}"
        proposals = "-proposals" if self.with_proposals else ""
        return f"mean-faces-{campaign_id}-{content}{proposals}{within}"


@dataclass(frozen=True, slots=True)
class DrawnFigure:
    """A stored figure. `numbers`: those of `MeanFaces.as_dict`."""

    png: Path
    made_at: datetime
    size: tuple[int, int]  # in pixels of scale 1
    numbers: dict[str, Any]


def make(
    db: Database,
    home: Path,
    campaign_id: int,
    options: Options,
    progress: Callable[[int, int], None] | None = None,
) -> DrawnFigure:
    """Draw the figure from the present labels, and store it. This takes seconds to minutes.

    Parameters:
        progress: called with (images done, images in all).

    Raises:
        Conflict: no labelled image has a known yaw within the poses, so all cells would be empty.
        The errors of `draw_mean_faces`.
    """
    # Late: the site only looks for files, so it does not need NumPy.
    from labeler.mean_faces.drawing import render_mean_faces
    from labeler.mean_faces.service import WantedLabels, draw_mean_faces

    faces = draw_mean_faces(
        db,
        campaign_id,
        WantedLabels(options.min_percent / 100, options.with_proposals, options.subset_id),
        mirror=options.mirror,
        progress=progress,
    )
    if not faces.n_images:
        raise Conflict(
            _(
                "No figure was drawn: no labelled image has a known yaw within the poses of the "
                "figure. Measure the poses first (page “Mean faces”)."
            )
        )
    image = render_mean_faces(faces, SCALE)
    size = image.width // SCALE, image.height // SCALE
    content = {"made_at": utc_now().isoformat(), "size": size, "numbers": faces.as_dict()}
    png, sidecar = _paths(home, campaign_id, options)
    png.parent.mkdir(parents=True, exist_ok=True)
    # Numbers are written last, because readers look for them first. Each file appears complete.
    fresh = png.with_suffix(".new.png")
    image.save(fresh)
    os.replace(fresh, png)
    fresh = sidecar.with_suffix(".new.json")
    fresh.write_text(json.dumps(content), encoding="utf-8")
    os.replace(fresh, sidecar)
    return _read_figure(png, content)


def find(home: Path, campaign_id: int, options: Options) -> DrawnFigure | None:
    """Return the figure that was drawn last with these options, or None.

    Damaged numbers count as no figure: drawing it again writes them anew.
    """
    png, sidecar = _paths(home, campaign_id, options)
    try:
        return _read_figure(png, read_json(sidecar))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove(home: Path, campaign_id: int) -> None:
    """Delete the figures of a campaign, because it is deleted."""
    for file in (home / FOLDER).glob(f"mean-faces-{campaign_id}-*"):
        file.unlink(missing_ok=True)


def _read_figure(png: Path, content: dict[str, Any]) -> DrawnFigure:
    width, height = content["size"]
    return DrawnFigure(
        png, datetime.fromisoformat(content["made_at"]), (width, height), content["numbers"]
    )


def _paths(home: Path, campaign_id: int, options: Options) -> tuple[Path, Path]:
    path = home / FOLDER / options.name(campaign_id)
    return path.with_suffix(".png"), path.with_suffix(".json")
