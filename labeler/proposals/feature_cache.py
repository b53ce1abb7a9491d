"""Features kept by the content of the file that they were measured on.

A file of its own, never the database of the votes: it is written while people vote, and may be
deleted at any time. What was measured by another version of the features is dropped.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labeler.light_classifier.augmentation import VARIANTS
from labeler.light_classifier.features import N_FEATURES, VERSION, Features

FILE = "features.sqlite3"
SHAPES = {"plain": (N_FEATURES,), "varied": (1 + VARIANTS, N_FEATURES)}
WAIT_S = 30.0
_BATCH = 500  # digests in one question


@dataclass(frozen=True, slots=True)
class FeatureCache:
    """Where the features are kept; may be handed to other processes.

    Features come and go by the SHA-256 of the file, 32 bytes, and are of two kinds: `plain`
    (N_FEATURES,) and, with the variants of the picture, `varied` (1 + VARIANTS, N_FEATURES).
    """

    path: Path

    def prepare(self) -> None:
        """Make the file and its tables; one that is damaged is made anew.

        Raises:
            OSError: the folder cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._make_tables()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, no space: not damaged
                raise
            for file in (self.path, *map(Path, (f"{self.path}-wal", f"{self.path}-shm"))):
                file.unlink(missing_ok=True)
            self._make_tables()

    def find(self, kind: str, digests: Sequence[bytes]) -> dict[bytes, Features]:
        """Those that are kept, by digest."""
        found: dict[bytes, Features] = {}
        with self._open() as connection:
            for start in range(0, len(digests), _BATCH):
                batch = digests[start : start + _BATCH]
                marks = ",".join("?" * len(batch))
                rows = connection.execute(
                    f"SELECT digest, numbers FROM {_table(kind)} WHERE digest IN ({marks})", batch
                )
                for digest, numbers in rows:
                    found[digest] = np.frombuffer(numbers, "<f4").reshape(SHAPES[kind])
        return found

    def keep(self, kind: str, features: Mapping[bytes, Features]) -> None:
        """Store features by digest."""
        rows = [(digest, each.astype("<f4").tobytes()) for digest, each in features.items()]
        if rows:
            with self._open() as connection, connection:
                connection.executemany(f"INSERT OR IGNORE INTO {_table(kind)} VALUES (?, ?)", rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=WAIT_S)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            yield connection

    def _make_tables(self) -> None:
        wanted = {_table(kind) for kind in SHAPES}
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


def _table(kind: str) -> str:
    return f"{kind}_{VERSION}"
