"""A progress bar for the functions that report (done, total)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from tqdm import tqdm

from labeler.config import Settings, load_settings
from labeler.database import migrate
from labeler.database.engine import Database
from labeler.errors import ConfigError, NotFound, SidelightError
from labeler.models import Dataset

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def progress_bar(label: str, unit: str = " images") -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, with the time left; silent where that is no terminal."""
    with tqdm(desc=label, unit=unit, disable=None) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report


@contextmanager
def open_database(settings: Settings | None = None) -> Iterator[Database]:
    """The database of the settings (default: of the environment), closed at the end.

    Raises:
        ConfigError: it cannot be reached, or its tables are not those of this program.
        SidelightError: it fails in the middle: locked for too long, gone, no space left.
    """
    db = Database((settings or load_settings()).database_url)
    try:
        _check_revision(db)
        yield db
    except OperationalError as error:
        raise SidelightError(
            f"The database failed: {error.orig}. Unfinished work was not stored. Try again."
        ) from None
    finally:
        db.dispose()


def find_dataset(session: Session, name: str | None) -> Dataset:
    """The data set of that name; without a name the active one.

    Raises:
        NotFound: there is none; lists those there are.
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


def _check_revision(db: Database) -> None:
    found, needed = migrate.current(db), migrate.head()
    if found != needed:
        raise ConfigError(
            f"The tables of the database are {'those of ' + found if found else 'missing'}; this "
            f"program needs {needed}. Run `python manage.py init` first."
        )


def campaign_option(command: F) -> F:
    """`--campaign NAME`."""
    return click.option(
        "--campaign", "campaign_name", metavar="NAME", help="Campaign. Default: the active one."
    )(command)
