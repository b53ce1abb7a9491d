"""Deleting a campaign or a data set: it is marked, and the queued jobs about it are cancelled.

The jobs would find nothing to work on and fail. The deletions themselves stay queued.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, literal, select
from sqlalchemy.orm import Session

from labeler.audit.log import NOBODY, Actor
from labeler.campaigns import deletion as campaign_deletion
from labeler.campaigns.deletion import DeletionForecast
from labeler.images import deletion as dataset_deletion
from labeler.images.deletion import DatasetForecast
from labeler.jobs import kinds, queue
from labeler.models.campaigns import Campaign
from labeler.models.proposals import ModelRun

DELETIONS = ("delete_campaign", "delete_dataset")


def mark_campaign(session: Session, campaign_id: int, by: Actor = NOBODY) -> DeletionForecast:
    """Make a campaign disappear, and cancel its queued jobs.

    Raises:
        NotFound, Conflict: as `labeler.campaigns.deletion.mark_deleted`.
    """
    told = campaign_deletion.mark_deleted(session, campaign_id, by)
    _cancel(session, "campaign", select(literal(campaign_id)), "the campaign is deleted", by)
    return told


def mark_dataset(session: Session, dataset_id: int, by: Actor = NOBODY) -> DatasetForecast:
    """Make a data set disappear, and cancel the queued jobs of it, its campaigns and its runs.

    Raises:
        NotFound, Conflict: as `labeler.images.deletion.mark_deleted`.
    """
    told = dataset_deletion.mark_deleted(session, dataset_id, by)
    for subject, numbers in {
        "dataset": select(literal(dataset_id)),
        "campaign": select(Campaign.id).where(Campaign.dataset_id == dataset_id),
        "run": select(ModelRun.id).where(ModelRun.dataset_id == dataset_id),
    }.items():
        _cancel(session, subject, numbers, "the data set is deleted", by)
    return told


def _cancel(session: Session, subject: str, numbers: Select[Any], why: str, by: Actor) -> None:
    about = [one.name for one in kinds.KINDS.values() if one.subject == subject]
    wanted = [name for name in about if name not in DELETIONS]
    queue.cancel_queued(session, wanted, numbers, f"cancelled: {why}", by)
