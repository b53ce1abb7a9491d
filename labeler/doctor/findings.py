"""What a check finds, and what all checks are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from labeler.config import Settings
from labeler.database.engine import Database

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `action`: what a person should do, "" if nothing."""

    check: str
    status: Status
    message: str
    action: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """What is checked. `fix`: whether safe mistakes are mended at once."""

    settings: Settings
    db: Database
    fix: bool

    @property
    def database_file(self) -> Path | None:
        """The file of an SQLite database, None for PostgreSQL."""
        return Path(self.db.engine.url.database or "") if self.db.is_sqlite else None


Check = Callable[[Site], Iterator[Finding]]
