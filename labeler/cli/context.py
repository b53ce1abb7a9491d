"""What several commands share: the database, common options, and a progress bar."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session
from tqdm import tqdm

from labeler.audit.log import NOBODY, record
from labeler.config import Settings, load_settings
from labeler.database import migrate
from labeler.database.engine import Database
from labeler.database.failures import failure_message, failure_of
from labeler.errors import Conflict, NotFound, SidelightError
from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset
from labeler.subsets.members import check_usable
from labeler.subsets.service import find_subset

Command = TypeVar("Command", bound=Callable[..., Any])


def campaign_option(command: Command) -> Command:
    """Add the option `--campaign NAME`."""
    return click.option(
        "--campaign",
        "campaign_name",
        metavar="NAME",
        help="Campaign. Default: the active one, if there is only one.",
    )(command)


def subset_option(command: Command) -> Command:
    """Add the option `--subset NAME`, which `use_subset` reads."""
    return click.option(
        "--subset", "subset_name", metavar="NAME", help="Use only the images of this subset."
    )(command)


def use_subset(session: Session, name: str | None, campaign: Campaign) -> int | None:
    """Return the number of the subset that is named, None without a name.

    It tells on standard error how many of its images are gone.

    Raises:
        NotFound: there is no such subset.
        InvalidInput, Conflict: it cannot be used with the campaign.
    """
    if name is None:
        return None
    subset = find_subset(session, name)
    counted = check_usable(session, subset, campaign)
    if counted.gone:
        click.echo(
            f"{subset.name}: the files of {counted.gone:,} of {counted.images:,} images are broken "
            "or no longer there.",
            err=True,
        )
    return subset.id


def processes_option(command: Command) -> Command:
    """Add the option `--processes N`."""
    return click.option(
        "--processes",
        type=click.IntRange(1, 64),
        help="Processes that read images. Default: one per processor.",
    )(command)


@contextmanager
def open_database(settings: Settings | None = None) -> Iterator[Database]:
    """Open the database, and close it at the end.

    Parameters:
        settings: default: read from the environment.

    Raises:
        ConfigError: the database cannot be reached, or another version made its tables.
        SidelightError: the database fails during the work.
    """
    db = Database((settings or load_settings()).database_url)
    try:
        with failures_told():
            migrate.require_head(db)
            yield db
    finally:
        db.dispose()


@contextmanager
def failures_told() -> Iterator[None]:
    """Turn the failure of a database into an error message.

    Raises:
        SidelightError: the database is busy, away, full, read-only or damaged.
    """
    try:
        yield
    except (DBAPIError, PoolTimeoutError, sqlite3.Error) as error:
        if failure_of(error) is None:
            raise
        raise SidelightError(failure_message(error)) from None


def upgrade_with_backup(db: Database, settings: Settings) -> tuple[str | None, str | None]:
    """Upgrade the tables, after a backup of the database if they exist and must change.

    Returns:
        The revisions before and after it, None for an empty database.

    Raises:
        ConfigError: the database cannot be reached, or it is newer than this program.
        SidelightError: the backup cannot be written. Nothing has changed.
    """

    def save(revision: str) -> None:
        from labeler.backup.service import back_up_before_upgrade  # late: rarely needed

        if made := back_up_before_upgrade(db, settings, revision):
            click.echo(f"The database was backed up before its upgrade: {made}", err=True)

    return migrate.upgrade(db, before_change=save)


def log_event(
    db: Database, action: str, subject: tuple[str, int] | None = None, **details: Any
) -> None:
    """Write to the audit log. A full disk does not keep people from saving their data.

    Parameters:
        action, subject, details: as for `labeler.audit.log.record`.
    """
    try:
        with db.write() as session:
            record(session, action, NOBODY, subject, **details)
    except DBAPIError as error:
        click.echo(f"This is not in the audit log: {error.orig}", err=True)


def find_dataset(session: Session, name: str | None) -> Dataset:
    """Return the data set of that name, or the active one if no name is given.

    Raises:
        NotFound: no data set fits. The message lists all data sets.
        Conflict: several data sets are active, and no name was given. The message lists them.
    """
    there = Dataset.deleted_at.is_(None)
    wanted = Dataset.active if name is None else Dataset.name == name
    found = session.scalars(select(Dataset).where(there, wanted).order_by(Dataset.name)).all()
    if len(found) == 1:
        return found[0]
    if found:
        raise Conflict(
            f"{len(found)} data sets are active: {', '.join(one.name for one in found)}. "
            "Choose one with --dataset NAME."
        )
    names = session.scalars(select(Dataset.name).where(there).order_by(Dataset.name)).all()
    if not names:
        raise NotFound(
            "No data set is registered. Register one with `python manage.py images import "
            "PATH`, or create the demo with `python manage.py demo`."
        )
    what = "No data set is active" if name is None else f"There is no data set {name!r}"
    raise NotFound(f"{what}. Registered: {', '.join(names)}. Choose one with --dataset NAME.")


@contextmanager
def progress_bar(label: str, unit: str = " images") -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on standard error, if that is a terminal.

    Yields:
        A function of (done, total) that moves the bar.
    """
    with tqdm(desc=label, unit=unit, disable=None) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report
