"""The refresh of a campaign: annotator skills, pauses, and the consensus that follows from them.

A refresh fits the annotator skills (`statistics.dawid_skene`), pauses people who cannot be trusted
(`statistics.annotator_flags`), and derives the consensus of the images again. The worker runs it
once enough votes have come (`is_due`). People go on voting meanwhile. An image that was agreed may
open again if one of its annotators turns out not to have looked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.campaigns.participation import set_status
from labeler.consensus.store import count_votes_by_status, find_stale, recount
from labeler.consensus.vote_table import VoteTable, load_vote_table
from labeler.database.engine import Database
from labeler.database.statements import insert_or
from labeler.models import Campaign, Consensus, Estimate, Skill, utc_now
from labeler.quality.statistics import campaign_figures, person_figures, record_of
from labeler.rules.campaign_rules import REFRESH_EVERY
from labeler.statistics.annotator_flags import Limits, flags, recommend_action
from labeler.statistics.dawid_skene import METHOD as SKILLS
from labeler.statistics.dawid_skene import Skills, fit_skills

DUE_SHARE = 0.02  # of the votes there are, so that the work stays in proportion
LOOK_BATCH = 2_000  # images of a read transaction
WRITE_BATCH = 200  # images of a write transaction; votes wait no longer than this takes


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """What a refresh did: votes and people looked at, images changed, people paused by it."""

    votes: int
    people: int
    changed: int
    paused: Sequence[int]


def refresh_campaign(
    db: Database, campaign_id: int, *, all_images: bool = False, now: datetime | None = None
) -> RefreshReport:
    """Fit skills, judge people, derive the consensus anew.

    Parameters:
        all_images: also those without a vote; needed after new proposals and changed rules.
    """
    vote_table, paused = judge_people(db, campaign_id, now=now)
    changed = _derive_anew(db, vote_table, all_images)
    return RefreshReport(len(vote_table), len(vote_table.people), changed, paused)


def refresh_dataset(db: Database, dataset_id: int) -> None:
    """Derive the consensus of all campaigns of a data set anew, the active one first: another
    model run is current."""
    with db.read() as session:
        ids = session.scalars(
            select(Campaign.id)
            .where(Campaign.dataset_id == dataset_id)
            .order_by(Campaign.active.desc(), Campaign.id)
        ).all()
    for campaign_id in ids:
        refresh_campaign(db, campaign_id, all_images=True)


def judge_people(
    db: Database, campaign_id: int, *, now: datetime | None = None
) -> tuple[VoteTable, list[int]]:
    """The first half of a refresh: skills, figures, standings. Returns the votes that were looked
    at, and who has been paused."""
    with db.read() as session:
        vote_table = load_vote_table(session, campaign_id)
        limits = _limits(session, campaign_id)
    skills = _fit(vote_table)
    with db.write() as session:
        paused = _store(session, vote_table, skills, limits, now or utc_now())
    return vote_table, paused


def find_due(session: Session) -> list[int]:
    """The campaigns whose refresh is due, the active one first."""
    ids = session.scalars(select(Campaign.id).order_by(Campaign.active.desc(), Campaign.id)).all()
    return [campaign_id for campaign_id in ids if is_due(session, campaign_id)]


def is_due(session: Session, campaign_id: int) -> bool:
    """Whether enough votes have come, or gone, since the last refresh."""
    seen = session.scalar(select(Estimate.figures).where(Estimate.campaign_id == campaign_id))
    before = seen["votes"] if seen else 0
    return abs(count_votes_by_status(session, campaign_id) - before) >= max(
        REFRESH_EVERY, DUE_SHARE * before
    )


def _limits(session: Session, campaign_id: int) -> Limits:
    return Limits(gold_limit=session.get_one(Campaign, campaign_id).parsed_rules.min_gold)


def _fit(vote_table: VoteTable) -> Skills:
    return fit_skills(
        vote_table.votes,
        len(vote_table.images),
        len(vote_table.people),
        prior=vote_table.prior,
        gold=vote_table.known,
    )


def _store(
    session: Session, vote_table: VoteTable, skills: Skills, limits: Limits, now: datetime
) -> list[int]:
    """Write skills and standings; returns who has been paused."""
    found = []
    rows = []
    for person, annotator_id in enumerate(vote_table.people):
        record = record_of(vote_table, skills, person)
        flagged = flags(record, limits)
        found.append((annotator_id, flagged))
        rows.append(
            {
                "campaign_id": vote_table.campaign_id,
                "annotator_id": int(annotator_id),
                "confusion": np.round(skills.confusions[person], 9).tolist(),
                "following": float(skills.copy_rates[person]),
                "figures": person_figures(vote_table, skills, person, record),
                "flags": [list(flag) for flag in flagged],
                "refreshed_at": now,
            }
        )
    _upsert(session, Skill, rows, ["campaign_id", "annotator_id"])
    estimate = {
        "campaign_id": vote_table.campaign_id,
        "class_prior": skills.class_prior.tolist(),
        "confusion": skills.average.tolist(),
        "following": skills.average_copy_rate,
        "figures": campaign_figures(vote_table, skills),
        "method": SKILLS,
        "refreshed_at": now,
    }
    _upsert(session, Estimate, [estimate], ["campaign_id"])
    return [
        int(annotator_id)
        for annotator_id, flagged in found
        if recommend_action(flagged) == "pause"
        and set_status(
            session,
            vote_table.campaign_id,
            int(annotator_id),
            "paused",
            reason=flagged[0].sentence,
            now=now,
        )
    ]


def _upsert(session: Session, table: Any, rows: list[dict[str, Any]], keys: list[str]) -> None:
    if not rows:
        return
    statement = insert_or(session, table)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    session.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)


def _derive_anew(db: Database, vote_table: VoteTable, all_images: bool) -> int:
    with db.read() as session:
        campaign_id = vote_table.campaign_id
        ids: Sequence[int] = vote_table.images.tolist()
        if all_images:
            wanted = select(Consensus.image_id).where(Consensus.campaign_id == campaign_id)
            ids = session.scalars(wanted.order_by(Consensus.image_id)).all()
    changed = 0
    for start in range(0, len(ids), LOOK_BATCH):
        with db.read() as session:
            stale = find_stale(session, campaign_id, ids[start : start + LOOK_BATCH])
        for first in range(0, len(stale), WRITE_BATCH):
            with db.write() as session:
                changed += recount(session, campaign_id, stale[first : first + WRITE_BATCH])
    return changed
