"""Checks of files: rights, free space, side files, leftovers, backups."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from labeler.backup.restore import find_ended_restore, remove_ended_restore
from labeler.backup.service import find_backups, find_unfinished, megabytes, remove_unfinished
from labeler.backup.snapshot import ClientProgramError, database_bytes, find_client
from labeler.doctor.findings import Finding, Site
from labeler.home_files import FEATURES, JOBS, SECRET, is_cache, is_half_restored, unknown_entries
from labeler.mean_faces.files import FOLDER as FIGURES
from labeler.private_files import excess_rights, sqlite_files, tighten
from labeler.proposals.feature_cache import SHAPES, table_name

LITTLE_BYTES, VERY_LITTLE_BYTES = 2 * 10**9, 200 * 10**6
OLD_BACKUP = timedelta(days=7)


def check_home(site: Site) -> Iterator[Finding]:
    """The home folder exists, can be written, and holds a key."""
    home = site.settings.home
    if not os.access(home, os.W_OK | os.X_OK) or os.statvfs(home).f_flag & os.ST_RDONLY:
        action = f"Make it writable for the user who runs the site, for example: chown USER {home}"
        yield Finding("home", "problem", f"{home} cannot be written.", action)
    else:
        yield Finding("home", "ok", f"{home} can be written.")
    if is_half_restored(home):
        action = "Wait until the restore has ended, or restore again: python manage.py restore FILE"
        yield Finding("home", "problem", f"{home} is half restored.", action)
    if not site.settings.secret_key:
        action = "`python manage.py init` makes a key. Everybody must then sign in again."
        yield Finding("home", "warning", f"There is no key in {home / SECRET}.", action)


def check_rights(site: Site) -> Iterator[Finding]:
    """Only the owner can read the home folder, the database, the key and the side files."""
    home = site.settings.home
    paths = [home, home / SECRET, site.settings.backups, *site.settings.backups.glob("*.tar.gz")]
    for name in (FEATURES, JOBS):
        paths += sqlite_files(home / name)
    if site.database_file is not None:
        paths += sqlite_files(site.database_file)
    wrong = [path for path in paths if excess_rights(path)]
    for path in wrong:
        if site.fix and tighten(path):
            yield Finding("rights", "ok", f"{path} was readable by others. It is private now.")
            continue
        mode = f"{path.stat().st_mode & 0o777:o}"
        right = "700" if path.is_dir() else "600"
        action = f"Run `python manage.py doctor --fix`, or as the owner: chmod {right} {path}"
        yield Finding("rights", "problem", f"Others can read {path} (mode {mode}).", action)
    if not wrong:
        yield Finding("rights", "ok", "Only the owner can read the home, the database and the key.")


def check_space(site: Site) -> Iterator[Finding]:
    """The disks of the home and of the database have free space."""
    folders = {site.settings.home}
    if site.database_file is not None:
        folders.add(site.database_file.parent)
    seen = set()
    for folder in sorted(folders):
        if not folder.is_dir() or folder.stat().st_dev in seen:
            continue
        seen.add(folder.stat().st_dev)
        free = shutil.disk_usage(folder).free
        said = f"{megabytes(free)} free on the disk of {folder}."
        action = "Free some space. Without it no vote can be stored and no backup made."
        if free < VERY_LITTLE_BYTES:
            yield Finding("space", "problem", said, action)
        elif free < max(LITTLE_BYTES, 2 * database_bytes(site.db)):
            yield Finding("space", "warning", said, action)
        else:
            yield Finding("space", "ok", said)


def check_side_files(site: Site) -> Iterator[Finding]:
    """Caches and figures in the home folder are whole and of this version."""
    home = site.settings.home
    fine = True
    for path in (home / FEATURES, home / JOBS):
        if not path.is_file() or not path.stat().st_size:
            continue
        if damage := _damage(path):
            fine = False
            delete = f"rm {path} {path}-wal {path}-shm"
            action = f"Stop the site and delete it; it is made again: {delete}"
            yield Finding("side files", "problem", f"{path} is damaged ({damage}).", action)
        elif path.name == FEATURES and (others := _other_tables(path)):
            fine = False
            action = "Nothing: it is replaced when a model is trained. It may be deleted."
            said = f"{path} holds features of another version ({', '.join(others)})."
            yield Finding("side files", "warning", said, action)
    for path in sorted((home / FIGURES).glob("*.json")):
        if not _is_figure(path):
            fine = False
            action = f"Delete it, and draw the figure again: rm {path}"
            yield Finding("side files", "problem", f"{path} is damaged.", action)
    if fine:
        yield Finding("side files", "ok", "Caches and figures can be read.")


def check_leftovers(site: Site) -> Iterator[Finding]:
    """Nothing is left of programs that were killed, and everything in the home is known."""
    settings = site.settings
    left = [*find_unfinished(settings.backups), *find_ended_restore(settings.home)]
    if left and site.fix:
        remove_unfinished(settings.backups)
        remove_ended_restore(settings.home)
        yield Finding("leftovers", "ok", f"Removed what killed programs have left: {len(left)}.")
    elif left:
        action = "Run `python manage.py doctor --fix`. The next backup removes unfinished ones too."
        names = ", ".join(str(each) for each in left)
        yield Finding("leftovers", "warning", f"Left by killed programs: {names}.", action)
    own = site.database_file.name if site.database_file is not None else ""
    unknown = [
        name
        for name in unknown_entries(settings.home)
        if name != own and not is_cache(settings.home / name)
    ]
    if unknown:
        said = f"The site did not make these in {settings.home}: {', '.join(unknown)}."
        action = "Backups copy them. Move them away if they do not belong there."
        yield Finding("leftovers", "warning", said, action)
    if not left and not unknown:
        yield Finding("leftovers", "ok", "Nothing unfinished or unknown is in the home folder.")


def check_backups(site: Site) -> Iterator[Finding]:
    """There is a recent backup in the default folder, and one can be made."""
    if not site.db.is_sqlite:
        try:
            find_client(site.db, "pg_dump")
        except ClientProgramError as error:
            yield Finding("backups", "warning", "No backup can be made.", error.message)
    found = find_backups(site.settings.backups)
    action = "Run `python manage.py backup` every day, for example by cron (docs/operations.md)."
    if not found:
        said = f"There is no backup in {site.settings.backups}."
        yield Finding("backups", "warning", said, action)
        return
    age = datetime.now(UTC) - datetime.fromtimestamp(found[0].stat().st_mtime, UTC)
    said = f"The newest backup is {found[0].name}, {age.days} days old."
    yield Finding("backups", "warning" if age > OLD_BACKUP else "ok", said, _if(age, action))


def _if(age: timedelta, action: str) -> str:
    return action if age > OLD_BACKUP else ""


def _damage(path: Path) -> str:
    """What SQLite says about a damaged file, "" for a whole one. Nothing is written."""
    try:
        with closing(_open_to_read(path)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if found == "ok" else str(found)


def _other_tables(path: Path) -> list[str]:
    expected = {table_name(kind) for kind in SHAPES}
    with closing(_open_to_read(path)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return sorted(name for (name,) in rows if name not in expected)


def _open_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5)


def _is_figure(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        datetime.fromisoformat(content["made_at"])
        return len(content["size"]) == 2 and path.with_suffix(".png").is_file()
    except (OSError, ValueError, KeyError, TypeError):
        return False
