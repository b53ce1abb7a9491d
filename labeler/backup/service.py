"""Make a backup of a live site: the database at one moment, with the files of the home folder."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import labeler
from labeler.backup.archive import (
    ArchivedDataset,
    ArchiveWriter,
    Manifest,
    verify_archive,
)
from labeler.backup.snapshot import (
    ClientProgramError,
    Snapshot,
    copy_sqlite,
    database_bytes,
    dataset_names,
    take_snapshot,
)
from labeler.config import Settings
from labeler.database import migrate
from labeler.database.engine import Database
from labeler.errors import ConfigError, Conflict, InvalidInput, SidelightError
from labeler.home_files import SECRET, files_to_keep, plain_files
from labeler.models.base import utc_now
from labeler.private_files import PRIVATE_FOLDER, make_private_file
from rotation.output_paths import check_file

SUFFIX = ".tar.gz"
NAME = re.compile(r"sidelight-\d{8}-\d{6}\.tar\.gz")  # those that `keep` counts and removes
HOME, IMAGES = "home", "images"
SPARE_BYTES = 2**20
_UNFINISHED = re.compile(r"\..+\.tar\.gz\.\d+\.part")
Progress = Callable[[int, int], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BackupReport:
    """A backup that was made and verified. `removed`: older ones that `keep` has removed."""

    path: Path
    size: int
    manifest: Manifest
    removed: Sequence[Path]


@dataclass(frozen=True, slots=True)
class _Source:
    """A file to back up, and its name in the archive."""

    name: str
    path: Path


def create_backup(
    db: Database,
    settings: Settings,
    target: Path | None = None,
    *,
    with_images: bool = False,
    keep: int | None = None,
    progress: Progress | None = None,
) -> BackupReport:
    """Back up the database and the files of the home folder into one archive, and verify it.

    The archive appears under its name when it is complete. Votes that are stored before the call
    are in it.

    Parameters:
        target: the file, or a folder for the default name; default: `backups` in the home folder.
        with_images: also copy data sets that are outside the home folder.
        keep: remove all but this many of the archives with default names in the folder.
        progress: called with (bytes done, bytes in all).

    Raises:
        Conflict: the file exists.
        InvalidInput: the name does not end in .tar.gz.
        DatasetError: the file cannot be written.
        ConfigError: the database has no tables, or PostgreSQL's programs are missing.
        SidelightError: too little space, or the database cannot be copied.
        OSError: the archive cannot be written.
    """
    path = _target(settings, target)
    if target is not None:
        check_file(path, "name another file or folder")
    return _write(db, settings, path, "all", with_images, keep, progress)


def back_up_before_upgrade(db: Database, settings: Settings, revision: str) -> Path | None:
    """Back up the database and the secret key before the tables are changed.

    Returns:
        The archive. None if PostgreSQL's `pg_dump` is not here: the upgrade then goes on without
        it, since PostgreSQL changes the tables in one transaction. A warning is logged.

    Raises:
        SidelightError: the backup cannot be made. The tables must not be changed.
    """
    name = f"before-upgrade-of-{revision}-{utc_now():%Y%m%d-%H%M%S}{SUFFIX}"
    try:
        path = _free(settings.backups / name)
        return _write(db, settings, path, "database", False, None, None).path
    except ClientProgramError as error:
        log.warning("The database is upgraded without a backup before it. %s", error)
        return None
    except (SidelightError, OSError) as error:
        said = error.message if isinstance(error, SidelightError) else f"{error.strerror}"
        raise SidelightError(
            f"The database must be upgraded, but the backup before it failed: {said} Nothing has "
            "changed. Or make a backup of your own, then run: python manage.py init --no-backup"
        ) from None


def _write(
    db: Database,
    settings: Settings,
    path: Path,
    content: str,
    with_images: bool,
    keep: int | None,
    progress: Progress | None,
) -> BackupReport:
    if migrate.current(db) is None:
        place = db.address
        raise ConfigError(f"{place} has no tables yet, so there is nothing to back up.")
    path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    remove_unfinished(path.parent)
    home = settings.home.resolve()
    sources = list(_home_sources(db, settings, content))
    outside = _outside(db, home) if with_images else {}
    for number, images in outside.items():
        sources += _image_sources(number, images)
    size = database_bytes(db)
    files = sum(_size(each.path) for each in sources)
    _check_space(path.parent, 2 * size + files + SPARE_BYTES)
    report = _counter(progress, 3 * size + 2 * files)
    with _unfinished(path) as folder:
        snapshot = take_snapshot(db, folder, report)
        part = folder / "archive"
        make_private_file(part)
        with part.open("wb") as out:
            writer = ArchiveWriter(out, report)
            writer.add(snapshot.name, snapshot.path)
            for each in sources:
                writer.add(each.name, _settled(each.path, folder))
            writer.finish(_manifest(db, home, content, snapshot, outside, writer))
            out.flush()
            os.fsync(out.fileno())
        manifest = verify_archive(part, report)
        _publish(part, path)
    removed = _prune(path, keep) if keep is not None else []
    return BackupReport(path, path.stat().st_size, manifest, removed)


def _manifest(
    db: Database,
    home: Path,
    content: str,
    snapshot: Snapshot,
    outside: dict[int, Path],
    writer: ArchiveWriter,
) -> Manifest:
    return Manifest(
        program=labeler.__version__,
        made_at=utc_now().isoformat(timespec="seconds"),
        database="sqlite" if db.is_sqlite else "postgresql",
        revision=snapshot.revision,
        home=str(home),
        content=content,
        rows=snapshot.rows,
        datasets=[_placed(each, home, content, outside) for each in snapshot.datasets],
        files=writer.files,
    )


def _placed(
    dataset: ArchivedDataset, home: Path, content: str, outside: dict[int, Path]
) -> ArchivedDataset:
    if dataset.id in outside:
        return replace(dataset, place="archive")
    inside = content == "all" and Path(dataset.path).is_relative_to(home)
    return replace(dataset, place="home" if inside else "outside")


def _home_sources(db: Database, settings: Settings, content: str) -> Iterator[_Source]:
    home = settings.home
    if not home.is_dir():
        return
    if content == "database":
        if (home / SECRET).is_file():
            yield _Source(f"{HOME}/{SECRET}", home / SECRET)
        return
    own = Path(db.engine.url.database or "").resolve() if db.is_sqlite else None
    for path in files_to_keep(home):
        if path.resolve() != own:
            yield _Source(f"{HOME}/{path.relative_to(home).as_posix()}", path)


def _outside(db: Database, home: Path) -> dict[int, Path]:
    """The data sets outside the home folder whose images exist, by number."""
    with db.engine.connect() as connection:
        rows = dataset_names(connection)
    return {
        number: Path(path)
        for number, _name, path in rows
        if not Path(path).is_relative_to(home) and Path(path).exists()
    }


def _image_sources(number: int, place: Path) -> Iterator[_Source]:
    if place.is_file():
        yield _Source(f"{IMAGES}/{number}/{place.name}", place)
        return
    for path in plain_files(place):
        yield _Source(f"{IMAGES}/{number}/{path.relative_to(place).as_posix()}", path)


def _settled(path: Path, folder: Path) -> Path:
    """The file itself, or a copy of an SQLite file, which may change while it is read."""
    if path.suffix != ".sqlite3":
        return path
    copy = folder / "copy.sqlite3"
    copy.unlink(missing_ok=True)
    copy_sqlite(path, copy)
    return copy


def _target(settings: Settings, target: Path | None) -> Path:
    name = f"sidelight-{utc_now():%Y%m%d-%H%M%S}{SUFFIX}"
    if target is None:
        return _free(settings.backups / name)
    target = target.absolute()
    if target.is_dir():
        return _free(target / name)
    if not target.name.endswith(SUFFIX):
        raise InvalidInput(f"{target}: name a folder that exists, or a file that ends in {SUFFIX}.")
    return _free(target)


def _free(path: Path) -> Path:
    if path.exists():
        raise Conflict(f"{path} exists, and a backup is never overwritten. Choose another name.")
    return path


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SidelightError(
            f"{folder} has {megabytes(free)} free, and the backup may need {megabytes(needed)}. "
            "Free some space, or name a file on another disk."
        )


def megabytes(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """A hidden folder beside the archive for what is not complete. It is locked while in use."""
    folder = path.parent / f".{path.name}.{os.getpid()}.part"
    folder.mkdir(mode=PRIVATE_FOLDER)
    lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def find_unfinished(folder: Path) -> list[Path]:
    """What backups that were killed have left in a folder."""
    return [
        path
        for path in (sorted(folder.glob(".*.part")) if folder.is_dir() else [])
        if _UNFINISHED.fullmatch(path.name) and path.is_dir() and not in_use(path)
    ]


def remove_unfinished(folder: Path) -> list[Path]:
    """Remove what backups that were killed have left in a folder; returns what it was."""
    found = find_unfinished(folder)
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return found


def in_use(folder: Path) -> bool:
    """Whether a backup or restore at work has locked a folder."""
    try:
        file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False


def _publish(part: Path, path: Path) -> None:
    """Give the complete archive its name, and make that last through a power cut."""
    try:
        os.link(part, path)  # unlike a rename, it never overwrites
    except FileExistsError:
        _free(path)
    except OSError:  # the file system has no links
        part.rename(_free(path))
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def find_backups(folder: Path) -> list[Path]:
    """The archives with default names in a folder, the newest first."""
    if not folder.is_dir():
        return []
    return sorted((each for each in folder.iterdir() if NAME.fullmatch(each.name)), reverse=True)


def _prune(made: Path, keep: int) -> list[Path]:
    """Remove older archives; the one just made counts even if it has a name of its own."""
    others = [each for each in find_backups(made.parent) if each != made]
    removed = others[max(keep - 1, 0) :]
    for each in removed:
        each.unlink(missing_ok=True)
    return removed


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _counter(progress: Progress | None, total: int) -> Callable[[int], None]:
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done = min(done + size, total)
        if progress is not None:
            progress(done, total)

    return count
