"""Who may label in a campaign, when, and in which one a person labels."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from labeler.accounts import groups, invites
from labeler.assignment.annotator_state import load_annotator_state
from labeler.campaigns.audience import (
    EVERYBODY,
    Audience,
    choose_campaign,
    count_audience,
    current_campaign,
    list_available,
    load_audience,
    set_audience,
)
from labeler.campaigns.period import set_period
from labeler.campaigns.service import (
    CampaignPlan,
    activate_campaign,
    create_campaign,
    deactivate_campaign,
    get_campaign,
)
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import Conflict, InvalidInput, NotFound
from labeler.models.accounts import GroupMember
from labeler.models.voting import Vote
from labeler.voting.service import SubmittedAnswer, cast_vote
from tests.conftest import CountQueries, MakeAnnotator, MakeDataset
from tests.labeler.acting import NOON, after, lease, vote

FIRST = 1
HOUR = timedelta(hours=1)


@pytest.fixture
def second(any_db: Database, make_dataset: MakeDataset) -> int:
    """A campaign that is active beside the first one, with the same images."""
    dataset_id = make_dataset(any_db, 6)
    made = create_campaign(any_db, dataset_id, CampaignPlan("second"))
    with any_db.write() as session:
        activate_campaign(session, made)
    return made


@pytest.fixture
def ada(any_db: Database, second: int, make_annotator: MakeAnnotator) -> int:
    return make_annotator(any_db, "ada").id


def restrict(db: Database, campaign_id: int, **chosen: set[int]) -> None:
    who = {name: frozenset(ids) for name, ids in chosen.items()}
    with db.write() as session:
        set_audience(session, get_campaign(session, campaign_id), Audience(True, **who))


def choose(db: Database, person: int, campaign_id: int) -> None:
    with db.write() as session:
        choose_campaign(session, person, campaign_id)


def current(db: Database, person: int) -> int | None:
    with db.read() as session:
        found = current_campaign(session, person, now=NOON)
        return found.id if found else None


def test_a_new_person_labels_in_the_newest_campaign(
    any_db: Database, second: int, ada: int
) -> None:
    assert current(any_db, ada) == second
    with any_db.read() as session:
        assert [one.id for one in list_available(session, ada)] == [second, FIRST]


def test_people_stay_where_they_answered_until_they_choose(
    any_db: Database, second: int, ada: int, settings: Settings
) -> None:
    with any_db.write() as session:
        deactivate_campaign(session, second)
    (one, *_) = lease(any_db, ada, 3, settings)
    with any_db.write() as session:
        activate_campaign(session, second)
    assert current(any_db, ada) == FIRST, "they hold images of it"
    vote(any_db, ada, one.image_id, "left", settings)
    assert lease(any_db, ada, 6, settings, after(600))[0].campaign_id == FIRST
    choose(any_db, ada, second)
    assert {one.campaign_id for one in lease(any_db, ada, 6, settings, after(601))} == {second}
    choose(any_db, ada, FIRST)
    assert current(any_db, ada) == FIRST


def test_a_change_of_campaign_costs_no_answer(
    any_db: Database, second: int, ada: int, settings: Settings
) -> None:
    choose(any_db, ada, FIRST)
    held = lease(any_db, ada, 2, settings)
    choose(any_db, ada, second)
    for number, one in enumerate(held):
        submitted = SubmittedAnswer(
            one.image_id, "left", f"request-{number}", next_count=1, campaign_id=FIRST
        )
        with any_db.write() as session:
            cast = cast_vote(session, ada, submitted, settings=settings, now=after(1))
        assert cast.campaign_id == FIRST
        assert [each.campaign_id for each in cast.next_images] == [second]
    changed = SubmittedAnswer(held[0].image_id, "right", "request-9", campaign_id=FIRST)
    with any_db.write() as session:  # both campaigns are active, so an answer can be changed
        assert cast_vote(session, ada, changed, settings=settings, now=after(2)).created
    with any_db.read() as session:
        campaigns = session.scalars(select(Vote.campaign_id)).all()
    assert campaigns == [FIRST] * 3


def test_a_restricted_campaign_is_for_chosen_people_and_groups(
    any_db: Database, second: int, ada: int, make_annotator: MakeAnnotator, settings: Settings
) -> None:
    bob, cyd = make_annotator(any_db, "bob").id, make_annotator(any_db, "cyd").id
    with any_db.write() as session:
        group = groups.create_group(session, "Monday").id
        groups.set_members(session, group, [bob])
    restrict(any_db, FIRST, people={ada}, groups={group})
    restrict(any_db, second, people={ada})
    assert [current(any_db, one) for one in (ada, bob, cyd)] == [second, FIRST, None]
    assert lease(any_db, cyd, 1, settings) == []
    with any_db.read() as session:
        assert load_annotator_state(session, cyd) is None
        assert (count_audience(session, FIRST), count_audience(session, second)) == (2, 1)
    with pytest.raises(Conflict, match="cannot label in this campaign"):
        choose(any_db, bob, second)
    with any_db.write() as session:
        groups.set_members(session, group, [bob, cyd])
    assert current(any_db, cyd) == FIRST
    with any_db.write() as session:
        assert set_audience(session, get_campaign(session, second), EVERYBODY)
    assert current(any_db, cyd) == second
    with any_db.read() as session:
        assert load_audience(session, get_campaign(session, second)) == EVERYBODY


def test_who_was_taken_out_can_answer_what_they_hold(
    any_db: Database, second: int, ada: int, make_annotator: MakeAnnotator, settings: Settings
) -> None:
    (one,) = lease(any_db, ada, 1, settings)
    other = make_annotator(any_db).id
    for campaign_id in (FIRST, second):
        restrict(any_db, campaign_id, people={other})
    assert vote(any_db, ada, one.image_id, "left", settings).campaign_id == one.campaign_id
    assert lease(any_db, ada, 1, settings) == []


def test_wrong_audiences_are_refused(any_db: Database, second: int, ada: int) -> None:
    with pytest.raises(InvalidInput, match="at least one person or group"):
        restrict(any_db, second)
    with pytest.raises(NotFound, match="An account that was chosen"):
        restrict(any_db, second, people={ada, 999})
    with pytest.raises(NotFound, match="A group that was chosen"):
        restrict(any_db, second, groups={999})
    with any_db.read() as session:
        assert load_audience(session, get_campaign(session, second)) == EVERYBODY


def test_nothing_is_assigned_outside_of_the_period(
    any_db: Database, second: int, ada: int, settings: Settings
) -> None:
    with any_db.write() as session:
        deactivate_campaign(session, FIRST)
        set_period(session, second, NOON + HOUR, NOON + 2 * HOUR)
    assert lease(any_db, ada, 1, settings, NOON) == []
    (one, other) = lease(any_db, ada, 2, settings, NOON + 2 * HOUR - timedelta(seconds=1))
    late = NOON + 2 * HOUR + timedelta(seconds=10)
    assert lease(any_db, ada, 1, settings, late) == []
    vote(any_db, ada, one.image_id, "left", settings, late)
    with pytest.raises(Conflict, match="has ended"):
        vote(any_db, ada, one.image_id, "right", settings, late)
    assert vote(any_db, ada, other.image_id, "left", settings, late).created
    with pytest.raises(InvalidInput, match="later than the start"), any_db.write() as session:
        set_period(session, second, NOON, NOON)


def test_a_campaign_whose_period_is_now_comes_first(
    any_db: Database, second: int, ada: int
) -> None:
    choose(any_db, ada, second)
    with any_db.write() as session:
        set_period(session, second, None, NOON)
    assert current(any_db, ada) == FIRST
    with any_db.write() as session:
        set_period(session, FIRST, None, NOON - HOUR)
        set_period(session, second, NOON + HOUR, None)
    assert current(any_db, ada) == second, "it begins soon, and the other one is over"


def test_the_state_of_a_person_takes_one_statement(
    any_db: Database, second: int, ada: int, count_queries: CountQueries
) -> None:
    restrict(any_db, second, people={ada})
    with any_db.read() as session, count_queries(any_db) as statements:
        state = load_annotator_state(session, ada)
    assert state is not None
    assert state.campaign_id == second
    assert len([one for one in statements if not one.startswith("BEGIN")]) == 1


def test_an_invite_puts_people_into_its_group(any_db: Database) -> None:
    with any_db.write() as session:
        group = groups.create_group(session, "Monday").id
        _, token = invites.create_invite(session, max_uses=2, group_id=group)
        person = invites.accept_invite(session, token, "dora", "correct horse battery").id
        assert session.scalars(select(GroupMember.annotator_id)).all() == [person]
        groups.delete_group(session, group)
        invites.accept_invite(session, token, "emil", "correct horse battery")
        assert session.scalars(select(GroupMember.annotator_id)).all() == []
        with pytest.raises(NotFound, match="group with the number 99"):
            invites.create_invite(session, group_id=99)


def test_a_group_of_a_campaign_is_not_deleted(any_db: Database, second: int) -> None:
    with any_db.write() as session:
        group = groups.create_group(session, " Monday ").id
    restrict(any_db, second, groups={group})
    with any_db.write() as session:
        with pytest.raises(Conflict, match="chosen in the campaign 'second'"):
            groups.delete_group(session, group)
        with pytest.raises(Conflict, match="'Monday' exists already"):
            groups.create_group(session, "Monday")
        with pytest.raises(InvalidInput, match="1 to 100 characters"):
            groups.rename_group(session, group, " ")
        with pytest.raises(NotFound, match="does not exist any more"):
            groups.set_members(session, group, [77])
