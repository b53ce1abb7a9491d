"""Query of the annotator skills that the last refresh stored."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.models.accounts import Annotator
from labeler.models.consensus import Skill


def list_skills(session: Session, campaign_id: int) -> list[tuple[Annotator, Skill]]:
    """The people who have voted in a campaign, with their skills, by username; one statement."""
    rows = session.execute(
        select(Annotator, Skill)
        .join(Skill, Skill.annotator_id == Annotator.id)
        .where(Skill.campaign_id == campaign_id)
        .order_by(Annotator.username)
    )
    return [(annotator, skill) for annotator, skill in rows]
