"""The command `demo`: a data set of rendered heads, to try everything with."""

from __future__ import annotations

import click
from sqlalchemy import select

from labeler.cli.bar import progress_bar
from labeler.config import Settings, load_settings
from labeler.db import Database
from labeler.migrate import upgrade
from labeler.models import Dataset
from labeler.services.checking import check_images
from labeler.services.images import register_dataset

NAME = "demo"


@click.command()
@click.option("--images", default=480, show_default=True, type=click.IntRange(12, 100_000))
@click.option("--if-empty", is_flag=True, help="Do nothing if another data set is registered.")
def demo(images: int, if_empty: bool) -> None:
    """Render a data set of synthetic heads and register it.

    It lies in the folder `demo` of SIDELIGHT_HOME, in CelebA's file formats.

    \b
    Examples:
      python manage.py demo
      python manage.py demo --images 2000
    """
    settings = load_settings()
    db = Database(settings.database_url)
    try:
        upgrade(db)
        if if_empty and _has_others(db):
            click.echo("A data set is registered; the demo is not needed.")
        else:
            _prepare(db, settings, images)
    finally:
        db.dispose()


def _has_others(db: Database) -> bool:
    with db.read() as session:
        return session.scalar(select(Dataset.id).where(Dataset.name != NAME).limit(1)) is not None


def _prepare(db: Database, settings: Settings, images: int) -> None:
    from rotation.synthetic.dataset import write_dataset

    with progress_bar("Rendering heads") as progress:
        folder = write_dataset(settings.home / NAME, images, progress=progress)
    registered = register_dataset(db, folder, NAME)
    checked = check_images(db, registered.dataset_id, processes=1)
    click.echo(f"The demo data set is ready: {checked.ok:,} images in {folder}")
