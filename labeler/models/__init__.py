"""The tables and their invariants.

An invariant that the database can hold is held there: named CHECK constraints, unique and
partial unique indexes, and triggers (see `migrations`) that make votes append-only. The names
of constraints follow one convention, so that migrations can speak of them.
"""

from __future__ import annotations

from labeler.models.base import Base, UtcDateTime, utc_now
from labeler.models.campaigns import (
    Campaign,
    Consensus,
    Decision,
    Estimate,
    Gold,
    Participation,
    Skill,
)
from labeler.models.data import MAX_ATTRIBUTES, MAX_FILENAME, Dataset, Image
from labeler.models.people import (
    ROLES,
    Annotator,
    Invite,
    InviteUse,
    LoginFailure,
    LoginSession,
)
from labeler.models.votes import NOT_COUNTED, Lease, ModelRun, Proposal, Publication, Vote

__all__ = [
    "MAX_ATTRIBUTES",
    "MAX_FILENAME",
    "NOT_COUNTED",
    "ROLES",
    "Annotator",
    "Base",
    "Campaign",
    "Consensus",
    "Dataset",
    "Decision",
    "Estimate",
    "Gold",
    "Image",
    "Invite",
    "InviteUse",
    "Lease",
    "LoginFailure",
    "LoginSession",
    "ModelRun",
    "Participation",
    "Proposal",
    "Publication",
    "Skill",
    "UtcDateTime",
    "Vote",
    "utc_now",
]
