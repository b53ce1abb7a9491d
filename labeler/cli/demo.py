"""The command `demo`: a data set of generated faces or rendered heads."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import click
from sqlalchemy import select

from labeler.campaigns.service import active_campaigns
from labeler.cli.context import progress_bar, upgrade_with_backup
from labeler.config import Settings, load_settings
from labeler.database.engine import AdvisoryLock, Database
from labeler.database.work_lock import work_lock
from labeler.images.checking import check_images
from labeler.images.registration import activate_dataset, register_dataset
from labeler.models.images import DEMO, Dataset

RENDERED = 480  # heads, unless said otherwise


@click.command()
@click.option(
    "--images",
    type=click.IntRange(12, 100_000),
    help="Number of images.  [default: as many as there are, else all faces; with --rendered "
    f"{RENDERED} heads]",
)
@click.option(
    "--rendered", is_flag=True, help="Render synthetic heads instead of using the generated faces."
)
@click.option("--if-empty", is_flag=True, help="Do nothing if a data set is already registered.")
@click.option(
    "--activate",
    is_flag=True,
    help="Activate its campaign, also if another one is active.",
)
def demo(images: int | None, rendered: bool, if_empty: bool, activate: bool) -> None:
    """Create and register a data set to try the site with.

    It contains faces that the bundled diffusion model generated (nobody's photograph) or rendered
    heads. It is stored in CelebA's file formats in the folder `demo` of SIDELIGHT_HOME. With
    --if-empty, a demo data set that exists is kept.

    If another campaign is active, people keep getting its images. With --activate the campaign of
    the demo is active too, and people choose.

    \b
    Examples:
      python manage.py demo
      python manage.py demo --images 200
      python manage.py demo --activate
      python manage.py demo --rendered --images 2000
    """
    settings = load_settings()
    db = Database(settings.database_url)
    try:
        upgrade_with_backup(db, settings)
        with work_lock(db, AdvisoryLock.IMPORT):
            if if_empty and _has_others(db):
                click.echo("A data set is already registered. The demo is not needed.")
            else:
                keep = if_empty and not (images or rendered)
                _prepare(db, settings, images, rendered, keep)
                click.echo(_assign(db, activate))
    finally:
        db.dispose()


def _has_others(db: Database) -> bool:
    with db.read() as session:
        others = select(Dataset.id).where(Dataset.name != DEMO, Dataset.deleted_at.is_(None))
        return session.scalar(others.limit(1)) is not None


def _prepare(
    db: Database, settings: Settings, images: int | None, rendered: bool, keep: bool
) -> None:
    from rotation.data.build_once import IMAGE_FOLDER
    from rotation.demo_faces.dataset import add_attributes

    folder = settings.home / DEMO
    add_attributes(folder)
    if not (keep and (folder / IMAGE_FOLDER).is_dir()):  # of any kind and size
        _make(folder, images, rendered)
    registered = register_dataset(db, folder, DEMO, activate=False)
    checked = check_images(db, registered.dataset_id, processes=1)
    click.echo(f"The demo data set is ready: {checked.ok:,} images in {folder}")


def _assign(db: Database, activate: bool) -> str:
    """Activate the demo's campaign if nothing else is active or it is wanted; returns what is so.

    On a site in use people label in another campaign. They get a second one only on purpose.
    """
    with db.write() as session:
        if activate or not active_campaigns(session):
            activate_dataset(session, DEMO)
        active = active_campaigns(session)
        own = next((one for one in active if one.dataset.name == DEMO), None)
        others = [one.name for one in active if one.dataset.name != DEMO]
    if own is None:
        return (
            f"People keep getting images of the campaign {others[0]!r}. "
            "`python manage.py demo --activate` activates the campaign of the demo too."
        )
    if not others:
        return f"People get images of its campaign {own.name!r}."
    return (
        f"Its campaign {own.name!r} is active beside {', '.join(map(repr, others))}. People choose "
        "where they label, and stay where they are until then. "
        f"`python manage.py campaigns deactivate {quote(own.name)}` takes it away again."
    )


def _make(folder: Path, images: int | None, rendered: bool) -> None:
    if rendered:
        from rotation.synthetic_heads.dataset import write_dataset

        with progress_bar("Rendering heads") as progress:
            write_dataset(folder, images or RENDERED, progress=progress)
    else:
        from rotation.demo_faces.dataset import count_written, write_faces

        with progress_bar("Writing faces") as progress:
            write_faces(folder, images or count_written(folder) or None, progress)
