"""`rotation turn`: turn the head in one photograph by geometry."""

from __future__ import annotations

from pathlib import Path

import click

from rotation.cli.common import (
    Progress,
    refine_option,
    relight_option,
    rotation_errors_as_messages,
)
from rotation.cli.option_types import InputPath, OutputFolder, Yaws
from rotation.file_locks import own_folder
from rotation.options import ModelOptions


@click.command()
@click.argument("photograph", type=InputPath())
@click.option(
    "--yaw", "yaws_deg", type=Yaws(), default="-30:30:10", show_default=True, help="Target yaws."
)
@click.option("--out", type=OutputFolder(), required=True, help="Folder for frames and strip.")
@click.option("--gif", "animations", flag_value="gif", multiple=True, help="Write turn.gif too.")
@click.option("--webp", "animations", flag_value="webp", multiple=True, help="Write turn.webp too.")
@click.option("--mp4", "animations", flag_value="mp4", multiple=True, help="Write turn.mp4 too.")
@click.option(
    "--fill",
    type=click.Choice(["model", "surroundings"]),
    default="model",
    show_default=True,
    help="What draws hidden parts.",
)
@click.option(
    "--model", "folder", type=InputPath(), help="Model folder or bundled name [celeba-64]."
)
@refine_option
@relight_option
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
def turn(  # noqa: PLR0913, PLR0917 - one for each option
    photograph: Path,
    yaws_deg: tuple[float, ...],
    out: Path,
    animations: tuple[str, ...],
    fill: str,
    folder: Path | None,
    refine: bool,
    relight: bool,
    device: str,
) -> None:
    """Turn the head in one photograph by geometry: no labels, no other photographs.

    A face mesh gives the depth of the head. The photograph keeps its size and its background.
    A diffusion model draws what the photograph does not show. `--fill surroundings` needs no model
    and takes under a second.

    \b
    Examples:
      python manage.py rotation turn portrait.jpg --out turned/
      python manage.py rotation turn portrait.jpg --yaw -30:30:1 --mp4 --out turned/
      python manage.py rotation turn portrait.jpg --fill surroundings --out turned/
    """
    from rotation.geometry.preview import write_preview

    model = ModelOptions(folder, device, refine=refine) if fill == "model" else None
    with rotation_errors_as_messages(), own_folder(out), Progress() as progress:
        report = write_preview(photograph, yaws_deg, out, animations, model, progress, relight)
    click.echo(f"The head looks to {report['yaw_deg']:+.0f} degrees in {photograph.name}.")
    for frame in report["frames"]:
        if frame["doubt"]:
            click.echo(f"Doubtful at {frame['yaw_deg']:+g} degrees: {frame['doubt']}.")
    click.echo(f"{len(report['frames'])} frames and a strip: {out / 'strip.png'}")
