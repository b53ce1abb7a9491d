"""`rotation turn`: turn the head in one photograph by geometry alone."""

from __future__ import annotations

from pathlib import Path

import click

from rotation.cli.common import FolderPath, Progress, rotation_errors_as_messages
from rotation.cli.option_types import OutputFolder, Yaws
from rotation.file_locks import own_folder


@click.command()
@click.argument("photograph", type=FolderPath)
@click.option(
    "--yaw", "yaws_deg", type=Yaws(), default="-30:30:10", show_default=True, help="Target yaws."
)
@click.option("--out", type=OutputFolder(), required=True, help="Folder for frames and strip.")
@click.option("--gif", "animations", flag_value="gif", multiple=True, help="Write turn.gif too.")
@click.option("--webp", "animations", flag_value="webp", multiple=True, help="Write turn.webp too.")
@click.option("--mp4", "animations", flag_value="mp4", multiple=True, help="Write turn.mp4 too.")
def turn(
    photograph: Path, yaws_deg: tuple[float, ...], out: Path, animations: tuple[str, ...]
) -> None:
    """Turn the head in one photograph by geometry alone: no labels and no diffusion model.

    A face mesh gives the depth of the head. The photograph keeps its size and its background.
    What the photograph does not show is continued from its surroundings; `rotation run` draws it
    by a diffusion model and clusters of other faces with the same light.

    \b
    Examples:
      python manage.py rotation turn portrait.jpg --out turned/
      python manage.py rotation turn portrait.jpg --yaw -30:30:1 --mp4 --out turned/
    """
    from rotation.geometry.preview import write_preview

    with rotation_errors_as_messages(), own_folder(out), Progress() as progress:
        report = write_preview(photograph, yaws_deg, out, animations, progress)
    click.echo(f"The head looks to {report['yaw_deg']:+.0f} degrees in {photograph.name}.")
    for frame in report["frames"]:
        if frame["doubt"]:
            click.echo(f"Doubtful at {frame['yaw_deg']:+g} degrees: {frame['doubt']}.")
    click.echo(f"{len(report['frames'])} frames and a strip: {out / 'strip.png'}")
