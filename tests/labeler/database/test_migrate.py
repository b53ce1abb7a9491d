"""From an empty database to the models and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, inspect, select, text
from sqlalchemy.exc import IntegrityError

from labeler.assignment.annotator_state import load_annotator_state
from labeler.consensus.store import rebuild
from labeler.database.engine import Database
from labeler.database.migrate import SCRIPTS, current, differences, downgrade, head, upgrade
from labeler.errors import ConfigError
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.voting import Lease, Vote
from labeler.qualification.service import read_feedback, read_round
from labeler.rules.campaign_rules import Rules
from tests.labeler.acting import NOON, after


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "postgres":
        yield request.getfixturevalue("empty_postgres_db")
        return
    database = Database(f"sqlite:///{tmp_path / 'new' / 'empty.sqlite3'}")
    yield database
    database.dispose()


def test_up_down_and_up_again(empty_db: Database) -> None:
    assert current(empty_db) is None
    assert upgrade(empty_db) == (None, head())
    assert differences(empty_db) == []
    downgrade(empty_db)
    assert inspect(empty_db.engine).get_table_names() == ["alembic_version"]
    assert upgrade(empty_db) == (None, head())
    assert differences(empty_db) == []


def test_upgrading_again_changes_nothing(empty_db: Database) -> None:
    upgrade(empty_db)
    assert upgrade(empty_db) == (head(), head())


def test_a_difference_would_be_seen(empty_db: Database) -> None:
    upgrade(empty_db)
    with empty_db.write() as session:
        session.execute(text("ALTER TABLE dataset ADD COLUMN colour TEXT"))
        session.execute(text("DROP INDEX ix_consensus_queue"))
    assert {change[0] for change in differences(empty_db)} == {"remove_column", "add_index"}


def test_a_database_of_a_newer_version_is_refused(empty_db: Database) -> None:
    upgrade(empty_db)
    with empty_db.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '20991231z'"))
    with pytest.raises(
        ConfigError, match="20991231z, which this version of the program does not know"
    ):
        upgrade(empty_db)


def test_a_server_out_of_reach_is_named_without_the_password() -> None:
    database = Database("postgresql+psycopg://ada:hidden@127.0.0.1:1/light")
    with pytest.raises(ConfigError, match=r"ada:\*\*\*@127\.0\.0\.1:1/light cannot be reached"):
        upgrade(database)


def test_migration_files_are_named_by_date() -> None:
    names = [path.name for path in (SCRIPTS / "versions").glob("*.py")]
    assert names
    assert all(name[:8].isdigit() and name[8] == "_" for name in names)


FIRST = "20261122a"
FORMER_ROWS = (
    "INSERT INTO dataset (id, name, path, attribute_names, active, created_at) VALUES "
    "(3, 'faces', '/faces', '[]', true, :at), (5, 'others', '/others', '[]', false, :at)",
    "INSERT INTO annotator (id, username, pseudonym, role, password_hash, created_at) VALUES "
    "(1, 'ada', 'P1', 'annotator', '!', :at), (2, 'bob', 'P2', 'annotator', '!', :at)",
    "INSERT INTO image (id, dataset_id, filename, byte_size, sha256, attribute_bits, status) "
    "VALUES (7, 3, 'a.jpg', 1, 'x', 0, 'ok'), (8, 3, 'b.jpg', 1, 'x', 0, 'ok'), "
    "(9, 5, 'c.jpg', 1, 'x', 0, 'ok')",
    "INSERT INTO model_run (id, dataset_id, method, status, settings, metrics, created_at) "
    "VALUES (4, 3, 'm', 'training', '{}', '{}', :at)",
    "INSERT INTO vote (id, image_id, annotator_id, answer, mode, request_id, blind, shown_run_id, "
    "shown_label, elapsed_ms, created_at, superseded_at) VALUES "
    "(11, 7, 1, 'left', 'single', 'request-11', false, 4, 'left', 900, :at, :at), "
    "(12, 7, 1, 'right', 'single', 'request-12', true, NULL, NULL, NULL, :at, NULL), "
    "(20, 9, 2, 'unsure', 'single', 'request-20', false, NULL, NULL, 0, :at, NULL)",
    "INSERT INTO consensus (image_id, dataset_id, status, label, probability, votes_left, "
    "votes_center, votes_right, votes_unsure, method, priority, random_key, updated_at) VALUES "
    "(7, 3, 'open', NULL, NULL, 0, 0, 1, 0, 'majority-1', 1, 70, :at), "
    "(8, 3, 'agreed', 'center', 1.0, 0, 3, 0, 0, 'majority-1', 3, 80, :at), "
    "(9, 5, 'open', NULL, NULL, 0, 0, 0, 1, 'majority-1', 1, 90, :at)",
    "INSERT INTO lease (image_id, annotator_id, blind, shown_run_id, shown_label, created_at, "
    "expires_at) VALUES (7, 2, false, 4, 'left', :at, :until)",
)


@pytest.fixture
def former_db(empty_db: Database) -> Database:
    """The tables of the first version, with votes, a lease and consensus in two data sets."""
    upgrade(empty_db, FIRST)
    with empty_db.write() as session:
        for statement in FORMER_ROWS:
            session.execute(
                text(statement), {"at": stamp(empty_db, 0), "until": stamp(empty_db, 60)}
            )
    return empty_db


def stamp(db: Database, seconds: float) -> object:
    """A moment as the database keeps it: SQLite's driver takes text."""
    moment = after(seconds)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f") if db.is_sqlite else moment


def test_votes_leases_and_consensus_move_into_campaigns(former_db: Database) -> None:
    upgrade(former_db)
    assert differences(former_db) == []
    with former_db.read() as session:
        campaigns = session.scalars(select(Campaign).order_by(Campaign.dataset_id)).all()
        assert [(one.name, one.active) for one in campaigns] == [("faces", True), ("others", False)]
        rules = [Rules.from_dict(one.rules) for one in campaigns]
        assert {(one.method, one.required_votes, one.blind_share) for one in rules} == {
            ("majority", 3, 0.25)
        }
        here, there = (one.id for one in campaigns)
        votes = session.scalars(select(Vote).order_by(Vote.id)).all()
        assert [
            (
                v.id,
                v.campaign_id,
                v.image_id,
                v.annotator_id,
                v.answer,
                v.request_id,
                v.blind,
                v.shown_run_id,
                v.shown_label,
                v.elapsed_ms,
                v.created_at,
                v.superseded_at,
            )
            for v in votes
        ] == [
            (11, here, 7, 1, "left", "request-11", False, 4, "left", 900, NOON, NOON),
            (12, here, 7, 1, "right", "request-12", True, None, None, None, NOON, None),
            (20, there, 9, 2, "unsure", "request-20", False, None, None, 0, NOON, None),
        ]
        (lease,) = session.scalars(select(Lease)).all()
        assert (
            lease.campaign_id,
            lease.image_id,
            lease.annotator_id,
            lease.mode,
            lease.shown_label,
        ) == (here, 7, 2, "single", "left")
        rows = session.scalars(select(Consensus).order_by(Consensus.image_id)).all()
        assert [
            (row.campaign_id, row.image_id, row.status, row.label, row.random_key, row.leased_until)
            for row in rows
        ] == [
            (here, 7, "open", None, 70, after(60)),
            (here, 8, "agreed", "center", 80, None),
            (there, 9, "open", None, 90, None),
        ]


def test_the_moved_consensus_is_what_a_rebuild_makes(former_db: Database) -> None:
    """But for the posterior, which was not kept before, and a label that no vote supports."""
    upgrade(former_db)
    names = ("status", "label", "votes_left", "votes_right", "votes_unsure", "method", "priority")

    def snapshot() -> dict[int, tuple[object, ...]]:
        with former_db.read() as session:
            rows = session.scalars(select(Consensus).where(Consensus.image_id != 8))
            return {row.image_id: tuple(getattr(row, name) for name in names) for row in rows}

    before = snapshot()
    with former_db.write() as session:
        for campaign_id in session.scalars(select(Campaign.id)).all():
            rebuild(session, campaign_id)
    assert snapshot() == before


def test_moved_votes_are_still_guarded_and_their_numbers_go_on(former_db: Database) -> None:
    upgrade(former_db)
    with pytest.raises(IntegrityError, match="append-only"), former_db.write() as session:
        session.execute(delete(Vote).execution_options(synchronize_session=False))
    with former_db.read() as session:
        here = session.scalars(select(Campaign.id).where(Campaign.active)).one()
    new = {"campaign_id": here, "image_id": 7, "annotator_id": 2, "answer": "left", "blind": False}
    with former_db.write() as session:
        vote = Vote(**new, request_id="request-21")
        session.add(vote)
        session.flush()
        assert vote.id == 21
    with former_db.read() as session:
        assert session.scalars(select(Lease)).all() == []
        assert session.get_one(Consensus, (here, 7)).leased_until is None


def test_votes_are_never_lost_by_going_back(former_db: Database) -> None:
    upgrade(former_db)
    with pytest.raises(RuntimeError, match="Restore the backup"):
        downgrade(former_db)
    assert current(former_db) == head()


BEFORE_ROUNDS = "20261122c"
QUALIFYING_ROWS = (
    "INSERT INTO dataset (id, name, path, attribute_names, created_at) VALUES "
    "(3, 'faces', '/faces', '[]', :at)",
    "INSERT INTO annotator (id, username, pseudonym, role, password_hash, created_at) VALUES "
    "(1, 'ada', 'P1', 'annotator', '!', :at), (2, 'bob', 'P2', 'annotator', '!', :at), "
    "(3, 'cyd', 'P3', 'annotator', '!', :at), (4, 'eve', 'P4', 'supervisor', '!', :at)",
    "INSERT INTO image (id, dataset_id, filename, byte_size, sha256, attribute_bits, status) "
    "VALUES (7, 3, 'a.jpg', 1, 'x', 0, 'ok'), (8, 3, 'b.jpg', 1, 'x', 0, 'ok'), "
    "(9, 3, 'c.jpg', 1, 'x', 0, 'ok')",
    "INSERT INTO campaign (id, dataset_id, name, active, rules, selection, guideline, created_at) "
    "VALUES (1, 3, 'faces', true, '{\"training\" : 2, \"pass_share\" : 1.0}', '{}', '', :at)",
    "INSERT INTO consensus (campaign_id, image_id, status, p_left, p_center, p_right, votes_left, "
    "votes_center, votes_right, votes_unsure, method, priority, random_key, updated_at) "
    "SELECT 1, id, 'open', 0.25, 0.25, 0.5, 0, 0, 0, 0, 'm', 0, id, :at FROM image",
    "INSERT INTO gold (campaign_id, image_id, label, source, explanation, created_at) "
    "SELECT 1, id, 'left', 'csv', '', :at FROM image",
)
VOTE = (
    "INSERT INTO vote (id, campaign_id, image_id, annotator_id, answer, mode, request_id, blind, "
    "planted, mirrored, created_at) VALUES (:id, 1, :image, :person, :answer, 'training', "
    ":request, true, false, false, :at)"
)
STATUS = (
    "INSERT INTO participation (campaign_id, annotator_id, standing, reason, changed_by_id, "
    "changed_at) VALUES (1, :person, 'training', :reason, :by, :at)"
)
VERDICT = "1 of 2 right; 2 are needed. Here is another round."
# Number, person, image, answer, seconds after noon.
EXERCISES = (
    (11, 1, 7, "left", 10),
    (12, 1, 8, "right", 20),
    (13, 1, 9, "left", 30),
    (14, 2, 7, "left", 11),
    (15, 2, 8, "left", 25),
    (16, 3, 7, "left", 12),
)


@pytest.fixture
def qualifying_db(empty_db: Database) -> Database:
    """Ada's second vote ended a round, eve has sent bob to another, cyd is in the first."""
    upgrade(empty_db, BEFORE_ROUNDS)
    with empty_db.write() as session:
        for statement in QUALIFYING_ROWS:
            session.execute(text(statement), {"at": stamp(empty_db, 0)})
        for number, person, image, answer, at in EXERCISES:
            values = {"id": number, "person": person, "image": image, "answer": answer}
            more = {"request": f"request-{number}", "at": stamp(empty_db, at)}
            session.execute(text(VOTE), values | more)
        changes = ((1, VERDICT, None, 20), (2, "", 4, 15))
        for person, reason, by, at in changes:
            values = {"person": person, "reason": reason, "by": by, "at": stamp(empty_db, at)}
            session.execute(text(STATUS), values)
    return empty_db


def rounds(db: Database) -> dict[int, tuple[int, int]]:
    """Answered and right in the present round, by person."""
    found = {}
    with db.read() as session:
        for person in (1, 2, 3):
            annotator = load_annotator_state(session, person)
            assert annotator is not None
            done = read_round(session, annotator)
            found[person] = done.answered, done.right
    return found


def test_rounds_of_the_qualification_go_on(qualifying_db: Database) -> None:
    upgrade(qualifying_db)
    assert differences(qualifying_db) == []
    assert rounds(qualifying_db) == {1: (1, 1), 2: (1, 1), 3: (1, 1)}
    with qualifying_db.read() as session:
        verdicts = {
            number: read_feedback(session, person, number).round_result
            for number, person, *_ in EXERCISES
        }
    assert {number: verdict for number, verdict in verdicts.items() if verdict} == {12: VERDICT}


def test_rounds_survive_going_back_and_up_again(qualifying_db: Database) -> None:
    upgrade(qualifying_db)
    before = rounds(qualifying_db)
    downgrade(qualifying_db, BEFORE_ROUNDS)
    upgrade(qualifying_db)
    assert rounds(qualifying_db) == before
