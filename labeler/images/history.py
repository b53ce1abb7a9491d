"""One image: all that has happened to it in a campaign, and the others of the same person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.campaigns.service import get_campaign
from labeler.consensus.derivation import ImageFacts, derive, load_annotator_model
from labeler.consensus.store import load_facts
from labeler.errors import NotFound
from labeler.images.datasets import campaigns_of
from labeler.languages.texts import gettext as _
from labeler.models.accounts import Annotator
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus, Decision, Gold
from labeler.models.images import Image
from labeler.models.proposals import ModelRun, Proposal, published_runs
from labeler.models.voting import Vote

OTHERS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class PastVote:
    """A vote, and who cast it. The answer is about the unmirrored image.

    `then`: (p_left, p_center, p_right) by this vote and those before it, as the campaign judges
    them today; None if the vote does not count.
    """

    vote: Vote
    person: Annotator
    then: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class PastProposal:
    """What a run proposes for the image. `is_current`: it is the run that the site uses now."""

    run: ModelRun
    chances: tuple[float, float, float]
    is_current: bool


@dataclass(frozen=True, slots=True)
class PastGold:
    """A gold question, and who made it; None for a command."""

    gold: Gold
    person: Annotator | None


@dataclass(frozen=True, slots=True)
class ImageDecision:
    """A decision, and who made it."""

    decision: Decision
    person: Annotator


@dataclass(frozen=True, slots=True)
class ImageHistory:
    """All that happened to an image in a campaign, each list in the order of time.

    `consensus`: None if the image is not in the campaign. The proposals of old runs are deleted
    (`proposals.runs.prune_proposals`), so only the last runs are there.
    """

    image: Image
    consensus: Consensus | None
    votes: Sequence[PastVote]
    proposals: Sequence[PastProposal]
    gold: Sequence[PastGold]
    decisions: Sequence[ImageDecision]

    @property
    def current_gold(self) -> Gold | None:
        """The gold question that holds, if the image is one."""
        return next((one.gold for one in self.gold if one.gold.revoked_at is None), None)

    @property
    def current_decision(self) -> ImageDecision | None:
        """The decision that holds, if there is one."""
        held = (one for one in self.decisions if one.decision.superseded_at is None)
        return next(held, None)

    @property
    def current_proposal(self) -> PastProposal | None:
        """What the current run proposes."""
        return next((one for one in self.proposals if one.is_current), None)


def get_image(session: Session, image_id: int) -> Image:
    """Return an image.

    Raises:
        NotFound: there is no such image.
    """
    found = session.get(Image, image_id)
    if found is None:
        raise NotFound(_("There is no image %(number)s.", number=image_id))
    return found


def campaign_of(session: Session, image: Image, number: int = 0) -> Campaign:
    """Return the campaign through which an image is seen.

    Parameters:
        number: of the campaign that is asked for; 0: the first of `campaigns_of`.

    Raises:
        NotFound: there is no such campaign, or it is about another data set.
    """
    known = campaigns_of(session, image.dataset_id)
    if number:
        get_campaign(session, number)
        known = [one for one in known if one.id == number]
    if not known:
        raise NotFound(
            _("Image %(number)s is not in the data set of this campaign.", number=image.id)
        )
    return known[0]


def load_history(session: Session, campaign: Campaign, image: Image) -> ImageHistory:
    """Everything about an image in a campaign."""
    return ImageHistory(
        image,
        session.get(Consensus, (campaign.id, image.id)),
        _votes(session, campaign.id, image.id),
        _proposals(session, image),
        _gold(session, campaign.id, image.id),
        _decisions(session, campaign.id, image.id),
    )


def list_same_person(session: Session, image: Image, limit: int) -> Sequence[Image]:
    """Return other images of the same person by id, the first `limit` of them.

    None are returned if it is not known who is in the image.
    """
    if image.identity is None:
        return []
    return session.scalars(
        select(Image)
        .where(
            Image.dataset_id == image.dataset_id,
            Image.identity == image.identity,
            Image.id != image.id,
        )
        .order_by(Image.id)
        .limit(limit)
    ).all()


def _votes(session: Session, campaign_id: int, image_id: int) -> list[PastVote]:
    """All votes on an image, in two statements: each condition has an index of its own.

    The campaign is no condition. With it, SQLite would read all votes of the campaign.
    """
    found = [
        PastVote(*row)
        for state in (Vote.superseded_at.is_(None), Vote.superseded_at.is_not(None))
        for row in session.execute(
            select(Vote, Annotator)
            .join(Annotator, Annotator.id == Vote.annotator_id)
            .where(Vote.image_id == image_id, state)
        )
    ]
    in_campaign = (one for one in found if one.vote.campaign_id == campaign_id)
    return _judge(session, campaign_id, image_id, sorted(in_campaign, key=lambda one: one.vote.id))


def _judge(
    session: Session, campaign_id: int, image_id: int, votes: Sequence[PastVote]
) -> list[PastVote]:
    """The votes with the probabilities after each of them, without gold and decision."""
    annotator_model = load_annotator_model(session, campaign_id)
    [facts] = load_facts(session, campaign_id, [image_id])
    judged, counted = [], 0
    for one in votes:
        if one.vote.counts:
            counted += 1
            known = ImageFacts(image_id, facts.votes[:counted], facts.model)
            derived = derive(known, annotator_model)
            judged.append(
                replace(one, then=(derived["p_left"], derived["p_center"], derived["p_right"]))
            )
        else:
            judged.append(one)
    return judged


def _proposals(session: Session, image: Image) -> list[PastProposal]:
    current = session.scalar(
        published_runs(image.dataset_id).with_only_columns(ModelRun.id).limit(1)
    )
    rows = session.execute(
        select(ModelRun, Proposal.p_left, Proposal.p_center, Proposal.p_right)
        .join(Proposal, Proposal.model_run_id == ModelRun.id)
        .where(Proposal.image_id == image.id, ModelRun.status == "published")
        .order_by(ModelRun.published_at, ModelRun.id)
    )
    return [
        PastProposal(run, (left, center, right), run.id == current)
        for run, left, center, right in rows
    ]


def _gold(session: Session, campaign_id: int, image_id: int) -> list[PastGold]:
    rows = session.execute(
        select(Gold, Annotator)
        .outerjoin(Annotator, Annotator.id == Gold.created_by_id)
        .where(Gold.campaign_id == campaign_id, Gold.image_id == image_id)
        .order_by(Gold.id)
    )
    return [PastGold(*row) for row in rows]


def _decisions(session: Session, campaign_id: int, image_id: int) -> list[ImageDecision]:
    rows = session.execute(
        select(Decision, Annotator)
        .join(Annotator, Annotator.id == Decision.annotator_id)
        .where(Decision.campaign_id == campaign_id, Decision.image_id == image_id)
        .order_by(Decision.id)
    )
    return [ImageDecision(*row) for row in rows]
