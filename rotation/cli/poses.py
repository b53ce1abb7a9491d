"""`rotation poses`: measure the poses of an image set."""

from __future__ import annotations

from pathlib import Path

import click

from rotation.cli.common import (
    Progress,
    images_option,
    pose_options,
    rotation_errors_as_messages,
)
from rotation.cli.option_types import OutputFile
from rotation.options import PoseOptions


@click.command()
@images_option
@pose_options
@click.option("--out", type=OutputFile(), required=True, help="The poses.csv to write.")
def poses(images: Path, landmarks: str, device: str, out: Path) -> None:
    """Measure yaw, pitch and roll of every image.

    An interrupted run continues where it stopped.

    \b
    Example:
      python manage.py rotation poses --images ~/CelebA --out poses.csv
    """
    from rotation.diffusion.devices import choose_device
    from rotation.poses.source import write_poses

    with rotation_errors_as_messages(), Progress() as progress:
        options, place = PoseOptions(None, landmarks), choose_device(device)
        found, total = write_poses(options, images, place, out, progress)
    click.echo(f"{found} of {total} images have a pose: {out}")
