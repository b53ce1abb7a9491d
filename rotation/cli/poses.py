"""`rotation poses`. Heavy libraries are imported inside of it."""

from __future__ import annotations

from pathlib import Path

import click

from rotation.cli.common import FolderPath, Progress, images_option, one_message, pose_options
from rotation.options import PoseOptions


@click.command()
@images_option
@pose_options
@click.option("--out", type=FolderPath, required=True, help="The poses.csv to write.")
def poses(images: Path, landmarks: str, device: str, out: Path) -> None:
    """Measure yaw, pitch and roll of every image.

    An interrupted run goes on where it was.

    \b
    Example:
      python manage.py rotation poses --images ~/CelebA --out poses.csv
    """
    from rotation.run import measure_all

    with one_message(), Progress() as progress:
        found, total = measure_all(images, PoseOptions(None, landmarks), device, out, progress)
    click.echo(f"{found} of {total} images have a pose: {out}")
