"""How long a database may keep those waiting who use it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits in seconds; None: no limit.

    Attributes:
        lock_s: for a lock that others hold.
        connect_s: for a new connection to PostgreSQL.
        pool_s: for a connection, while other threads have all of them.
        statement_s: for one statement on PostgreSQL.
        idle_s: for the next statement of a transaction on PostgreSQL.
        waits_for_postgres_locks: whether the locks of PostgreSQL have no limit.
    """

    lock_s: float
    connect_s: float
    pool_s: float
    statement_s: float | None = None
    idle_s: float | None = None
    waits_for_postgres_locks: bool = False


# Commands and background jobs: a migration or an export may take long, and nobody waits for a page.
PATIENT = Patience(lock_s=15.0, connect_s=10.0, pool_s=30.0, waits_for_postgres_locks=True)
# Pages: a thread that waits cannot answer anybody else. Browsers send a vote again by themselves.
FOR_PAGES = Patience(lock_s=4.0, connect_s=3.0, pool_s=4.0, statement_s=30.0, idle_s=60.0)
# The health check has two seconds in all.
FOR_HEALTH = Patience(lock_s=1.0, connect_s=2.0, pool_s=1.0, statement_s=1.0, idle_s=5.0)
