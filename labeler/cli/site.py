"""Commands about the site: `init`, `serve`, `worker`."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os

import click
from sqlalchemy import select

from labeler.accounts.invites import one_time_admin_link
from labeler.accounts.service import has_admin
from labeler.cli.context import open_database, upgrade_with_backup
from labeler.config import Settings, load_settings, read_host
from labeler.database.engine import Database
from labeler.database.migrate import upgrade
from labeler.models.images import Dataset

PRIVATE_UMASK = 0o077  # what the site writes is for its owner only


@click.command()
@click.option(
    "--backup/--no-backup",
    default=True,
    help="Back up the database before its tables are changed.  [default: backup]",
)
def init(backup: bool) -> None:
    """Create the database or upgrade it to the newest version. Your data stays.

    Before the tables are changed, the database is backed up into the folder `backups` of
    SIDELIGHT_HOME.

    \b
    Example:
      python manage.py init
    """
    os.umask(PRIVATE_UMASK)
    settings = load_settings()
    db = Database(settings.database_url)
    try:
        before, after = upgrade_with_backup(db, settings) if backup else upgrade(db)
        where = db.address
    finally:
        db.dispose()
    did = "is up to date" if before == after else "was upgraded" if before else "was created"
    click.echo(f"The database {did}: {where}")


def _host(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    """The address of `--host`, None without the option."""
    try:
        return None if text is None else read_host(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}.") from None


@click.command()
@click.option(
    "--host", callback=_host, help="Address to listen on. Default: SIDELIGHT_HOST or 127.0.0.1."
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port to listen on. Default: SIDELIGHT_PORT or 8000.",
)
@click.option(
    "--workers", type=click.IntRange(1, 64), help="Number of processes. Default: SIDELIGHT_WORKERS."
)
@click.option("--no-worker", is_flag=True, help="Do not start the background worker.")
@click.option("--open-link", is_flag=True, help="Open the site in a browser.")
def serve(
    host: str | None, port: int | None, workers: int | None, no_worker: bool, open_link: bool
) -> None:
    """Run the labelling site until Ctrl+C or SIGTERM.

    The database is upgraded first, after a backup. As long as there is no admin, a link for
    creating one is printed. It is valid once, for one day.

    \b
    Examples:
      python manage.py serve
      SIDELIGHT_PUBLIC_URL=https://light.example.org python manage.py serve
      SIDELIGHT_PUBLIC_URL=http://192.0.2.7:8000 python manage.py serve --host 0.0.0.0
    """
    from labeler.cli.server import run_server

    os.umask(PRIVATE_UMASK)
    settings = load_settings()
    settings = dataclasses.replace(
        settings,
        host=host or settings.host,
        port=port or settings.port,
        workers=workers or settings.workers,
    )
    run_server(settings, lambda: _welcome(settings, open_link), with_worker=not no_worker)


@click.command()
@click.option("--with-parent", type=int, hidden=True, help="End when this parent process ends.")
@click.option(
    "--queues",
    metavar="NAMES",
    help="Take only jobs of these queues, separated by commas: labels, training, figures, turning. "
    "Default: all.",
)
def worker(with_parent: int | None, queues: str | None) -> None:
    """Run background jobs until Ctrl+C or SIGTERM: train models, compute labels, draw figures.

    `serve` starts two workers, one of them for `turning`, and restarts them when they fail. Use
    this command to run others, also on other machines that reach the same database and images. A
    job in work is handed back at the end, and another worker takes it up. Only workers that take
    `labels` queue the jobs that are due by themselves.

    \b
    Examples:
      python manage.py worker
      python manage.py worker --queues labels
      python manage.py worker --queues training,figures,turning
    """
    import signal

    from labeler.jobs.worker import Worker
    from rotation.child_processes import end_with_parent

    chosen = _read_queues(queues)
    if with_parent is not None:
        end_with_parent(with_parent)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s worker: %(message)s")
    logging.getLogger("labeler").setLevel(logging.INFO)
    os.umask(PRIVATE_UMASK)
    settings = load_settings()
    with open_database(settings):
        pass  # it has the tables of this version
    with contextlib.closing(Worker(settings, chosen)) as running:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: running.stop())
        running.run()


def _read_queues(text: str | None) -> list[str]:
    from labeler.jobs.kinds import QUEUES

    names = [name.strip() for name in text.split(",")] if text is not None else list(QUEUES)
    unknown = [name for name in names if name not in QUEUES]
    if unknown:
        raise click.UsageError(
            f"--queues {text}: there is no queue {unknown[0]!r}. The queues are "
            f"{', '.join(QUEUES)}."
        )
    return names


def _welcome(settings: Settings, open_link: bool) -> None:
    """Upgrade the database, then print the address of the site and what is missing."""
    db = Database(settings.database_url)
    try:
        upgrade_with_backup(db, settings)
        with db.write() as session:
            link = None if has_admin(session) else one_time_admin_link(session, settings)
            active = session.scalar(select(Dataset.name).where(Dataset.active).limit(1))
    finally:
        db.dispose()
    click.echo(f"Sidelight is running at {settings.address}  (Ctrl+C stops it)")
    if link:
        click.echo(f"Create the admin account with this link (valid once, for 24 hours): {link}")
    else:
        click.echo("To get another admin link: python manage.py users invite --role admin")
    if active is None:
        click.echo(
            "No data set is active, so there is nothing to label yet. An admin adds images on the "
            "page “Data sets”, or: python manage.py images import PATH",
            err=True,
        )
    if open_link:
        click.launch(link or settings.address)
