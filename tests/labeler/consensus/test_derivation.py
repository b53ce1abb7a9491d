"""The consensus by the posterior, after each vote and in any order, and what outranks it."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from labeler.campaigns.service import edit_campaign, get_campaign
from labeler.config import Settings
from labeler.consensus.derivation import DERIVED_COLUMNS
from labeler.consensus.stopping_rule import is_audited
from labeler.consensus.store import rebuild, recount
from labeler.database.engine import Database
from labeler.labels import ANSWERS
from labeler.models.base import utc_now
from labeler.models.consensus import Consensus, Decision, Estimate, Gold, Skill
from labeler.models.voting import Vote
from labeler.rules.campaign_rules import Rules
from labeler.statistics.posterior import DEFAULT_CONFUSION
from labeler.voting.service import undo_vote
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import (
    NOON,
    after,
    consensus_row,
    lease,
    make_gold,
    publish_run,
    queue,
    set_rules,
    vote,
)

CAREFUL = ((0.96, 0.02, 0.01, 0.01), (0.02, 0.95, 0.02, 0.01), (0.01, 0.02, 0.96, 0.01))
CARELESS = ((0.4, 0.3, 0.25, 0.05), (0.3, 0.35, 0.3, 0.05), (0.25, 0.3, 0.4, 0.05))


@pytest.fixture
def images(any_db: Database, make_dataset: MakeDataset) -> list[int]:
    """Eight images; a posterior of 0.95 from one named vote on, at most five votes."""
    make_dataset(any_db, 8)
    set_rules(any_db, method="posterior", required_votes=1, vote_cap=5, audit_share=0.0)
    with any_db.write() as session:
        rebuild(session, 1)
    return sorted(queue(any_db))


@pytest.fixture
def people(any_db: Database, images: list[int], make_annotator: MakeAnnotator) -> list[int]:
    """Five people: nothing is known of three, one is careful, one careless and a follower."""
    people = [make_annotator(any_db).id for _ in range(5)]
    with any_db.write() as session:
        for person, confusion, copy_rate in ((people[3], CAREFUL, 0.0), (people[4], CARELESS, 0.6)):
            session.add(
                Skill(
                    campaign_id=1,
                    annotator_id=person,
                    confusion=confusion,
                    copy_rate=copy_rate,
                    figures={},
                    flags=[],
                )
            )
        session.add(
            Estimate(
                campaign_id=1,
                class_prior=[0.3, 0.4, 0.3],
                confusion=DEFAULT_CONFUSION,
                copy_rate=0.1,
                figures={},
                method="test",
            )
        )
        rebuild(session, 1)
    return people


def answer(
    db: Database, settings: Settings, image_id: int, votes: Sequence[tuple[int, str]]
) -> Consensus:
    """Each of the people says what they say of one image; what is known then."""
    for person, word in votes:
        lease(db, person, 8, settings)
        vote(db, person, image_id, word, settings)
    return consensus_row(db, image_id)


def hold(db: Database, settings: Settings, people: Sequence[int]) -> None:
    """Everybody holds everything, so that everybody may answer."""
    with db.read() as session:
        rules = get_campaign(session, 1).rules
    set_rules(db, method="majority", required_votes=9, vote_cap=9)
    for person in people:
        assert len(lease(db, person, 8, settings)) == 8
    set_rules(db, **rules)


def derived(row: Consensus) -> list[object]:
    values = [getattr(row, name) for name in DERIVED_COLUMNS]
    return [pytest.approx(v, abs=1e-12) if isinstance(v, float) else v for v in values]


def posterior_by_hand(prior: Sequence[float], votes: Sequence[Vote], people: Sequence[int]) -> Any:
    """P(label) by formula 2.5 of Dawid and Skene, with a share of the votes that only repeat."""
    skills = {people[3]: (CAREFUL, 0.0), people[4]: (CARELESS, 0.6)}
    weights = np.array(prior)
    for one in votes:
        confusion, copied = skills.get(one.annotator_id, (DEFAULT_CONFUSION, 0.1))
        repeats = one.answer == one.shown_label
        copied = copied if one.shown_label else 0.0
        own = np.array(confusion)[:, ANSWERS.index(one.answer)]
        weights = weights * (copied * repeats + (1 - copied) * own)
    return weights / weights.sum()


def test_vote_after_vote_is_the_formula_also_when_counted_anew(
    any_db: Database, images: list[int], people: list[int], settings: Settings
) -> None:
    publish_run(any_db, 1, dict.fromkeys(images[:4], (0.6, 0.3, 0.1)), NOON)
    with any_db.write() as session:
        rebuild(session, 1)
    hold(any_db, settings, people)
    rng, cast = random.Random(3), []
    for person in people:
        for image_id in images:
            cast.append((person, vote(any_db, person, image_id, rng.choice(ANSWERS), settings)))
            if rng.random() < 0.2:
                vote(any_db, person, image_id, rng.choice(ANSWERS), settings)
            elif rng.random() < 0.2:
                with any_db.write() as session:
                    undo_vote(session, person, cast[-1][1].vote_id, settings=settings, now=after(1))
    with any_db.read() as session:
        rows = session.scalars(select(Consensus)).all()
        current = session.scalars(select(Vote).where(Vote.superseded_at.is_(None))).all()
    assert {one.shown_label for one in current} == {"left", None}
    for row in rows:
        prior = (0.6, 0.3, 0.1) if row.image_id in images[:4] else (0.3, 0.4, 0.3)
        mine = [one for one in current if one.image_id == row.image_id]
        expected = posterior_by_hand(prior, mine, people)
        assert [row.p_left, row.p_center, row.p_right] == pytest.approx(expected, abs=1e-6)
        assert row.label is None or row.probability == pytest.approx(expected.max(), abs=1e-6)
    before = {row.image_id: derived(row) for row in rows}
    with any_db.write() as session:
        assert rebuild(session, 1) == 0
    assert {row[0] for row in before.values()} >= {"agreed"}
    for image_id in images:
        assert derived(consensus_row(any_db, image_id)) == before[image_id]


def test_the_order_of_the_votes_does_not_matter(
    any_db: Database, images: list[int], people: list[int], settings: Settings
) -> None:
    hold(any_db, settings, people)
    said = list(zip((people[0], people[3], people[4]), ("left", "center", "left"), strict=True))
    rows = []
    for image_id, order in zip(images, permutations(said), strict=False):
        for person, word in order:
            vote(any_db, person, image_id, word, settings)
        row = consensus_row(any_db, image_id)
        rows.append((row.status, row.label, row.p_left, row.p_center, row.p_right, row.votes_left))
    assert len(rows) == 6
    assert len(set(rows)) == 1


def test_a_careful_person_settles_an_image_and_a_careless_one_does_not(
    any_db: Database, images: list[int], people: list[int], settings: Settings
) -> None:
    careful = answer(any_db, settings, images[0], [(people[3], "left")])
    careless = answer(any_db, settings, images[1], [(people[4], "left")])
    assert (careful.status, careful.label) == ("agreed", "left")
    assert careful.probability == careful.p_left > 0.95
    assert (careless.status, careless.label, careless.probability) == ("open", None, None)
    assert 0.3 < careless.p_left < careful.p_left


def test_a_repeated_proposal_counts_less_than_the_same_answer_given_blind(
    any_db: Database, images: list[int], people: list[int], settings: Settings
) -> None:
    set_rules(any_db, use_model=False)
    publish_run(any_db, 1, {images[0]: (0.8, 0.1, 0.1)}, NOON)
    followed = answer(any_db, settings, images[0], [(people[4], "left")])
    alone = answer(any_db, settings, images[1], [(people[4], "left")])
    assert 0.3 < followed.p_left < alone.p_left


def test_the_model_is_an_opinion_but_never_a_consensus(
    any_db: Database, images: list[int], people: list[int], settings: Settings
) -> None:
    publish_run(any_db, 1, dict.fromkeys(images[:2], (0.99, 0.005, 0.005)), NOON)
    with any_db.write() as session:
        rebuild(session, 1)
    row = consensus_row(any_db, images[0])
    assert (row.status, row.p_left) == ("open", pytest.approx(0.99))
    assert answer(any_db, settings, images[0], [(people[0], "left")]).status == "agreed"
    set_rules(any_db, use_model=False)
    with any_db.write() as session:
        rebuild(session, 1)
    assert consensus_row(any_db, images[1]).p_left == pytest.approx(1 / 3)


@pytest.mark.parametrize("named", [True, False])
def test_whether_a_sure_proposal_can_outweigh_a_person(
    any_db: Database, images: list[int], people: list[int], settings: Settings, named: bool
) -> None:
    set_rules(any_db, named=named, proposals="hidden")
    publish_run(any_db, 1, {images[0]: (0.998, 0.001, 0.001)}, NOON)
    row = answer(any_db, settings, images[0], [(people[0], "center")])
    assert row.p_left > 0.9
    assert (row.status, row.label) == (("open", None) if named else ("agreed", "left"))


def test_at_the_cap_an_image_without_a_label_is_contested(
    any_db: Database, images: list[int], people: list[int], settings: Settings
) -> None:
    hold(any_db, settings, people)
    words = ("unsure", "left", "right", "unsure", "unsure")
    rows = [answer(any_db, settings, images[0], [pair]) for pair in zip(people, words, strict=True)]
    assert [row.status for row in rows] == ["open"] * 4 + ["contested"]
    assert images[0] not in [one.image_id for one in lease(any_db, people[0], 8, settings)]


def test_audited_images_are_asked_up_to_the_cap(
    any_db: Database, images: list[int], people: list[int], settings: Settings
) -> None:
    set_rules(any_db, audit_share=0.5)
    audited = [one for one in images if is_audited(1, one, 0.5)]
    others = sorted(set(images) - set(audited))
    assert audited
    assert others
    hold(any_db, settings, people)
    for image_id, early in ((audited[0], "open"), (others[0], "agreed")):
        statuses = []
        for person in people[3::-1] + people[4:]:
            vote(any_db, person, image_id, "left", settings)
            statuses.append(consensus_row(any_db, image_id).status)
        assert statuses == [early] * 4 + ["agreed"]


@pytest.mark.parametrize("label", ["right", None])
def test_a_decision_outranks_gold_and_gold_outranks_votes(
    any_db: Database, images: list[int], people: list[int], settings: Settings, label: str | None
) -> None:
    image_id = images[0]
    assert answer(any_db, settings, image_id, [(people[3], "left")]).label == "left"
    make_gold(any_db, {image_id: "center"})
    row = consensus_row(any_db, image_id)
    assert (row.label, row.probability, row.method, row.votes_left) == ("center", 1.0, "gold-1", 1)
    with any_db.write() as session:
        session.add(Decision(campaign_id=1, image_id=image_id, annotator_id=people[0], label=label))
        session.flush()
        recount(session, 1, [image_id])
    row = consensus_row(any_db, image_id)
    status = "agreed" if label else "contested"
    assert (row.status, row.label, row.method) == (status, label, "decision-1")
    vote(any_db, people[3], image_id, "center", settings)
    assert consensus_row(any_db, image_id).label == label
    with any_db.write() as session:
        session.scalars(select(Decision)).one().superseded_at = utc_now()
        session.scalars(select(Gold)).one().revoked_at = utc_now()
        session.flush()
        assert rebuild(session, 1) == 1
    row = consensus_row(any_db, image_id)
    assert (row.label, row.method, row.votes_center) == ("center", "posterior-1", 1)


def test_edited_rules_decide_anew(
    any_db: Database, images: list[int], people: list[int], settings: Settings
) -> None:
    answer(any_db, settings, images[0], [(people[3], "left")])
    with any_db.write() as session:
        old = Rules.from_dict(get_campaign(session, 1).rules)
        assert not edit_campaign(session, 1, rules=old, guideline="Look at the nose.")
        strict = Rules.from_dict({**old.as_dict(), "required_votes": 2})
        assert edit_campaign(session, 1, rules=strict)
        assert rebuild(session, 1) == 1
        assert rebuild(session, 1) == 0
    assert consensus_row(any_db, images[0]).status == "open"
    assert get_guideline(any_db) == "Look at the nose."


def get_guideline(db: Database) -> str:
    with db.read() as session:
        return get_campaign(session, 1).guideline


def test_exercises_teach_the_person_and_not_the_consensus(
    any_db: Database, images: list[int], people: list[int]
) -> None:
    with any_db.write() as session:
        session.add(
            Vote(
                campaign_id=1,
                image_id=images[0],
                annotator_id=people[3],
                answer="left",
                mode="training",
                blind=False,
                request_id=uuid.uuid4().hex,
            )
        )
        session.flush()
        assert rebuild(session, 1) == 0
    assert consensus_row(any_db, images[0]).votes_left == 0
