"""Restore a backup into an empty home folder and an empty database: all of it, or nothing."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from labeler.backup.archive import (
    ArchivedDataset,
    Manifest,
    extract_archive,
    verify_archive,
)
from labeler.backup.service import HOME, IMAGES, in_use, megabytes
from labeler.backup.snapshot import (
    POSTGRES_NAME,
    SQLITE_NAME,
    dataset_names,
    find_client,
    run_client,
)
from labeler.config import Settings
from labeler.database import migrate
from labeler.database.engine import Database, sqlite_url
from labeler.errors import BrokenData, Conflict, InvalidInput, SidelightError
from labeler.home_files import (
    BACKUPS,
    DISCARDED_STAGE,
    MOVING,
    RESTORE_STAGE,
    STAGED_DATABASE,
    is_half_restored,
)
from labeler.private_files import PRIVATE_FOLDER

Progress = Callable[[int, int], None]
_STAGES = (RESTORE_STAGE, DISCARDED_STAGE)
_SYSTEM_SCHEMAS = "nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was restored.

    `needs_upgrade`: the tables are of an earlier version. `missing`: the data sets whose images
    are not where the database says.
    """

    manifest: Manifest
    needs_upgrade: bool
    missing: list[ArchivedDataset]


def restore_backup(
    path: Path, settings: Settings, progress: Progress | None = None
) -> RestoreReport:
    """Restore a backup. Its sums are checked before anything is written.

    Data sets that were in the old home folder, or in the archive, get their new paths.

    Parameters:
        settings: where to restore to. Its home must be empty but for `backups`.
        progress: called with (bytes done, bytes in all).

    Raises:
        BrokenData: the archive is damaged or no backup.
        InvalidInput: it is of the other kind of database, or of a newer version.
        Conflict: the home folder or the database is not empty.
        SidelightError: too little space, or PostgreSQL refused.
        OSError: a file cannot be read or written.
    """
    db = Database(settings.database_url)
    try:
        _undo_interrupted(settings.home)
        _refuse_full_home(settings.home)
        _refuse_full_database(db)
        manifest = verify_archive(path)
        _refuse_foreign(manifest, db)
        _check_space(settings.home, manifest.size)
        count = 0

        def report(size: int) -> None:
            nonlocal count
            count += size
            if progress is not None:
                progress(count, manifest.size)

        moved = _new_paths(manifest, settings.home)
        made_home = not settings.home.exists()
        settings.home.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        try:
            with _open_stage(settings.home) as stage:
                extract_archive(path, manifest, lambda name: _staged(stage, name), report)
                _put_in_place(db, stage, settings.home, manifest, moved)
        except BaseException:
            if made_home:
                _remove_empty(settings.home)
            raise
        return RestoreReport(
            manifest,
            manifest.revision != migrate.head(),
            [each for each in manifest.datasets if not Path(moved[each.id]).exists()],
        )
    finally:
        db.dispose()


def _put_in_place(
    db: Database, stage: Path, home: Path, manifest: Manifest, moved: dict[int, str]
) -> None:
    """Move what was extracted to `stage` into the home and the database, the database last.

    The restore is complete at the moment at which the stage has no database any more.
    """
    database = stage / STAGED_DATABASE
    if not database.is_file():
        raise BrokenData("The backup holds no database. Use another backup.")
    if db.is_sqlite:
        _prepare_sqlite(database, manifest, moved)
        _move_in(stage, home)
        _move_database(database, Path(db.engine.url.database or ""))
    else:
        _move_in(stage, home)
        _restore_postgres(db, database, moved)
        database.unlink()


@contextmanager
def _open_stage(home: Path) -> Iterator[Path]:
    """A folder in the home for what is not complete, locked during the block.

    If an exception leaves the block, what was moved into the home is removed from it.
    """
    stage = home / RESTORE_STAGE
    try:
        stage.mkdir(mode=PRIVATE_FOLDER)
    except FileExistsError:
        raise Conflict(_at_work(home)) from None
    lock = os.open(stage, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield stage
    finally:
        if is_half_restored(home):
            _remove_moved(home)
        _discard_stage(home)
        os.close(lock)


def _at_work(home: Path) -> str:
    return f"Another restore into {home} is at work. Wait until it has ended."


def _undo_interrupted(home: Path) -> None:
    """Remove what a killed restore has left in the home, unless it was complete.

    Raises:
        Conflict: the restore is still at work.
    """
    stage = home / RESTORE_STAGE
    if stage.is_dir() and in_use(stage):
        raise Conflict(_at_work(home))
    if is_half_restored(home):
        _remove_moved(home)
        _discard_stage(home)
    remove_ended_restore(home)


def find_ended_restore(home: Path) -> list[Path]:
    """What a restore that was complete, and killed then, has left in a home."""
    stages = [] if is_half_restored(home) else [home / RESTORE_STAGE]
    return [each for each in (*stages, home / DISCARDED_STAGE) if each.is_dir()]


def remove_ended_restore(home: Path) -> None:
    """Remove what `find_ended_restore` finds."""
    for each in find_ended_restore(home):
        if each.name == RESTORE_STAGE:
            _discard_stage(home)
        else:
            shutil.rmtree(each, ignore_errors=True)


def _remove_moved(home: Path) -> None:
    moving = home / RESTORE_STAGE / MOVING
    for name in json.loads(moving.read_text("utf-8")) if moving.exists() else ():
        path = home / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _discard_stage(home: Path) -> None:
    """Remove the stage. It is renamed first, so that no half of it can be taken for a stage."""
    discarded = home / DISCARDED_STAGE
    shutil.rmtree(discarded, ignore_errors=True)
    (home / RESTORE_STAGE).rename(discarded)
    shutil.rmtree(discarded, ignore_errors=True)


def _refuse_full_home(home: Path) -> None:
    if not home.exists():
        return
    found = sorted(each.name for each in home.iterdir() if each.name != BACKUPS)
    if found:
        shown = ", ".join(found[:3]) + (" ..." if len(found) > 3 else "")
        raise Conflict(
            f"{home} is not empty ({shown}). A backup is restored into an empty home only. Stop "
            f"the site and move the folder away (mv {home} {home}.old), or set SIDELIGHT_HOME to "
            "a new folder."
        )


def _refuse_full_database(db: Database) -> None:
    place = db.address
    if db.is_sqlite:
        file = Path(db.engine.url.database or "")
        if file.exists() and file.stat().st_size:
            raise Conflict(
                f"{file} exists. A backup is restored into an empty home only. Stop the site and "
                "move the file away, with those of the same name that end in -wal and -shm."
            )
        return
    statement = (
        "SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        f"WHERE relkind IN ('r', 'p', 'v', 'm', 'S') AND {_SYSTEM_SCHEMAS}"  # nosec B608  # constant
    )
    with db.engine.connect() as connection:
        count = connection.exec_driver_sql(statement.replace("%", "%%")).scalar()
    if count:
        raise Conflict(
            f"{place} is not empty: it has {count} tables and sequences. A backup is restored into "
            "an empty database only. Make one (createdb NAME) and set SIDELIGHT_DATABASE_URL to it."
        )
    find_client(db, "pg_restore")


def _refuse_foreign(manifest: Manifest, db: Database) -> None:
    here = "sqlite" if db.is_sqlite else "postgresql"
    if manifest.database != here:
        names = {"sqlite": "an SQLite", "postgresql": "a PostgreSQL"}
        address = "sqlite:////ABSOLUTE/FILE" if here != "sqlite" else "postgresql://USER@HOST/NAME"
        raise InvalidInput(
            f"This is a backup of {names.get(manifest.database, 'an unknown')} database, and "
            f"SIDELIGHT_DATABASE_URL names {names[here]} database. Set it to {address}, an empty "
            "database of the same kind."
        )
    if not migrate.is_known(manifest.revision):
        raise InvalidInput(
            f"The backup has the tables of revision {manifest.revision}, which this version of the "
            f"program does not know. It was made by version {manifest.program}. Restore it with "
            "that version or a newer one."
        )


def _check_space(home: Path, size: int) -> None:
    place = next(each for each in (home, *home.parents) if each.exists())
    free = shutil.disk_usage(place).free
    if free < size:
        raise SidelightError(
            f"{place} has {megabytes(free)} free, and the backup needs {megabytes(size)}. Free "
            "some space, or set SIDELIGHT_HOME to a folder on another disk."
        )


def _new_paths(manifest: Manifest, home: Path) -> dict[int, str]:
    """Where the images of each data set are after the restore."""
    paths = {}
    for each in manifest.datasets:
        path = Path(each.path)
        if each.place == "archive":
            names = [PurePosixPath(one.name).parts for one in manifest.files]
            own = [parts for parts in names if parts[:2] == (IMAGES, str(each.id))]
            is_zip = [parts[2:] for parts in own] == [(path.name,)] and path.suffix == ".zip"
            folder = home / IMAGES / str(each.id)
            paths[each.id] = str(folder / path.name if is_zip else folder)
        elif each.place == "home" and path.is_relative_to(manifest.home):
            paths[each.id] = str(home / path.relative_to(manifest.home))
        else:
            paths[each.id] = each.path
    return paths


def _staged(stage: Path, name: str) -> Path | None:
    """Where a file is staged; the entries of `home` are moved in at the end."""
    parts = PurePosixPath(name).parts
    if name in (SQLITE_NAME, POSTGRES_NAME):
        return stage / STAGED_DATABASE
    if parts[0] == HOME and len(parts) > 1 and parts[1] not in (*_STAGES, BACKUPS):
        return stage.joinpath(HOME, *parts[1:])
    if parts[0] == IMAGES and len(parts) > 2:
        return stage.joinpath(HOME, *parts)
    return None


def _prepare_sqlite(file: Path, manifest: Manifest, moved: dict[int, str]) -> None:
    """Check the copy of the database and write the new paths into it.

    Raises:
        BrokenData: it is damaged, or has other tables than the manifest says.
    """
    try:
        with closing(sqlite3.connect(file)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise BrokenData(f"The database in the backup is damaged ({found}). Use another backup.")
    engine = create_engine(sqlite_url(file), poolclass=NullPool)
    with engine.begin() as connection_:
        revision = connection_.scalar(text("SELECT version_num FROM alembic_version"))
        if revision != manifest.revision:
            raise BrokenData(
                f"The database in the backup is at revision {revision}, and its manifest says "
                f"{manifest.revision}. Use another backup."
            )
        _write_paths(connection_, moved)


def _restore_postgres(db: Database, file: Path, moved: dict[int, str]) -> None:
    name = db.engine.url.database or ""
    run_client(
        db, "pg_restore", "--single-transaction", "--exit-on-error", f"--dbname={name}", str(file)
    )
    db.engine.dispose()
    with db.engine.begin() as connection:
        _write_paths(connection, moved)


def _write_paths(connection: Connection, moved: dict[int, str]) -> None:
    for number, _name, path in dataset_names(connection):
        new = moved.get(number, path)
        if new != path:
            connection.execute(
                text("UPDATE dataset SET path = :path WHERE id = :id"), {"path": new, "id": number}
            )


def _move_in(stage: Path, home: Path) -> None:
    found = sorted((stage / HOME).iterdir()) if (stage / HOME).is_dir() else []
    part = stage / f"{MOVING}.part"
    part.write_text(json.dumps([each.name for each in found]), "utf-8")
    part.replace(stage / MOVING)
    for each in found:
        each.rename(home / each.name)


def _move_database(staged: Path, target: Path) -> None:
    target.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    try:
        os.replace(staged, target)
    except OSError:  # on another disk
        part = target.with_name(f".{target.name}.part")
        try:
            with (
                staged.open("rb") as source,
                open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out,
            ):
                shutil.copyfileobj(source, out)
                out.flush()
                os.fsync(out.fileno())
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
        staged.unlink()


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return
