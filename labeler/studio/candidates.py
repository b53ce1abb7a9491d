"""The images that the clusters of a turn may have, as a statement for the database.

It is about the images that a turn exports: those with votes, or with a proposal of the model if
those count. Images of the source's person are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Float,
    Select,
    SQLColumnExpression,
    String,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.orm import Session

from labeler.consensus.majority import METHOD as MAJORITY
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.models.proposals import Proposal
from labeler.proposals.runs import current_run
from labeler.studio.choices import TurnChoices
from labeler.subsets.members import check_usable, select_members
from labeler.subsets.service import get_subset
from rotation.data.labels import LABELS

WRITTEN_YAW = 0.0005  # degrees: the exported yaws have three decimals
WRITTEN_PROBABILITY = 0.0000005  # the exported probabilities have six decimals


@dataclass(frozen=True, slots=True)
class PreviewSource:
    """What is known of the source. `image_id` 0: it is not an image of the data set.

    `label`, `probability`: of its light, if it has one.
    """

    image_id: int = 0
    label: str = ""
    probability: float | None = None
    yaw_deg: float | None = None
    attribute_bits: int | None = None
    identity: int | None = None


@dataclass(frozen=True, slots=True)
class Candidates:
    """The images that clusters may have.

    Attributes:
        statement: selects their numbers; `with_only_columns` makes it select something else.
        label: the label of an image.
        matching: how many attributes in a row, from the first on, it shares with the source.
        place: of its yaw: twice a whole degree, and one more between it and the next one.
    """

    statement: Select[Any]
    label: ColumnElement[Any]
    matching: ColumnElement[int]
    place: ColumnElement[Any]


def select_candidates(
    session: Session,
    campaign: Campaign,
    source: PreviewSource,
    choices: TurnChoices,
    attributes: Sequence[str],
    subset_id: int | None,
) -> Candidates:
    """Return the statement that selects the images that clusters may have.

    Raises:
        NotFound, Conflict, InvalidInput: there is no such subset, or it cannot be used.
    """
    run = current_run(session, campaign.dataset_id) if choices.with_proposals else None
    own = and_(Proposal.image_id == Image.id, Proposal.model_run_id == (run.id if run else 0))
    label, probability = _label_columns(with_proposals=run is not None)
    level, place = _matching(campaign, source, attributes), _place(Image.yaw_deg)
    exported: ColumnElement[bool] = Consensus.votes > 0
    statement = (
        select(Image.id)
        .select_from(Image)
        .join(Consensus, Consensus.image_id == Image.id)
        .where(Consensus.campaign_id == campaign.id, label.is_not(None))
        .where(Image.id != source.image_id, Image.status == "ok")
    )
    if run is not None:
        statement = statement.outerjoin(Proposal, own)
        exported = or_(exported, Proposal.image_id.is_not(None))
    statement = statement.where(exported)
    if source.identity is not None:
        statement = statement.where(
            or_(Image.identity.is_(None), Image.identity != source.identity)
        )
    if choices.min_percent and choices.light_filter:  # else labels do not matter
        least = choices.min_percent / 100 - WRITTEN_PROBABILITY
        statement = statement.where(probability >= least)
    if subset_id is not None:
        subset = get_subset(session, subset_id)
        check_usable(session, subset, campaign)
        statement = statement.where(Image.id.in_(select_members(session, subset)))
    return Candidates(statement, label, level, place)


def _place(yaw: SQLColumnExpression[Any]) -> ColumnElement[Any]:
    """Twice a whole degree of yaw, and one more for yaws between it and the next one."""
    exact = yaw + WRITTEN_YAW
    nearest = func.round(exact)
    below = nearest - case((nearest > exact, 1), else_=0)  # SQLite may have no floor()
    return 2 * below + case((yaw - below < WRITTEN_YAW, 0), else_=1)


def _label_columns(*, with_proposals: bool) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """The label of an image and its probability as they are exported: the votes' or the model's."""
    voted = type_coerce(Consensus.label, String)
    if not with_proposals:
        return voted, _voted_probability()
    left, center, right = Proposal.p_left, Proposal.p_center, Proposal.p_right
    likeliest = case(
        (and_(left > center, left > right), "left"),
        (and_(center > left, center > right), "center"),
        (and_(right > left, right > center), "right"),
        else_=null(),
    )
    highest = case((left > center, left), else_=center)
    highest = case((right > highest, right), else_=highest)
    probability = case((voted.is_not(None), _voted_probability()), else_=highest)
    return func.coalesce(voted, likeliest), probability


def _voted_probability() -> ColumnElement[Any]:
    """The probability of the label by the votes: with the majority rule, its share of them."""
    votes = Consensus.votes_left, Consensus.votes_center, Consensus.votes_right
    share = cast(_of_label(votes), Float) / func.nullif(votes[0] + votes[1] + votes[2], 0)
    chances = Consensus.p_left, Consensus.p_center, Consensus.p_right
    return case((Consensus.method == MAJORITY, share), else_=_of_label(chances))


def _of_label(columns: Sequence[Any]) -> ColumnElement[Any]:
    """The one of three columns that belongs to the label by the votes."""
    pairs = zip(LABELS, columns, strict=True)
    return case(*((Consensus.label == label, column) for label, column in pairs))


def _matching(
    campaign: Campaign, source: PreviewSource, attributes: Sequence[str]
) -> ColumnElement[int]:
    """How many attributes in a row, from the first on, an image shares with the source."""
    if not attributes:
        return literal(0)
    bits, known = source.attribute_bits or 0, campaign.dataset.attribute_names
    differs = []
    for level, name in enumerate(attributes):
        mask = 1 << known.index(name)
        same = Image.attribute_bits.op("&")(mask) == (bits & mask)
        differs.append((or_(Image.attribute_bits.is_(None), ~same), level))
    return case(*differs, else_=len(attributes))
