"""Run all checks. A check that fails is a finding, never a traceback."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError

from labeler.config import Settings
from labeler.database import migrate
from labeler.database.engine import Database
from labeler.database.failures import disk_message, explain_failure
from labeler.doctor import database_checks, file_checks, image_checks
from labeler.doctor.findings import Check, Finding, Site
from labeler.errors import SidelightError

FILE_CHECKS: tuple[tuple[str, Check], ...] = (
    ("home", file_checks.check_home),
    ("rights", file_checks.check_rights),
    ("side files", file_checks.check_side_files),
    ("leftovers", file_checks.check_leftovers),
)
REACHED_CHECKS: tuple[tuple[str, Check], ...] = (
    ("space", file_checks.check_space),
    ("backups", file_checks.check_backups),
    ("integrity", database_checks.check_integrity),
    ("schema", database_checks.check_revision),
)
# They need whole tables of this version.
ROW_CHECKS: tuple[tuple[str, Check], ...] = (
    ("tables", database_checks.check_tables),
    ("rows", database_checks.check_rows),
    ("consensus", database_checks.check_consensus),
    ("people", database_checks.check_people),
    ("images", image_checks.check_images),
    ("uploads", image_checks.check_uploads),
)


def examine(settings: Settings, *, fix: bool = False) -> Iterator[Finding]:
    """Check a site.

    Parameters:
        fix: mend what is safe to mend: rights of files, and what killed programs have left.
    """
    if not settings.home.is_dir():
        action = "Run `python manage.py init`, restore a backup, or correct SIDELIGHT_HOME."
        yield Finding("home", "problem", f"{settings.home} does not exist.", action)
        return
    db = Database(settings.database_url)
    try:
        site = Site(settings, db, fix)
        for name, check in FILE_CHECKS:
            yield from _run(name, check, site)
        yield from _examine_database(site)
    finally:
        db.dispose()


def _examine_database(site: Site) -> Iterator[Finding]:
    file = site.database_file
    if file is not None and not file.exists():
        action = "Run `python manage.py init`, restore a backup, or correct SIDELIGHT_DATABASE_URL."
        yield Finding("database", "problem", f"{file} does not exist.", action)
        return
    try:
        migrate.current(site.db)
    except SidelightError as error:
        yield Finding("database", "problem", error.message)
        return
    place = site.db.address
    yield Finding("database", "ok", f"{place} can be reached.")
    wrong = False
    for name, check in REACHED_CHECKS:
        for finding in _run(name, check, site):
            wrong |= finding.status == "problem" and name in ("integrity", "schema")
            yield finding
    if wrong:
        return
    for name, check in ROW_CHECKS:
        yield from _run(name, check, site)


def _run(name: str, check: Check, site: Site) -> Iterator[Finding]:
    try:
        yield from check(site)
    except SidelightError as error:
        yield Finding(name, "problem", error.message)
    except (DBAPIError, sqlite3.Error) as error:
        said = f"This could not be checked: {explain_failure(error)}"
        yield Finding(name, "problem", said, database_checks.RESTORE)
    except OSError as error:
        yield Finding(name, "problem", f"This could not be checked: {disk_message(error)}")
    except Exception as error:  # noqa: BLE001  whatever is stored there, the report goes on
        said = f"This could not be checked: {type(error).__name__}: {error}"
        action = "A value is stored that the program cannot read. Report it with this line."
        yield Finding(name, "problem", said, action)
