"""The order of images, when gold comes, how each is presented, and who gets none."""

from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import select

from labeler.campaigns.service import pause_campaign, resume_campaign
from labeler.config import Settings
from labeler.consensus.store import add_rows, rebuild, remove_rows
from labeler.database.engine import Database
from labeler.models.campaigns import Participation
from labeler.models.consensus import Consensus
from labeler.models.voting import Vote
from labeler.rules.campaign_rules import ORDERS
from labeler.rules.random_draws import FIRST_TURNS, inserted_label, is_blind, is_mirrored
from labeler.voting.service import SubmittedAnswer, cast_vote
from rotation.data.labels import LABELS
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import (
    NOON,
    after,
    consensus_row,
    ids,
    lease,
    make_gold,
    publish_run,
    queue,
    set_rules,
    vote,
)

MODEL = (0.2, 0.1, 0.7)


@pytest.fixture
def faces(any_db: Database, make_dataset: MakeDataset) -> int:
    return make_dataset(any_db, count=6)


def derive_anew(db: Database, campaign_id: int) -> None:
    with db.write() as session:
        rebuild(session, campaign_id)


def give(db: Database, campaign_id: int, annotator_id: int, status: str) -> None:
    with db.write() as session:
        session.merge(
            Participation(campaign_id=campaign_id, annotator_id=annotator_id, status=status)
        )


class TestOrder:
    """Six images: the first voted left, the second left and right, the third is doubtful."""

    @pytest.fixture
    def voted(
        self, any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
    ) -> list[int]:
        set_rules(any_db, order="random", required_votes=5)
        order = sorted(queue(any_db))
        sure = dict.fromkeys(order, (0.98, 0.01, 0.01))
        publish_run(any_db, faces, {**sure, order[2]: (0.34, 0.33, 0.33)}, NOON)
        for person, answers in enumerate((["left", "left"], ["", "right"])):
            annotator = make_annotator(any_db, f"voter{person}").id
            lease(any_db, annotator, 6, settings)
            for image_id, answer in zip(order, answers, strict=False):
                if answer:
                    vote(any_db, annotator, image_id, answer, settings)
        return order

    def handed(
        self, db: Database, settings: Settings, make_annotator: MakeAnnotator, order: str
    ) -> list[int]:
        set_rules(db, order=order)
        derive_anew(db, 1)
        late = after(settings.lease_seconds + 1)
        return ids(lease(db, make_annotator(db).id, 6, settings, late))

    def test_breadth_gives_the_least_answered(
        self, any_db: Database, voted: list[int], settings: Settings, make_annotator: MakeAnnotator
    ) -> None:
        handed = self.handed(any_db, settings, make_annotator, "breadth")
        assert set(handed[:4]) == set(voted[2:])
        assert handed[4:] == voted[:2]

    def test_uncertain_gives_what_nobody_can_tell(
        self, any_db: Database, voted: list[int], settings: Settings, make_annotator: MakeAnnotator
    ) -> None:
        handed = self.handed(any_db, settings, make_annotator, "uncertain")
        assert set(handed[:2]) == {voted[1], voted[2]}
        assert handed[-1] == voted[0]

    def test_contested_gives_disagreement_and_then_what_is_begun(
        self, any_db: Database, voted: list[int], settings: Settings, make_annotator: MakeAnnotator
    ) -> None:
        handed = self.handed(any_db, settings, make_annotator, "contested")
        assert handed[:2] == [voted[1], voted[0]]

    def test_random_gives_the_order_of_the_keys(
        self, any_db: Database, voted: list[int], settings: Settings, make_annotator: MakeAnnotator
    ) -> None:
        handed = self.handed(any_db, settings, make_annotator, "random")
        with any_db.read() as session:
            by_key = session.scalars(
                select(Consensus.image_id).order_by(Consensus.random_key)
            ).all()
        assert handed == by_key

    @pytest.mark.parametrize("order", ORDERS)
    def test_every_order_gives_everything(
        self,
        any_db: Database,
        voted: list[int],
        settings: Settings,
        make_annotator: MakeAnnotator,
        order: str,
    ) -> None:
        handed = self.handed(any_db, settings, make_annotator, order)
        assert sorted(handed) == voted
        assert handed == queue(any_db)


class TestGold:
    @pytest.fixture
    def gold(self, any_db: Database, make_dataset: MakeDataset) -> set[int]:
        """Sixty images, thirty of them gold."""
        make_dataset(any_db, 60)
        set_rules(any_db, gold_rate=0.1, gold_first=5, required_votes=3)
        known = queue(any_db)[:30]
        make_gold(any_db, dict.fromkeys(known, "left"))
        return set(known)

    @pytest.mark.parametrize("ahead", [1, 3, 5])
    def test_five_of_the_first_twenty_are_gold_however_many_are_held(
        self,
        any_db: Database,
        gold: set[int],
        settings: Settings,
        make_annotator: MakeAnnotator,
        ahead: int,
    ) -> None:
        ada = make_annotator(any_db).id
        held = ids(lease(any_db, ada, ahead, settings))
        given = list(held)
        while len(given) < FIRST_TURNS:
            with any_db.write() as session:
                submitted = SubmittedAnswer(
                    held.pop(0), "left", f"request-{len(given)}", next_count=1
                )
                cast = cast_vote(session, ada, submitted, settings=settings, now=NOON)
            held += ids(cast.next_images)
            given += ids(cast.next_images)
        assert len(set(given)) == FIRST_TURNS
        assert len(gold & set(given)) == 5

    def test_a_reload_brings_no_more_gold(
        self, any_db: Database, gold: set[int], settings: Settings, make_annotator: MakeAnnotator
    ) -> None:
        ada = make_annotator(any_db).id
        first = ids(lease(any_db, ada, 5, settings))
        assert ids(lease(any_db, ada, 5, settings, after(1))) == first
        all_of_them = ids(lease(any_db, ada, FIRST_TURNS, settings, after(2)))
        assert len(gold & set(all_of_them)) == 5

    def test_gold_images_are_not_asked_of_others_than_those_whose_turn_it_is(
        self, any_db: Database, gold: set[int], settings: Settings, make_annotator: MakeAnnotator
    ) -> None:
        set_rules(any_db, gold_rate=0.0)
        handed = ids(lease(any_db, make_annotator(any_db).id, 60, settings))
        assert len(handed) == 30
        assert not gold & set(handed)

    def test_used_up_gold_is_made_up_for_by_others(
        self, any_db: Database, gold: set[int], settings: Settings, make_annotator: MakeAnnotator
    ) -> None:
        set_rules(any_db, gold_rate=1.0, gold_first=20)
        handed = ids(lease(any_db, make_annotator(any_db).id, 40, settings))
        assert len(handed) == len(set(handed)) == 40
        assert set(handed[:30]) == gold

    def test_everybody_may_hold_the_same_gold(
        self, any_db: Database, gold: set[int], settings: Settings, make_annotator: MakeAnnotator
    ) -> None:
        set_rules(any_db, gold_rate=1.0, gold_first=20, required_votes=1)
        handed = [
            set(ids(lease(any_db, make_annotator(any_db).id, 30, settings))) for _ in range(3)
        ]
        assert handed == [gold] * 3

    def test_what_people_say_of_gold_changes_nothing(
        self, any_db: Database, gold: set[int], settings: Settings, make_annotator: MakeAnnotator
    ) -> None:
        set_rules(any_db, gold_rate=1.0, gold_first=20, required_votes=1)
        ada = make_annotator(any_db).id
        image_id = ids(lease(any_db, ada, 1, settings))[0]
        vote(any_db, ada, image_id, "right", settings)
        row = consensus_row(any_db, image_id)
        assert (row.status, row.label, row.probability, row.method) == (
            "agreed",
            "left",
            1.0,
            "gold-1",
        )
        assert (row.p_left, row.votes_right) == (1.0, 1)


class TestView:
    @pytest.fixture
    def images(self, any_db: Database, make_dataset: MakeDataset) -> list[int]:
        make_dataset(any_db, 40)
        images = queue(any_db)
        publish_run(any_db, 1, dict.fromkeys(images, MODEL), NOON)
        return images

    def test_a_vote_stores_how_the_image_was_seen_and_is_about_the_unmirrored_image(
        self, any_db: Database, images: list[int], settings: Settings, make_annotator: MakeAnnotator
    ) -> None:
        set_rules(any_db, proposals="mixed", blind_share=0.5, mirror_views=True)
        ada = make_annotator(any_db).id
        leased = lease(any_db, ada, 40, settings)
        for one in leased:
            who = 1, ada, one.image_id
            assert one.presentation.mirrored == is_mirrored(*who)
            assert one.presentation.blind == is_blind(*who, 0.5)
            labels = one.presentation.shown_label, one.presentation.withheld_label
            assert labels == ((None, "right") if one.presentation.blind else ("right", None))
            seen = "left" if one.presentation.mirrored else "right"
            assert one.shown_as_seen == (None if one.presentation.blind else seen)
            cast = vote(any_db, ada, one.image_id, "left", settings)
            assert cast.answer == "left"
        kinds = Counter((one.presentation.mirrored, one.presentation.blind) for one in leased)
        assert len(kinds) == 4
        with any_db.read() as session:
            stored = {one.image_id: one for one in session.scalars(select(Vote))}
        for one in leased:
            row, view = stored[one.image_id], one.presentation
            assert row.answer == ("right" if view.mirrored else "left")
            assert (row.mirrored, row.blind, row.planted) == (view.mirrored, view.blind, False)
            assert (row.shown_label, row.withheld_label) == (view.shown_label, view.withheld_label)
            assert row.shown_run_id == view.shown_run_id

    def test_gold_may_come_with_a_wrong_hint_that_no_run_made(
        self, any_db: Database, images: list[int], settings: Settings, make_annotator: MakeAnnotator
    ) -> None:
        set_rules(any_db, gold_rate=1.0, gold_first=20, planted_share=0.5)
        known = {image_id: LABELS[number % 3] for number, image_id in enumerate(images)}
        make_gold(any_db, known)
        ada = make_annotator(any_db).id
        leased = lease(any_db, ada, 40, settings)
        planted = [one for one in leased if one.presentation.planted]
        assert 5 <= len(planted) <= 35
        for one in leased:
            wrong = inserted_label(1, ada, one.image_id, known[one.image_id], 0.5)
            assert one.presentation.planted == (wrong is not None)
            assert one.presentation.shown_label == (wrong or "right")
            assert wrong != known[one.image_id]
            assert (one.presentation.shown_run_id is None) == one.presentation.planted
            vote(any_db, ada, one.image_id, known[one.image_id], settings)
        with any_db.read() as session:
            stored = session.scalars(select(Vote.image_id).where(Vote.planted)).all()
        assert sorted(stored) == sorted(ids(planted))

    def test_hidden_proposals_are_withheld_from_everybody(
        self, any_db: Database, images: list[int], settings: Settings, make_annotator: MakeAnnotator
    ) -> None:
        set_rules(any_db, proposals="hidden")
        leased = lease(any_db, make_annotator(any_db).id, 40, settings)
        assert {
            (one.presentation.blind, one.presentation.shown_label, one.presentation.withheld_label)
            for one in leased
        } == {(True, None, "right")}

    def test_a_changed_mind_is_seen_as_the_first_answer_was(
        self, any_db: Database, images: list[int], settings: Settings, make_annotator: MakeAnnotator
    ) -> None:
        set_rules(any_db, mirror_views=True)
        ada = make_annotator(any_db).id
        one = next(one for one in lease(any_db, ada, 40, settings) if one.presentation.mirrored)
        vote(any_db, ada, one.image_id, "left", settings)
        vote(any_db, ada, one.image_id, "center", settings)
        vote(any_db, ada, one.image_id, "right", settings)
        row = consensus_row(any_db, one.image_id)
        assert (row.votes_left, row.votes_center, row.votes_right) == (1, 0, 0)


class TestWhoGetsNone:
    def test_a_paused_campaign_assigns_nothing_and_takes_answers_to_what_is_held(
        self, any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
    ) -> None:
        ada = make_annotator(any_db).id
        held = ids(lease(any_db, ada, 2, settings))
        with any_db.write() as session:
            pause_campaign(session, faces)
        assert lease(any_db, ada, 2, settings) == []
        with any_db.write() as session:
            submitted = SubmittedAnswer(held[0], "left", "request-0", next_count=2)
            cast = cast_vote(session, ada, submitted, settings=settings, now=NOON)
        assert (cast.created, cast.next_images) == (True, [])
        with any_db.write() as session:
            resume_campaign(session, faces)
        assert ids(lease(any_db, ada, 2, settings))[0] == held[1]

    @pytest.mark.parametrize("status", ["paused", "training"])
    def test_who_does_not_work_gets_nothing(
        self,
        any_db: Database,
        faces: int,
        settings: Settings,
        make_annotator: MakeAnnotator,
        status: str,
    ) -> None:
        ada, bob = make_annotator(any_db).id, make_annotator(any_db).id
        held = ids(lease(any_db, ada, 1, settings))
        give(any_db, faces, ada, status)
        assert lease(any_db, ada, 2, settings) == []
        assert vote(any_db, ada, held[0], "left", settings).created
        assert len(lease(any_db, bob, 2, settings)) == 2
        give(any_db, faces, ada, "working")
        assert len(lease(any_db, ada, 2, settings)) == 2

    def test_a_campaign_with_qualification_and_gold_begins_with_it(
        self, any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
    ) -> None:
        ada = make_annotator(any_db).id
        set_rules(any_db, training=3)
        assert len(lease(any_db, ada, 1, settings)) == 1  # nothing is known to teach with
        make_gold(any_db, {queue(any_db)[-1]: "left"})
        assert lease(any_db, ada, 1, settings) == []


class TestSharing:
    def test_at_most_two_at_a_time_where_one_vote_may_be_enough(
        self, any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
    ) -> None:
        set_rules(any_db, method="posterior", required_votes=1, vote_cap=7)
        handed = [len(lease(any_db, make_annotator(any_db).id, 6, settings)) for _ in range(3)]
        assert handed == [6, 6, 0]

    def test_shared_images_come_after_the_free_ones(
        self, any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
    ) -> None:
        taken = ids(lease(any_db, make_annotator(any_db).id, 4, settings))
        second = ids(lease(any_db, make_annotator(any_db).id, 6, settings))
        assert not set(second[:2]) & set(taken)
        assert set(second[2:]) == set(taken)

    def test_votes_count_for_how_many_may_hold_an_image(
        self, any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
    ) -> None:
        set_rules(any_db, required_votes=3)
        ada, bob, eve, joe = (make_annotator(any_db).id for _ in range(4))
        for person in (ada, bob):
            lease(any_db, person, 6, settings)
        image_id = queue(any_db)[0]
        vote(any_db, ada, image_id, "left", settings)
        assert image_id in ids(lease(any_db, eve, 6, settings))
        assert image_id not in ids(lease(any_db, joe, 6, settings))


def test_an_image_that_was_away_is_still_held_when_it_comes_back(
    any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    set_rules(any_db, required_votes=1)
    ada, bob = make_annotator(any_db).id, make_annotator(any_db).id
    held = ids(lease(any_db, ada, 2, settings))
    with any_db.write() as session:
        remove_rows(session, held)
        add_rows(session, faces, held)
    assert not set(held) & set(ids(lease(any_db, bob, 6, settings)))
    assert consensus_row(any_db, held[0]).leased_until == after(settings.lease_seconds)


def test_each_campaign_shows_the_model_of_its_own_data_set(
    any_db: Database,
    faces: int,
    settings: Settings,
    make_annotator: MakeAnnotator,
    make_dataset: MakeDataset,
) -> None:
    publish_run(any_db, faces, dict.fromkeys(queue(any_db), MODEL), NOON)
    other = make_dataset(any_db, 3, name="others")
    ada = make_annotator(any_db).id
    assert [one.presentation.shown_label for one in lease(any_db, ada, 3, settings)] == [None] * 3
    publish_run(any_db, other, dict.fromkeys(queue(any_db), (0.9, 0.1, 0.0)), after(1))
    bob = make_annotator(any_db).id
    assert [one.presentation.shown_label for one in lease(any_db, bob, 3, settings)] == ["left"] * 3
