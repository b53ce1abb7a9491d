"""A cache of features by the content of image files.

It has its own file, because it is written while people vote. The file can be deleted at any time.
Features of another version are removed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labeler.home_files import FEATURES
from labeler.light_classifier.face_features import N_FEATURES, VERSION, Features
from labeler.light_classifier.semi_supervised import VARIANTS
from labeler.private_files import make_private_file, sqlite_files, tighten

FILE = FEATURES
N_FACTS = 3  # the number of faces, the yaw and the contrast of the halves, before the features
SHAPES = {
    "plain": (1, N_FACTS + N_FEATURES),
    "varied": (1 + VARIANTS, N_FACTS + N_FEATURES),
}
WAIT_S = 30.0
_BATCH = 500  # digests per query


@dataclass(frozen=True, slots=True)
class FeatureCache:
    """The cache file. Other processes can use the same one.

    Keys are the SHA-256 of image files, 32 bytes. There are two kinds of entries, see `SHAPES`:
    `plain`, and `varied` with the variants of the image.
    """

    path: Path

    def prepare(self) -> None:
        """Create the file and its tables. A damaged file is replaced.

        Raises:
            OSError: the folder cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        make_private_file(self.path)
        for file in sqlite_files(self.path):
            tighten(file)
        try:
            self._make_tables()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked or disk full
                raise
            for file in (self.path, *map(Path, (f"{self.path}-wal", f"{self.path}-shm"))):
                file.unlink(missing_ok=True)
            make_private_file(self.path)
            self._make_tables()

    def digests(self, kind: str) -> frozenset[bytes]:
        """The digests of all entries of a kind."""
        with self._open() as connection:
            select = f"SELECT digest FROM {table_name(kind)}"  # nosec B608  # a constant's name
            return frozenset(digest for (digest,) in connection.execute(select))

    def find(self, kind: str, digests: Sequence[bytes]) -> dict[bytes, Features]:
        """Return stored features by digest."""
        found: dict[bytes, Features] = {}
        with self._open() as connection:
            for start in range(0, len(digests), _BATCH):
                batch = digests[start : start + _BATCH]
                marks = ",".join("?" * len(batch))
                table = table_name(kind)  # no text from outside goes into the statement
                select = f"SELECT digest, numbers FROM {table} WHERE digest IN ({marks})"  # nosec B608
                for digest, numbers in connection.execute(select, batch):
                    found[digest] = np.frombuffer(numbers, "<f4").reshape(SHAPES[kind])
        return found

    def keep(self, kind: str, features: Mapping[bytes, Features]) -> None:
        """Store features by digest."""
        rows = [(digest, each.astype("<f4").tobytes()) for digest, each in features.items()]
        if rows:
            with self._open() as connection, connection:
                connection.executemany(
                    f"INSERT OR IGNORE INTO {table_name(kind)} VALUES (?, ?)", rows
                )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=WAIT_S)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            yield connection

    def _make_tables(self) -> None:
        wanted = {table_name(kind) for kind in SHAPES}
        with self._open() as connection, connection:
            there = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (name,) in there.fetchall():
                if name not in wanted:
                    connection.execute(f'DROP TABLE "{name}"')
            for name in wanted:
                connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {name} "
                    "(digest BLOB PRIMARY KEY, numbers BLOB NOT NULL) WITHOUT ROWID"
                )


def table_name(kind: str) -> str:
    """The table of a kind of features of this version."""
    return f"{kind}_{VERSION}"
