"""`rotation synthesize`: render a data set of synthetic heads."""

from __future__ import annotations

from pathlib import Path

import click

from rotation.cli.option_types import OutputFolder
from rotation.synthetic_heads.dataset import write_dataset


@click.command()
@click.option("--out", type=OutputFolder(), required=True, help="Folder to make.")
@click.option("--images", default=480, show_default=True, type=click.IntRange(min=1))
@click.option("--identities", type=click.IntRange(min=1), help="Persons [default: images / 4].")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
def synthesize(out: Path, images: int, identities: int | None, seed: int) -> None:
    """Render a data set of synthetic heads in CelebA's file formats.

    \b
    Example:
      python manage.py rotation synthesize --out heads/ --images 480
    """
    with click.progressbar(length=images, label="Rendering heads") as bar:
        folder = write_dataset(out, images, identities, seed, lambda done, total: bar.update(1))
    click.echo(f"{images} pictures in {folder}")
