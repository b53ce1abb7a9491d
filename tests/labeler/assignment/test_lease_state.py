"""Leases, votes, undo and release in any order, against a model in plain Python."""

from __future__ import annotations

import shutil
import tempfile
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import settings as tuned
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from labeler.assignment.leases import release_leases
from labeler.config import Settings
from labeler.consensus.majority import count_votes
from labeler.consensus.store import rebuild
from labeler.database.engine import Database
from labeler.errors import Forbidden, StaleLease
from labeler.labels import ANSWERS
from labeler.models.consensus import Consensus
from labeler.models.voting import Lease, Vote
from labeler.voting.service import undo_vote
from tests.conftest import SECRET, MakeAnnotator, MakeDataset
from tests.labeler.acting import after, ids, lease, set_rules, vote

PEOPLE = (1, 2, 3)
IMAGES = (1, 2, 3)
Pair = tuple[int, int]
people = st.sampled_from(PEOPLE)
images = st.sampled_from(IMAGES)


class Desks(RuleBasedStateMachine):
    """Three people and three images; each may be held and answered by `required` of them.

    The model: until when each pair of person and image is held, what each pair answers, and the
    votes in order. That an image is held by no more people than votes are missing holds as long
    as nobody is late, so lateness is remembered.
    """

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        path = self.folder / "state.sqlite3"
        shutil.copyfile(self.template, path)
        self.settings = Settings(
            home=self.folder, database_url=f"sqlite:///{path}", secret_key=SECRET, lease_seconds=60
        )
        self.db = Database(self.settings.database_url)
        self.clock = 0.0
        self.until: dict[Pair, datetime] = {}
        self.answers: dict[Pair, tuple[int, str]] = {}
        self.forgiving: set[int] = set()  # images that may have more holders than are needed

    @initialize(required=st.integers(1, 3))
    def begin(self, required: int) -> None:
        self.required = required
        set_rules(self.db, required_votes=required)

    def teardown(self) -> None:
        self.db.dispose()
        shutil.rmtree(self.folder)

    @property
    def now(self) -> datetime:
        return after(self.clock)

    def live(self, image: int) -> set[int]:
        return {person for person in PEOPLE if self.until.get((person, image), self.now) > self.now}

    def answered(self, image: int) -> list[str]:
        return [self.answers[pair][1] for pair in self.answers if pair[1] == image]

    def is_open(self, image: int) -> bool:
        return len(self.answered(image)) < self.required

    @rule(seconds=st.sampled_from([1, 1, 30, 61]))
    def time_passes(self, seconds: int) -> None:
        self.clock += seconds

    @rule(person=people, count=st.sampled_from([1, 3]))
    def takes(self, person: int, count: int) -> None:
        mine = {image for image in IMAGES if person in self.live(image)}
        open_mine = {image for image in mine if self.is_open(image)}
        free = {
            image
            for image in IMAGES
            if self.is_open(image)
            and image not in mine
            and (person, image) not in self.answers
            and len(self.answered(image)) + len(self.live(image)) < self.required
        }
        nobody = {
            image
            for image in IMAGES
            if self.is_open(image) and not self.live(image) and (person, image) not in self.answers
        }
        given = ids(lease(self.db, person, count, self.settings, self.now))
        allowed = free | nobody
        assert len(given) == len(set(given)) == min(count, len(open_mine | allowed))
        renewed = given[: min(count, len(open_mine))]
        new = given[len(renewed) :]
        assert set(renewed) <= open_mine
        assert set(new) <= allowed
        # Images that others hold as well come last.
        assert set(new) >= nobody or set(new) <= nobody
        for image in given:
            self.until[person, image] = after(self.clock + self.settings.lease_seconds)

    @rule(person=people, image=images, answer=st.sampled_from(ANSWERS))
    def answers_any(self, person: int, image: int, answer: str) -> None:
        self.answer(person, image, answer)

    @precondition(lambda self: self.until)
    @rule(data=st.data(), answer=st.sampled_from(ANSWERS))
    def answers_what_is_held(self, data: st.DataObject, answer: str) -> None:
        self.answer(*data.draw(st.sampled_from(sorted(self.until))), answer)

    def answer(self, person: int, image: int, answer: str) -> None:
        pair = person, image
        if pair not in self.until and pair not in self.answers:
            with pytest.raises(Forbidden):
                vote(self.db, person, image, answer, self.settings, self.now)
            return
        late = pair in self.until and person not in self.live(image)
        if late and pair not in self.answers and not self.is_open(image):
            with pytest.raises(StaleLease):
                vote(self.db, person, image, answer, self.settings, self.now)
            return
        cast = vote(self.db, person, image, answer, self.settings, self.now)
        if late:
            self.forgiving.add(image)
        self.answers[pair] = cast.vote_id, answer
        self.until.pop(pair, None)

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def undoes(self, data: st.DataObject) -> None:
        person, image = data.draw(st.sampled_from(sorted(self.answers)))
        vote_id, _ = self.answers.pop((person, image))
        with self.db.write() as session:
            back = undo_vote(session, person, vote_id, settings=self.settings, now=self.now)
        assert back.image_id == image
        self.until[person, image] = back.expires_at
        self.forgiving.add(image)

    @rule(person=people)
    def leaves(self, person: int) -> None:
        with self.db.write() as session:
            released = release_leases(session, person)
        mine = [pair for pair in self.until if pair[0] == person]
        assert released == len(mine)
        for pair in mine:
            del self.until[pair]

    @invariant()
    def leases_and_votes_are_as_in_the_model(self) -> None:
        with self.db.read() as session:
            held = {
                (one.annotator_id, one.image_id): one.expires_at
                for one in session.scalars(select(Lease))
            }
            current = session.scalars(select(Vote).where(Vote.superseded_at.is_(None)))
            stored = {(one.annotator_id, one.image_id): (one.id, one.answer) for one in current}
        assert held == self.until
        assert stored == self.answers

    @invariant()
    def the_place_in_the_queue_follows_the_leases_and_the_votes(self) -> None:
        with self.db.read() as session:
            rows = {row.image_id: row for row in session.scalars(select(Consensus))}
        for image in IMAGES:
            times = [time for (_, held), time in self.until.items() if held == image]
            row, counts = rows[image], count_votes(self.answered(image))
            assert (row.leased_until or self.now) <= max(times, default=self.now)
            if self.live(image):
                assert row.leased_until == max(times)
            assert (row.votes_left, row.votes_center, row.votes_right, row.votes_unsure) == (
                counts.left,
                counts.center,
                counts.right,
                counts.unsure,
            )
            assert (row.status == "open") == self.is_open(image)

    @invariant()
    def nobody_works_for_nothing(self) -> None:
        for image in set(IMAGES) - self.forgiving:
            assert len(self.answered(image)) + len(self.live(image)) <= self.required

    @invariant()
    def counting_anew_changes_nothing(self) -> None:
        with self.db.write() as session:
            assert rebuild(session, 1) == 0


@pytest.fixture
def machine(db: Database, make_dataset: MakeDataset, make_annotator: MakeAnnotator) -> type[Desks]:
    make_dataset(db, len(IMAGES))
    assert tuple(make_annotator(db).id for _ in PEOPLE) == PEOPLE
    with db.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    db.dispose()
    Desks.template = Path(db.engine.url.database or "")
    return Desks


def test_any_order_of_leases_votes_undo_and_release(machine: type[Desks]) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine, settings=tuned(max_examples=50, stateful_step_count=30, deadline=None)
    )
