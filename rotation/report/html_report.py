"""report.html: the report of a run with images and plots, in a single file.

The file embeds all its images and needs no network, so it can be sent or archived. Its numbers are
those of report.json.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from rotation.data.crop import Pixels
from rotation.directions.diagnostics import Examples
from rotation.editing.pipeline import Rotation
from rotation.imaging.images import at_height, degrees, save_text
from rotation.report import svg_plots

HTML_REPORT = "report.html"
"""The last file that a run writes: a folder that has it is complete."""

TEMPLATES = Path(__file__).parents[1] / "templates"
EMBEDDED_HEIGHT = 320
"""Higher photographs are reduced to it: the page holds each of them twice."""
MINUS = "\N{MINUS SIGN}"


def write_html_report(
    report: Mapping[str, Any], result: Rotation, shown: Pixels, path: Path
) -> None:
    """Write the report of a turned head; `shown` are its frames as `write_images` shows them."""
    save_text(render_html_report(report, result, shown), path)


def render_html_report(report: Mapping[str, Any], result: Rotation, shown: Pixels) -> str:
    """The report as HTML; see `write_html_report`."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"deg": _degrees, "number": _number, "image": data_uri}
    error = result.reconstruction_mse
    plots = {name: Markup(svg) for name, svg in _plots(report).items()}  # nosec B704  # our drawing
    return environment.get_template("report.html").render(
        report=report,
        source=result.source.crop,
        decoded=result.reconstruction,
        warped=[] if result.warped is None else list(result.warped),
        photographs=result.photographs is not None,
        frames=_frames(report, shown),
        clusters=_clusters(report, result),
        plots=plots,
        reliability=result.fit.reliability,
        psnr=-10 * math.log10(error) if error > 0 else None,
    )


def data_uri(pixels: Pixels) -> str:
    """An image (H, W, 3) as a data URI, which HTML embeds."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _frames(report: Mapping[str, Any], shown: Pixels) -> list[dict[str, Any]]:
    turn, count = report["turn"], len(shown)
    pictures = [_embedded(one) for one in shown]
    reached = turn["reached"] or [None] * count
    measured = turn.get("measured_deg") or [None] * count
    columns = zip(
        report["yaws_deg"],
        pictures,
        turn["path_deg"],
        reached,
        measured,
        report["latent_norm"]["frames"],
        turn.get("hidden") or [None] * count,
        turn.get("doubts") or [None] * count,
        strict=True,
    )
    names = ("yaw", "picture", "path", "reached", "measured", "norm", "hidden", "doubt")
    return [dict(zip(names, column, strict=True)) for column in columns]


def _embedded(pixels: Pixels) -> str:
    """A frame (H, W, 3) as a data URI; a high photograph is reduced, and compressed as JPEG."""
    if len(pixels) <= EMBEDDED_HEIGHT:
        return data_uri(pixels)
    file = io.BytesIO()
    Image.fromarray(at_height(pixels, EMBEDDED_HEIGHT)).save(file, format="JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _clusters(report: Mapping[str, Any], result: Rotation) -> list[dict[str, Any]]:
    found = []
    fits = report["fit"]["angles"]
    for k, (mean, nearest) in enumerate(zip(result.means, result.examples, strict=True)):
        found.append(
            {
                "angle": report["clusters"]["angles_deg"][k],
                "size": report["clusters"]["sizes"][k],
                "mean": mean,
                "examples": _examples(nearest),
                "fit": fits[k],
            }
        )
    return found


def _examples(nearest: Examples) -> list[dict[str, Any]]:
    pairs = zip(nearest.yaws_deg, nearest.crops, strict=True)
    return [{"yaw": yaw, "picture": crop} for yaw, crop in pairs]


def _plots(report: Mapping[str, Any]) -> dict[str, str]:
    fits: Sequence[Mapping[str, float]] = report["fit"]["angles"]
    turn = report["turn"]
    missed = [flag is False for flag in turn["reached"] or [None] * len(turn["path_deg"])]
    return {
        "along": svg_plots.scatter(
            "Where each cluster lies along the fitted path",
            [(fit["yaw_deg"], fit["along_deg"]) for fit in fits],
            ("mean yaw of the cluster, degrees", "place along the path, degrees"),
        ),
        "residual": svg_plots.bars(
            "Distance of each cluster's mean latent from the fitted path",
            [fit["angle_deg"] for fit in fits],
            [fit["residual"] for fit in fits],
            [fit["noise"] for fit in fits],
            ("cluster, degrees", "distance from the path"),
        ),
        "turn": svg_plots.scatter(
            "How far along the path each frame lies",
            list(zip(report["yaws_deg"], turn["path_deg"], strict=True)),
            ("yaw asked for, degrees", "place on the path, degrees"),
            missed,
        ),
    }


def _degrees(value: float) -> str:
    """An angle as text, with a true minus sign and at most one decimal."""
    if not math.isfinite(value):
        return "\N{EN DASH}"
    return degrees(round(value, 1)).replace("-", MINUS)


def _number(value: float | None, digits: int = 3) -> str:
    """A number as text with so many significant digits; a dash if there is none."""
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    return f"{value:.{digits}g}".replace("-", MINUS)
