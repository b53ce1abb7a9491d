"""Checks of the database: can it be reached, is it whole, do its rows agree with each other."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from urllib.parse import quote

from sqlalchemy import text
from sqlalchemy.orm import Session

from labeler.accounts.service import has_admin
from labeler.consensus.store import batches, find_stale
from labeler.database import migrate
from labeler.doctor.findings import Finding, Site
from labeler.models.campaigns import Campaign

SHOWN = 3
# The triggers without which votes could be changed, or images stay reserved.
TRIGGERS = {
    True: (
        "vote_no_delete",
        "vote_no_update",
        "vote_ends_lease",
        "lease_holds_insert",
        "lease_holds_update",
        "lease_lets_go",
    ),
    False: ("vote_no_update", "vote_no_truncate", "vote_ends_lease", "lease_holds"),
}
# What must never be found: (what it is, statement whose rows name what is wrong).
FORBIDDEN = (
    (
        "votes on an image, of a person or in a campaign that does not exist",
        "SELECT vote.id FROM vote LEFT JOIN image ON image.id = vote.image_id "
        "LEFT JOIN annotator ON annotator.id = vote.annotator_id "
        "LEFT JOIN campaign ON campaign.id = vote.campaign_id "
        "WHERE image.id IS NULL OR annotator.id IS NULL OR campaign.id IS NULL",
    ),
    (
        "people with two current votes on one image of a campaign",
        "SELECT annotator_id FROM vote WHERE superseded_at IS NULL "
        "GROUP BY campaign_id, image_id, annotator_id HAVING count(*) > 1",
    ),
    (
        "requests that were stored twice",
        "SELECT request_id FROM vote GROUP BY request_id HAVING count(*) > 1",
    ),
    (
        "images of another data set in a campaign",
        "SELECT consensus.image_id FROM consensus "
        "JOIN campaign ON campaign.id = consensus.campaign_id "
        "JOIN image ON image.id = consensus.image_id "
        "WHERE image.dataset_id <> campaign.dataset_id",
    ),
    (
        "images that cannot be shown but are in a queue",
        "SELECT consensus.image_id FROM consensus JOIN image ON image.id = consensus.image_id "
        "WHERE image.status <> 'ok'",
    ),
)
COUNTED = (
    "SELECT consensus.image_id FROM consensus LEFT JOIN ("
    "SELECT campaign_id, image_id, "
    "sum(CASE WHEN answer = 'left' THEN 1 ELSE 0 END) AS n_left, "
    "sum(CASE WHEN answer = 'center' THEN 1 ELSE 0 END) AS n_center, "
    "sum(CASE WHEN answer = 'right' THEN 1 ELSE 0 END) AS n_right, "
    "sum(CASE WHEN answer = 'unsure' THEN 1 ELSE 0 END) AS n_unsure "
    "FROM vote WHERE superseded_at IS NULL AND mode <> 'training' GROUP BY campaign_id, image_id"
    ") AS counted ON counted.campaign_id = consensus.campaign_id "
    "AND counted.image_id = consensus.image_id "
    "WHERE votes_left <> coalesce(n_left, 0) OR votes_center <> coalesce(n_center, 0) "
    "OR votes_right <> coalesce(n_right, 0) OR votes_unsure <> coalesce(n_unsure, 0)"
)
LEASED = (
    "SELECT consensus.image_id FROM consensus LEFT JOIN ("
    "SELECT campaign_id, image_id, max(expires_at) AS latest FROM lease "
    "GROUP BY campaign_id, image_id) AS held ON held.campaign_id = consensus.campaign_id "
    "AND held.image_id = consensus.image_id "
    "WHERE coalesce(CAST(leased_until AS varchar(40)), '') "
    "<> coalesce(CAST(latest AS varchar(40)), '')"
)
RESTORE = (
    "Stop the site, keep a copy of the database, and restore the last good backup: python "
    "manage.py restore FILE (docs/operations.md)."
)

REBUILD = "Run for each campaign: python manage.py consensus rebuild --campaign NAME"


def check_revision(site: Site) -> Iterator[Finding]:
    """The tables are those of this program."""
    found = migrate.current(site.db)
    if found == migrate.head():
        yield Finding("schema", "ok", f"The tables are those of this program ({found}).")
    elif found is None:
        action = "Run `python manage.py init`, or restore a backup: python manage.py restore FILE"
        yield Finding("schema", "problem", "The database has no tables yet.", action)
    elif migrate.is_known(found):
        said = f"The tables are of the older revision {found}; this program needs {migrate.head()}."
        action = "Run `python manage.py init`. It makes a backup first and keeps your data."
        yield Finding("schema", "problem", said, action)
    else:
        yield Finding("schema", "problem", migrate.newer_message(found))


def check_integrity(site: Site) -> Iterator[Finding]:
    """The files of the database are whole."""
    found = _sqlite_damage(site) if site.db.is_sqlite else _postgres_damage(site)
    for said in found[:SHOWN]:
        yield Finding("integrity", "problem", said, RESTORE)
    if not found:
        yield Finding("integrity", "ok", "The database is whole.")


def check_tables(site: Site) -> Iterator[Finding]:
    """Columns, indexes and triggers are those that the migrations make."""
    different = [_say_difference(each) for each in migrate.differences(site.db)]
    if different:
        said = f"The tables differ from those of this program: {'; '.join(different[:SHOWN])}."
        yield Finding("tables", "problem", said, RESTORE)
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if site.db.is_sqlite
        else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'"
    )
    with site.db.read() as session:
        there = set(session.scalars(text(query)))
    missing = [name for name in TRIGGERS[site.db.is_sqlite] if name not in there]
    if missing:
        said = f"Triggers that guard votes and leases are missing or off: {', '.join(missing)}."
        yield Finding("tables", "problem", said, RESTORE)
    if not different and not missing:
        yield Finding("tables", "ok", "Columns, indexes and triggers are as they should be.")


def check_rows(site: Site) -> Iterator[Finding]:
    """The rows agree with each other."""
    fine = True
    with site.db.read() as session:
        for what, statement in FORBIDDEN:
            if found := _found(session, statement):
                fine = False
                yield Finding("rows", "problem", f"{_count(found)} {what}.", RESTORE)
    if fine:
        yield Finding("rows", "ok", "Votes, images, people and campaigns agree with each other.")


def check_consensus(site: Site) -> Iterator[Finding]:
    """The columns that are derived from the votes agree with them."""
    with site.db.read() as session:
        if found := _found(session, COUNTED):
            said = f"{_count(found)} images whose counts differ from their votes."
            yield Finding("consensus", "problem", said, REBUILD)
            return
        if found := _found(session, LEASED):
            said = f"{_count(found)} images whose reservation differs from their leases."
            action = "Nothing is lost: it ends with the lease. Tell the developers about it."
            yield Finding("consensus", "warning", said, action)
        there = session.query(Campaign).where(Campaign.deleted_at.is_(None))
        campaigns = [(one.id, one.name) for one in there.order_by(Campaign.id)]
    fine = True
    for campaign_id, name in campaigns:
        stale = 0
        with site.db.read() as session:
            parts = batches(session, campaign_id)
        for part in parts:
            with site.db.read() as session:
                stale += len(find_stale(session, campaign_id, part))
        if stale:
            fine = False
            said = f"{stale:,} images of {name} have a label by older rules or skills."
            rebuild = f"python manage.py consensus rebuild --campaign {name!r}"
            action = f"If no background job is waiting, run `{rebuild}`."
            yield Finding("consensus", "warning", said, action)
    if fine:
        yield Finding("consensus", "ok", "All labels agree with the votes.")


def check_people(site: Site) -> Iterator[Finding]:
    """Somebody can manage the site."""
    with site.db.read() as session:
        if has_admin(session):
            yield Finding("people", "ok", "There is an admin.")
            return
    action = "Make a link for one: python manage.py users invite --role admin"
    yield Finding("people", "warning", "There is no active admin.", action)


def _sqlite_damage(site: Site) -> list[str]:
    address = f"file:{quote(str(site.database_file))}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=30)) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check(10)")]
        if found != ["ok"]:
            return found
        rows = connection.execute("PRAGMA foreign_key_check").fetchall()
    return [
        f"{table} row {row} points to a row of {parent} that is not there"
        for table, row, parent, _ in rows[:SHOWN]
    ]


def _postgres_damage(site: Site) -> list[str]:
    """What PostgreSQL knows of damage: bad indexes and sums, and counters behind their rows."""
    found = []
    with site.db.engine.connect() as connection:
        invalid = connection.exec_driver_sql(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid OR NOT indisready"
        )
        found += [f"The index {name} is not valid" for name in invalid.scalars()]
        unchecked = connection.exec_driver_sql(
            "SELECT conname FROM pg_constraint WHERE NOT convalidated"
        )
        found += [f"The constraint {name} is not validated" for name in unchecked.scalars()]
        failures = connection.exec_driver_sql(
            "SELECT checksum_failures FROM pg_stat_database WHERE datname = current_database()"
        ).scalar()
        if failures:
            found.append(f"PostgreSQL has found {failures} pages with a wrong sum")
        counters = connection.exec_driver_sql(
            "SELECT quote_ident(c.relname), quote_ident(a.attname), "
            "pg_get_serial_sequence(c.oid::regclass::text, a.attname) "
            "FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' "
            "AND n.nspname = current_schema() AND a.attnum > 0 AND NOT a.attisdropped "
            "AND pg_get_serial_sequence(c.oid::regclass::text, a.attname) IS NOT NULL"
        ).all()
        for table, column, counter in counters:
            statement = (  # PostgreSQL has quoted the names
                f"SELECT coalesce(max({column}), 0) > (SELECT last_value FROM {counter}) "  # nosec B608
                f"FROM {table}"
            )
            if connection.exec_driver_sql(statement).scalar():
                found.append(f"The counter {counter} is behind the rows of {table}")
    return found


def _found(session: Session, statement: str) -> Sequence[object]:
    return session.scalars(text(statement)).all()


def _count(found: Sequence[object]) -> str:
    shown = ", ".join(str(each) for each in found[:SHOWN])
    return f"{len(found):,} ({shown}{', ...' if len(found) > SHOWN else ''})"


def _say_difference(change: object) -> str:
    """The kind of a difference, and the table or index that it is about."""
    parts = change if isinstance(change, tuple) else (change,)
    if parts and isinstance(parts[0], list):
        return "; ".join(_say_difference(each) for each in parts[0])
    if isinstance(change, list):
        return "; ".join(_say_difference(each) for each in change)
    names = [str(getattr(part, "name", part)) for part in parts if part is not None]
    return " ".join(names[:4])
