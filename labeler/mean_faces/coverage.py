"""How many labelled images a figure of mean faces could use. Nothing is drawn or opened."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from labeler.campaigns.service import get_campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.models.proposals import Proposal
from labeler.proposals.runs import current_run
from labeler.subsets.members import select_members
from labeler.subsets.service import get_subset


@dataclass(frozen=True, slots=True)
class Coverage:
    """The labelled images of a campaign, and those of them whose yaw is not known."""

    labels: int
    unknown_yaw: int

    @property
    def usable(self) -> int:
        """The labelled images that a figure can use."""
        return self.labels - self.unknown_yaw


def count_coverage(
    session: Session,
    campaign_id: int,
    min_probability: float = 0.0,
    with_proposals: bool = False,
    subset_id: int | None = None,
) -> Coverage:
    """Count the images that `service.choose_images` would choose. A tie of proposals counts too.

    Parameters:
        subset_id: count only images of this subset; None: all.

    Raises:
        NotFound: there is no such campaign or subset.
    """
    campaign = get_campaign(session, campaign_id)
    agreed = and_(Consensus.status == "agreed", Consensus.probability >= min_probability)
    wanted = select(Consensus.image_id)
    run = current_run(session, campaign.dataset_id) if with_proposals else None
    if run is not None:
        chances = (Proposal.p_left, Proposal.p_center, Proposal.p_right)
        likely = or_(*(chance >= min_probability for chance in chances))
        own = and_(Proposal.image_id == Consensus.image_id, Proposal.model_run_id == run.id)
        wanted = wanted.outerjoin(Proposal, own)
        agreed = or_(agreed, and_(Consensus.status != "agreed", likely))
    wanted = wanted.where(Consensus.campaign_id == campaign_id, agreed)
    if subset_id is not None:
        members = select_members(session, get_subset(session, subset_id))
        wanted = wanted.where(Consensus.image_id.in_(members))
    labels = session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
    unknown = select(func.count(Image.id)).where(
        Image.dataset_id == campaign.dataset_id,
        Image.yaw_deg.is_(None),
        wanted.where(Consensus.image_id == Image.id).exists(),
    )
    return Coverage(labels, session.scalar(unknown) or 0)
