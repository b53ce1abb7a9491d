"""Commands that keep the data safe: `backup` and `restore`."""

from __future__ import annotations

from pathlib import Path

import click

from labeler.backup.archive import Manifest, verify_archive
from labeler.backup.restore import RestoreReport, restore_backup
from labeler.backup.service import create_backup, megabytes
from labeler.cli.context import log_event, progress_bar
from labeler.config import load_settings
from labeler.database.engine import Database
from rotation.cli.option_types import InputPath


@click.command()
@click.argument("target", type=InputPath(), required=False)
@click.option(
    "--with-images",
    is_flag=True,
    help="Also copy data sets that are outside SIDELIGHT_HOME.",
)
@click.option(
    "--keep",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Keep the N newest backups of the folder, this one included, and remove older ones.",
)
@click.option(
    "--verify",
    type=InputPath(),
    metavar="FILE",
    help="Make no backup; check every sum of this one.",
)
def backup(target: Path | None, with_images: bool, keep: int | None, verify: Path | None) -> None:
    """Back up the database and the files of SIDELIGHT_HOME into one file.

    The site may run meanwhile. TARGET is a folder, or a file that ends in .tar.gz. By default, a
    file named by the time is written into the folder `backups` of SIDELIGHT_HOME. It holds
    password hashes and the secret key, so only you can read it. Copy it to another machine.

    Images outside SIDELIGHT_HOME are listed, not copied. Caches are left out. For PostgreSQL the
    program pg_dump is needed. --keep counts only backups with a default name.

    \b
    Examples:
      python manage.py backup
      python manage.py backup /mnt/backups --keep 14
      python manage.py backup --verify /mnt/backups/sidelight-20261129-061500.tar.gz
    """
    if verify is not None:
        if target is not None or with_images or keep is not None:
            raise click.UsageError("--verify stands alone: it makes no backup.")
        _verify(verify)
        return
    settings = load_settings()
    db = Database(settings.database_url)
    try:
        with progress_bar("Backing up", " bytes") as report:
            made = create_backup(
                db, settings, target, with_images=with_images, keep=keep, progress=report
            )
        log_event(db, "backup_made", removed=len(made.removed))
    finally:
        db.dispose()
    click.echo(f"{made.path}: {megabytes(made.size)}, verified")
    click.echo(f"It holds {_summary(made.manifest)}.")
    for each in made.manifest.datasets:
        if each.place == "outside":
            click.echo(
                f"Not copied: the {each.images:,} images of {each.name} in {each.path}. Keep them "
                "too, or use --with-images.",
                err=True,
            )
    for old in made.removed:
        click.echo(f"Removed {old}", err=True)


@click.command()
@click.argument("file", type=InputPath())
def restore(file: Path) -> None:
    """Restore a backup into an empty SIDELIGHT_HOME and an empty database.

    All sums are checked first. If anything is wrong, nothing is written. An SQLite backup is
    restored to SQLite, and a PostgreSQL backup to PostgreSQL.

    \b
    Examples:
      SIDELIGHT_HOME=/srv/sidelight python manage.py restore sidelight-20261129-061500.tar.gz
    """
    settings = load_settings(change_home=False)
    with progress_bar("Restoring", " bytes") as report:
        restored = restore_backup(file, settings, report)
    _tell_restored(restored, settings.home)


def _verify(file: Path) -> None:
    with progress_bar("Verifying", " bytes") as report:
        done = 0

        def count(size: int) -> None:
            nonlocal done
            done += size
            report(done, done)

        manifest = verify_archive(file, count)
    click.echo(f"{file} is complete and undamaged. It holds {_summary(manifest)}.")


def _summary(manifest: Manifest) -> str:
    rows = manifest.rows
    kind = "SQLite" if manifest.database == "sqlite" else "PostgreSQL"
    text = (
        f"{rows.get('vote', 0):,} votes, {rows.get('annotator', 0):,} accounts and "
        f"{rows.get('image', 0):,} image rows of {manifest.made_at} ({kind}, revision "
        f"{manifest.revision}), in {len(manifest.files):,} files"
    )
    if manifest.content == "database":
        text += "; it was made before an upgrade and has no other files of the home"
    return text


def _tell_restored(restored: RestoreReport, home: Path) -> None:
    click.echo(f"Restored {_summary(restored.manifest)}.")
    click.echo(f"Home: {home}")
    for each in restored.missing:
        click.echo(
            f"The {each.images:,} images of {each.name} are not in {each.path}. Put them there, or "
            f"tell where they are: python manage.py images import PATH --name {each.name}",
            err=True,
        )
    if restored.needs_upgrade:
        click.echo(
            f"The tables are of the older revision {restored.manifest.revision}. Next, upgrade "
            "them: python manage.py init"
        )
    else:
        click.echo("Next: python manage.py doctor, then python manage.py serve")
