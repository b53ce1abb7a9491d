"""What all tables share: the names of constraints, the type of times, and word lists."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    TypeDecorator,
    text,
)
from sqlalchemy.orm import DeclarativeBase


def largest_whole(kind: Integer) -> int:
    """The largest number that a column of this type holds.

    PostgreSQL refuses a statement that merely compares such a column with a larger number, which
    SQLite does not. So whoever reads a number from outside compares it with this one first.
    """
    if isinstance(kind, SmallInteger):
        return 2**15 - 1
    return 2**63 - 1 if isinstance(kind, BigInteger) else 2**31 - 1


MAX_ID = largest_whole(Integer())  # the largest number of a row; a larger one is not found
MAX_VOTE_ID = largest_whole(BigInteger())  # votes are counted in a larger column
MAX_SMALL = largest_whole(SmallInteger())  # the counts of votes on an image


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time: timezone-aware in Python, UTC in the database.

    Raises:
        ValueError: a naive time was given.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time was given; use labeler.models.utc_now()")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def utc_now() -> datetime:
    """The current time, timezone-aware."""
    return datetime.now(UTC)


def one_of(column: str, allowed: tuple[str, ...]) -> str:
    """The SQL condition that a column holds one of the allowed words."""
    return f"{column} IN ({', '.join(repr(word) for word in allowed)})"


class Base(DeclarativeBase):
    """The base class of all tables: one naming convention, and column types by annotation."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[str]: JSON,
        list[Any]: JSON,
    }


def unique_where(name: str, *columns: str, where: str) -> Index:
    """A unique index on the columns over only the rows that meet the SQL condition `where`."""
    return Index(
        name, *columns, unique=True, sqlite_where=text(where), postgresql_where=text(where)
    )
