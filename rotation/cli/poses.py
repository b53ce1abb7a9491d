"""`rotation poses`: measure the poses of an image set."""

from __future__ import annotations

from pathlib import Path

import click

from rotation.cli.common import (
    Progress,
    images_option,
    pose_options,
    ray_option,
    rotation_errors_as_messages,
)
from rotation.cli.option_types import OutputFile
from rotation.options import PoseOptions
from rotation.remote_paths import ImagePlace


@click.command()
@images_option
@pose_options
@click.option("--out", type=OutputFile(), required=True, help="The poses.csv to write.")
@ray_option
def poses(images: ImagePlace, landmarks: str, device: str, out: Path, ray: str | None) -> None:
    """Measure yaw, pitch and roll of every image.

    An interrupted run continues where it stopped.

    \b
    Examples:
      python manage.py rotation poses --images ~/CelebA --out poses.csv
      python manage.py rotation poses --images s3://bucket/CelebA --out poses.csv
      python manage.py rotation poses --images ~/CelebA --landmarks mtcnn --out poses.csv \\
          --ray 10.0.0.1:6379
    """
    from rotation.passes.running import open_runner

    telling = Progress(lines=ray is not None)
    with rotation_errors_as_messages(), open_runner(ray) as runner, telling as progress:
        from rotation.diffusion.devices import choose_device  # with torch
        from rotation.poses.source import write_poses

        options, place = PoseOptions(None, landmarks), choose_device(device)
        found, total = write_poses(options, images, place, out, progress, runner)
    click.echo(f"{found} of {total} images have a pose: {out}")
