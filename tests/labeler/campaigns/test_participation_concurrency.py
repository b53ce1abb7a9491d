"""Two decisions about one person at once: nothing fails, and the supervisor's decision stays."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from labeler.audit.log import Actor
from labeler.campaigns.participation import pause_person, resume_person
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.models.campaigns import Participation
from labeler.qualification.service import answer_exercise, next_exercise
from labeler.voting.service import SubmittedAnswer
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import at_once, make_gold, overtaken, queue, set_rules


@pytest.fixture
def ada(any_db: Database, make_annotator: MakeAnnotator, make_dataset: MakeDataset) -> int:
    """A person in a campaign whose qualification is one gold image."""
    make_dataset(any_db, 3)
    make_gold(any_db, dict.fromkeys(queue(any_db), "left"))
    set_rules(any_db, training=1)
    return make_annotator(any_db).id


@pytest.fixture
def boss(any_db: Database, make_annotator: MakeAnnotator) -> int:
    return make_annotator(any_db, role="supervisor").id


def row(db: Database, person: int) -> tuple[str, str, int | None]:
    with db.read() as session:
        found = session.get_one(Participation, (1, person))
        return found.status, found.reason, found.changed_by_id


def finish(db: Database, person: int, settings: Settings) -> Callable[[], None]:
    """Answers the last exercise of the person rightly, which ends the qualification."""
    with db.write() as session:
        leased = next_exercise(session, person, settings=settings)
        assert leased is not None
    submitted = SubmittedAnswer(leased.image_id, "left", str(uuid.uuid4()))

    def answer() -> None:
        with db.write() as session:
            answer_exercise(session, person, submitted, settings=settings)

    return answer


def test_two_first_decisions_at_once(any_db: Database, ada: int, boss: int) -> None:
    def pause() -> None:
        with any_db.write() as session:
            pause_person(session, 1, ada, "See me.", Actor(boss))

    overtaken(any_db, lambda session: resume_person(session, 1, ada, Actor(boss)), pause)
    assert row(any_db, ada) == ("paused", "See me.", boss)


def test_many_first_decisions_at_once(any_db: Database, ada: int, boss: int) -> None:
    def pause(number: int) -> None:
        with any_db.write() as session:
            pause_person(session, 1, ada, f"Reason {number}.", Actor(boss))

    assert at_once(pause) == [None] * 8
    with any_db.read() as session:
        assert session.get_one(Participation, (1, ada)).round_number == 8


def test_the_end_of_the_qualification_ends_no_pause(
    any_db: Database, ada: int, boss: int, settings: Settings
) -> None:
    answer = finish(any_db, ada, settings)
    overtaken(any_db, lambda session: pause_person(session, 1, ada, "See me.", Actor(boss)), answer)
    assert row(any_db, ada) == ("paused", "See me.", boss)
