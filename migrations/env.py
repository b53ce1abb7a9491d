"""Runs the migrations on the connection that `labeler.database.migrate` hands over."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

from labeler.database.migrate import include_object
from labeler.models.base import Base

LOCK_TIMEOUT = "5s"  # rather fail than queue behind a long query and block the whole site


def run(connection: Connection) -> None:
    """Migrate in one transaction, on PostgreSQL without waiting long for any table."""
    is_sqlite = connection.dialect.name == "sqlite"
    if not is_sqlite:
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=is_sqlite,
        compare_type=True,
        include_object=include_object,
        transaction_per_migration=False,
    )
    context.run_migrations()


run(context.config.attributes["connection"])
