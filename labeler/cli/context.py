"""What several commands share: the database, common options, and a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session
from tqdm import tqdm

from labeler.config import Settings, load_settings
from labeler.database import migrate
from labeler.database.engine import Database
from labeler.database.failures import (
    AWAY,
    BROKEN_DISK,
    BUSY,
    DAMAGED,
    FULL,
    READ_ONLY,
    failure_of,
)
from labeler.errors import ConfigError, NotFound, SidelightError
from labeler.models.images import Dataset

ADVICE = {
    BUSY.code: "Another program uses it. Try again.",
    AWAY.code: "Check SIDELIGHT_DATABASE_URL and that the database runs. Try again.",
    FULL.code: "Make space on its disk, then try again.",
    BROKEN_DISK.code: "Check that its disk has space and works, then try again.",
    READ_ONLY.code: "Check who may write its files, and that its disk is not read-only.",
    DAMAGED.code: "Check its disk, and restore a backup.",
}
Command = TypeVar("Command", bound=Callable[..., Any])


def campaign_option(command: Command) -> Command:
    """Add the option `--campaign NAME`."""
    return click.option(
        "--campaign", "campaign_name", metavar="NAME", help="Campaign. Default: the active one."
    )(command)


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
            _check_revision(db)
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
    except (DBAPIError, PoolTimeoutError) as error:
        failure = failure_of(error)
        if failure is None:
            raise
        reason = str(getattr(error, "orig", error)).strip()
        raise SidelightError(
            f"The database failed: {reason}. Unfinished work was not stored. {ADVICE[failure.code]}"
        ) from None


def find_dataset(session: Session, name: str | None) -> Dataset:
    """Return the data set of that name, or the active one if no name is given.

    Raises:
        NotFound: no data set fits. The message lists all data sets.
    """
    wanted = Dataset.active if name is None else Dataset.name == name
    found = session.scalars(select(Dataset).where(wanted)).first()
    if found is not None:
        return found
    names = session.scalars(select(Dataset.name).order_by(Dataset.name)).all()
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


def _check_revision(db: Database) -> None:
    found, needed = migrate.current(db), migrate.head()
    if found != needed:
        raise ConfigError(
            f"The tables of the database are {'those of ' + found if found else 'missing'}; this "
            f"program needs {needed}. Run `python manage.py init` first."
        )
