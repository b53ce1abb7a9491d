"""The command that draws mean faces: `report mean-faces`."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import click

from labeler.campaigns.service import find_campaign
from labeler.cli.context import (
    campaign_option,
    open_database,
    progress_bar,
    subset_option,
    use_subset,
)
from labeler.cli.output import replace_file
from labeler.errors import Conflict
from labeler.mean_faces.drawing import MAX_SCALE, render_mean_faces
from labeler.mean_faces.service import (
    WantedLabels,
    choose_from_files,
    draw_mean_faces,
    sum_faces,
)
from labeler.mean_faces.statistics import POSE_EDGES, MeanFaces
from rotation.cli.option_types import InputPath, OutputFile

DPI = 96  # at scale 1; it grows with the scale, so the size on paper stays the same


class Edges(click.ParamType[tuple[float, ...]]):
    """Increasing angles in degrees, such as `-30,-10,10,30`."""

    name = "A,B,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Read the angles. `MeanFaces` checks them."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r}: give angles in degrees, such as -30,-10,10,30", param, ctx)


@click.group()
def report() -> None:
    "Draw figures from the labels."


@report.command("mean-faces")
@click.option("--out", type=OutputFile(), required=True, help="PNG file to write.")
@click.option(
    "--json", "json_out", type=OutputFile(), help="Also write the numbers to this JSON file."
)
@click.option(
    "--mirror",
    is_flag=True,
    help="Also count the mirror image of each image, with light and yaw mirrored.",
)
@click.option(
    "--min-probability",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="P",
    help="Use only labels that are at least this probable.  [default: 0]",
)
@click.option(
    "--with-proposals",
    is_flag=True,
    help="Where the votes have no label, use the proposal of the current model.",
)
@campaign_option
@subset_option
@click.option(
    "--labels",
    type=InputPath(),
    help="Use this labels.csv, written by `export labels`, instead of the votes.",
)
@click.option(
    "--poses", type=InputPath(), help="With --labels: poses.csv written by `rotation poses`."
)
@click.option("--images", type=InputPath(), help="With --labels: folder or zip file of images.")
@click.option(
    "--edges",
    type=Edges(),
    default=POSE_EDGES,
    help="Limits between the poses, in degrees.  [default: -30,-10,10,30]",
)
@click.option("--scale", type=click.IntRange(1, MAX_SCALE), default=2, show_default=True)
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True)
def mean_faces(**given: Any) -> None:
    """Draw the mean face for each light direction and head pose.

    The figure also shows the variance of each mean face and the mean squared difference between
    neighbours. It uses the images of a campaign that have a label and a yaw (`images poses`).
    With --labels, --poses and --images no database is needed.

    \b
    Examples:
      python manage.py report mean-faces --out mean_faces.png --mirror
      python manage.py report mean-faces --out mean_faces.png --json mean_faces.json \\
          --labels labels.csv --poses poses.csv --images ~/CelebA
    """
    faces = _from_files(given) if _asks_for_files(given) else _from_campaign(given)
    _check_not_empty(faces)
    replace_file(given["out"], [_png(faces, given["scale"])])
    if given["json_out"] is not None:
        text = json.dumps(faces.as_dict(), indent=2, allow_nan=False) + "\n"
        replace_file(given["json_out"], [text.encode()])
    click.echo(f"{given['out']}: {faces.n_images:,} images{_left_out(faces)}")


def _asks_for_files(given: Mapping[str, Any]) -> bool:
    """Whether the labels come from files.

    Raises:
        click.UsageError: an option of the three is missing, or one needs the database.
    """
    files = [given[name] for name in ("labels", "poses", "images")]
    if not any(files):
        return False
    if not all(files):
        raise click.UsageError("Give --labels, --poses and --images together.")
    if given["campaign_name"] or given["with_proposals"] or given["subset_name"]:
        raise click.UsageError(
            "--campaign, --subset and --with-proposals need the database. With --labels, choose "
            "them when you export the labels."
        )
    return True


def _from_files(given: Mapping[str, Any]) -> MeanFaces:
    chosen = choose_from_files(
        given["images"], given["labels"], given["poses"], given["min_probability"]
    )
    with progress_bar("Mean faces") as progress:
        return sum_faces(chosen, given["mirror"], given["edges"], progress, given["processes"])


def _from_campaign(given: Mapping[str, Any]) -> MeanFaces:
    with open_database() as db:
        with db.read() as session:
            campaign = find_campaign(session, given["campaign_name"])
            campaign_id = campaign.id
            subset_id = use_subset(session, given["subset_name"], campaign)
        with progress_bar("Mean faces") as progress:
            return draw_mean_faces(
                db,
                campaign_id,
                WantedLabels(given["min_probability"], given["with_proposals"], subset_id),
                mirror=given["mirror"],
                edges=given["edges"],
                progress=progress,
                processes=given["processes"],
            )


def _check_not_empty(faces: MeanFaces) -> None:
    if faces.n_images:
        return
    reasons = faces.left_out
    if not any(reasons.values()):
        raise Conflict("No image has a label that is this probable yet. There is nothing to draw.")
    if reasons["no_yaw"] >= max(reasons.values()):
        raise Conflict(
            f"The yaw of {reasons['no_yaw']:,} labelled images is not known. Store it with "
            "`python manage.py images poses` (from landmarks, or from a file of `rotation "
            "poses`)."
        )
    raise Conflict(f"No image lies within the poses{_left_out(faces)}. Check --images and --edges.")


def _left_out(faces: MeanFaces) -> str:
    words = {"no_yaw": "without a yaw", "beyond_the_poses": "beyond the poses"}
    parts = [f"{n:,} {words.get(reason, reason)}" for reason, n in faces.left_out.items() if n]
    return f"; left out: {', '.join(parts)}" if parts else ""


def _png(faces: MeanFaces, scale: int) -> bytes:
    buffer = io.BytesIO()
    dpi = (DPI * scale, DPI * scale)
    render_mean_faces(faces, scale).save(buffer, "PNG", optimize=True, dpi=dpi)
    return buffer.getvalue()
