"""What lies in the home folder, and what a backup does with it.

docs/operations.md shows the same table to people, and a test compares the two. A folder with a
file `CACHEDIR.TAG` is a cache too (https://bford.info/cachedir/), whatever its name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

Kind = Literal["kept", "database", "cache", "lock", "backups", "leftover"]
BACKUPS = "backups"
SECRET = "secret_key"
PICTURES = "pictures"
STUDIO = "studio"
TURNING = "turning"
FEATURES = "features.sqlite3"
JOBS = "jobs.sqlite3"
CACHE_TAG = "CACHEDIR.TAG"
# A restore puts everything into this folder of the home first. MOVING lists what it then moves into
# the home, and the database comes last.
RESTORE_STAGE, MOVING, STAGED_DATABASE = ".restore.part", "moving.json", "database"
DISCARDED_STAGE = ".restore-ended.part"


@dataclass(frozen=True, slots=True)
class HomeFile:
    """A name in the home folder. `kind`: `kept` files go into a backup as they are.

    The site makes a `cache` and a `lock` again if it is missing, so they may be deleted while it
    is stopped.
    """

    pattern: str
    kind: Kind
    what: str


HOME_FILES = (
    HomeFile("*.part", "leftover", "an unfinished file of a program that was killed"),
    HomeFile("*-import.lock", "lock", "a lock that lets one import at a time run"),
    HomeFile("*-turn", "lock", "a lock that lets one process at a time write"),
    HomeFile("*-turnstile", "lock", "the lock before that lock"),
    HomeFile("*-wal", "database", "the newest changes of the SQLite file of the same name"),
    HomeFile("*-shm", "database", "shared memory of the SQLite file of the same name"),
    HomeFile("*-journal", "database", "the log of the SQLite file of the same name"),
    HomeFile("sidelight.sqlite3", "database", "the database: votes, accounts, labels, model runs"),
    HomeFile(SECRET, "kept", "the key that signs the cookies"),
    HomeFile("figures", "kept", "the drawn figures of mean faces"),
    HomeFile("demo", "kept", "the images of the demo data set"),
    HomeFile("images", "kept", "images that a backup with --with-images brought along"),
    HomeFile(PICTURES, "kept", "images that were added in the browser"),
    HomeFile(STUDIO, "kept", "heads that were turned in the studio"),
    HomeFile(JOBS, "cache", "the queue of background jobs of earlier versions"),
    HomeFile(FEATURES, "cache", "the features of images that a model learns from"),
    HomeFile("converted", "cache", "pictures converted for browsers"),
    HomeFile("poses", "cache", "measured poses"),
    HomeFile(TURNING, "cache", "what was computed for turned heads and is used again"),
    HomeFile(BACKUPS, "backups", "backups by `backup`, and one before each upgrade of the tables"),
)


def describe(name: str) -> HomeFile | None:
    """What an entry of the home folder is, None if the site does not know it."""
    return next((one for one in HOME_FILES if fnmatchcase(name, one.pattern)), None)


def is_cache(path: Path) -> bool:
    """Whether the site makes this entry of the home folder again if it is missing."""
    known = describe(path.name)
    if known is None:
        return (path / CACHE_TAG).is_file()
    return known.kind in ("cache", "lock")


def files_to_keep(home: Path) -> Iterator[Path]:
    """The files of the home folder that a backup copies, sorted. Those of databases are not here.

    Links and everything that is no plain file are left out.
    """
    for entry in _entries(home):
        known = describe(entry.name)
        if is_cache(entry) or (known is not None and known.kind != "kept"):
            continue
        if stat.S_ISREG(entry.lstat().st_mode):
            yield entry
        elif stat.S_ISDIR(entry.lstat().st_mode):
            yield from plain_files(entry)


def plain_files(folder: Path) -> Iterator[Path]:
    """The files under a folder, sorted, without links, caches and unfinished files."""
    for place, folders, files in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(each for each in folders if not (here / each / CACHE_TAG).is_file())
        for name in sorted(files):
            path = here / name
            if not name.endswith(".part") and stat.S_ISREG(path.lstat().st_mode):
                yield path


def is_half_restored(home: Path) -> bool:
    """Whether a restore into the home is at work or was interrupted before its end."""
    stage = home / RESTORE_STAGE
    moved_all = (stage / MOVING).exists() and not (stage / STAGED_DATABASE).exists()
    return stage.is_dir() and not moved_all


def unknown_entries(home: Path) -> list[str]:
    """The names in the home folder that the site does not know."""
    return [entry.name for entry in _entries(home) if describe(entry.name) is None]


def _entries(home: Path) -> list[Path]:
    return sorted(home.iterdir())
