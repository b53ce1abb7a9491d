"""The refresh of a campaign: annotator skills, pauses, and the consensus that follows from them.

A refresh has three steps. It fits the annotator skills (`statistics.dawid_skene`). It pauses people
whose answers cannot be trusted (`statistics.annotator_flags`). It derives the consensus of the
images again.

The worker runs a refresh once enough votes have come (`is_due`). People go on voting meanwhile. An
agreed image may open again, if one of its annotators turns out not to have looked at the images.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeler.campaigns.participation import set_status
from labeler.consensus.store import find_stale, follows_other_rules, recount
from labeler.consensus.vote_table import VoteTable, load_vote_table
from labeler.database.engine import Database, insert_or
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus, Estimate, Skill
from labeler.models.voting import Vote
from labeler.quality.figures import campaign_figures, person_figures, record_of
from labeler.rules.campaign_rules import REFRESH_EVERY
from labeler.rules.validation import RuleError
from labeler.statistics.annotator_flags import Flag, Limits, Record, flags, recommend_action
from labeler.statistics.dawid_skene import METHOD as SKILLS
from labeler.statistics.dawid_skene import Skills, fit_skills

DUE_SHARE = 0.02  # of the counted votes, so that the work stays in proportion to them
READ_BATCH = 2_000  # images of a read transaction
WRITE_BATCH = 200  # images of a write transaction, for which votes have to wait
Progress = Callable[[int, int], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """What a refresh did.

    `votes`, `people`: the numbers that it looked at. `changed`: the number of images whose
    consensus has changed. `paused`: the ids of the people whom it has paused.
    """

    votes: int
    people: int
    changed: int
    paused: Sequence[int]


def refresh_campaign(
    db: Database,
    campaign_id: int,
    *,
    all_images: bool = False,
    progress: Progress | None = None,
    now: datetime | None = None,
) -> RefreshReport:
    """Fit the skills, pause people, and derive the consensus again.

    Parameters:
        all_images: derive images without a vote too; needed after new proposals or changed rules.
        progress: called with (images done, images in all).
    """
    vote_table, paused = judge_people(db, campaign_id, now=now)
    changed = _derive_again(db, vote_table, all_images, progress)
    return RefreshReport(len(vote_table), len(vote_table.people), changed, paused)


def refresh_dataset(db: Database, dataset_id: int, progress: Progress | None = None) -> None:
    """Refresh all campaigns of a data set, the active ones first, with all their images.

    It is needed after another model run has become the current one.

    Parameters:
        progress: called with (images done, images in all) for each campaign.
    """
    with db.read() as session:
        ids = session.scalars(
            select(Campaign.id)
            .where(Campaign.dataset_id == dataset_id, Campaign.deleted_at.is_(None))
            .order_by(Campaign.active.desc(), Campaign.id)
        ).all()
    for campaign_id in ids:
        refresh_campaign(db, campaign_id, all_images=True, progress=progress)


def judge_people(
    db: Database, campaign_id: int, *, now: datetime | None = None
) -> tuple[VoteTable, list[int]]:
    """The first two steps of a refresh: fit and store the skills, and pause people.

    Returns:
        The votes that were read, and the ids of the people who have been paused.
    """
    with db.read() as session:
        vote_table = load_vote_table(session, campaign_id)
        limits = _limits(session, campaign_id)
    skills = _fit(vote_table)
    with db.write() as session:
        paused = _store(session, vote_table, skills, limits, now or utc_now())
    return vote_table, paused


def find_due(session: Session) -> list[tuple[int, bool]]:
    """The campaigns whose refresh is due, and whether with all images; the active ones first.

    All images are due if some row does not follow the rules that the campaign has now.
    """
    due = []
    there = select(Campaign).where(Campaign.deleted_at.is_(None))
    for campaign in session.scalars(there.order_by(Campaign.active.desc(), Campaign.id)):
        try:
            all_images = follows_other_rules(session, campaign)
        except RuleError as error:
            log.error("campaign %s has rules of another version: %s", campaign.id, error)
            continue
        if all_images or is_due(session, campaign.id):
            due.append((campaign.id, all_images))
    return due


def is_due(session: Session, campaign_id: int) -> bool:
    """Whether enough votes have been cast or superseded since the last refresh.

    A changed answer is both, so the number of current votes alone would not show it.
    """
    stored = session.scalar(select(Estimate.figures).where(Estimate.campaign_id == campaign_id))
    before = stored["votes"] if stored else 0
    # Estimates of earlier versions lack the newest vote. All their votes are taken as cast since.
    newest = stored.get("newest_vote", 0) if stored else 0
    since = _count_votes_after(session, campaign_id, newest)
    kept = _count_votes_after(session, campaign_id, 0) - since
    superseded = max(before - kept, 0) if newest else 0
    return since + superseded >= max(REFRESH_EVERY, DUE_SHARE * before)


def _count_votes_after(session: Session, campaign_id: int, vote_id: int) -> int:
    """The number of votes with higher ids that count, as `load_vote_table` would load them.

    Unlike `count_current_votes`, it counts those on images that are no longer in the campaign.
    """
    counted = Vote.campaign_id == campaign_id, Vote.counts, Vote.id > vote_id
    return session.scalar(select(func.count()).where(*counted)) or 0


def _limits(session: Session, campaign_id: int) -> Limits:
    return Limits(gold_limit=session.get_one(Campaign, campaign_id).parsed_rules.min_gold)


def _fit(vote_table: VoteTable) -> Skills:
    return fit_skills(
        vote_table.votes,
        len(vote_table.images),
        len(vote_table.people),
        prior=vote_table.prior,
        gold=vote_table.certain_labels,
    )


def _store(
    session: Session, vote_table: VoteTable, skills: Skills, limits: Limits, now: datetime
) -> list[int]:
    """Write the skills, and pause people; returns the ids of those who have been paused.

    The rows are by column name; `following` is the column of `copy_rate`.
    """
    common = {"campaign_id": vote_table.campaign_id, "refreshed_at": now}
    rows = []
    flags_by_person = {}
    for person, annotator_id in enumerate(vote_table.people.tolist()):
        record = record_of(vote_table, skills, person)
        flags_by_person[annotator_id] = found = flags(record, limits)
        skill = _skill_row(vote_table, skills, person, record)
        rows.append(
            {**common, **skill, "annotator_id": annotator_id, "flags": [list(one) for one in found]}
        )
    _upsert(session, Skill, rows, ["campaign_id", "annotator_id"])
    estimate = {
        **common,
        "class_prior": skills.class_prior.tolist(),
        "confusion": skills.average.tolist(),
        "following": skills.average_copy_rate,
        "figures": campaign_figures(vote_table, skills),
        "method": SKILLS,
    }
    _upsert(session, Estimate, [estimate], ["campaign_id"])
    return _pause_people(session, vote_table.campaign_id, flags_by_person, now)


def _skill_row(
    vote_table: VoteTable, skills: Skills, person: int, record: Record
) -> dict[str, Any]:
    return {
        "confusion": np.round(skills.confusions[person], 9).tolist(),
        "following": float(skills.copy_rates[person]),
        "figures": person_figures(vote_table, skills, person, record),
    }


def _pause_people(
    session: Session, campaign_id: int, flags_by_person: Mapping[int, Sequence[Flag]], now: datetime
) -> list[int]:
    """Pause the people whose flags call for it, unless a supervisor has set their status."""
    paused = []
    for annotator_id, found in flags_by_person.items():
        if recommend_action(list(found)) != "pause":
            continue
        reason = found[0].sentence
        if set_status(session, campaign_id, annotator_id, "paused", reason=reason, now=now):
            paused.append(annotator_id)
    return paused


def _upsert(session: Session, table: Any, rows: list[dict[str, Any]], keys: list[str]) -> None:
    if not rows:
        return
    statement = insert_or(session, table.__table__)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    session.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)


def _derive_again(
    db: Database, vote_table: VoteTable, all_images: bool, progress: Progress | None
) -> int:
    with db.read() as session:
        campaign_id = vote_table.campaign_id
        ids: Sequence[int] = vote_table.images.tolist()
        if all_images:
            wanted = select(Consensus.image_id).where(Consensus.campaign_id == campaign_id)
            ids = session.scalars(wanted.order_by(Consensus.image_id)).all()
    changed = 0
    for start in range(0, len(ids), READ_BATCH):
        if progress is not None:
            progress(start, len(ids))
        with db.read() as session:
            stale = find_stale(session, campaign_id, ids[start : start + READ_BATCH])
        for first in range(0, len(stale), WRITE_BATCH):
            with db.write() as session:
                changed += recount(session, campaign_id, stale[first : first + WRITE_BATCH])
    return changed
