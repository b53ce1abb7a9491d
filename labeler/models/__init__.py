"""The tables and their invariants.

An invariant that the database can hold is held there: named CHECK constraints, unique and
partial unique indexes, and triggers (see `migrations`) that make votes append-only. The names
of constraints follow one convention, so that migrations can speak of them.
"""

from __future__ import annotations

from labeler.models.accounts import ROLES, Annotator, Invite, InviteUse, LoginFailure, LoginSession
from labeler.models.base import Base, UtcDateTime, utc_now
from labeler.models.campaigns import Campaign, Participation
from labeler.models.consensus import Consensus, Decision, Estimate, Gold, Skill
from labeler.models.images import MAX_ATTRIBUTES, MAX_FILENAME, Dataset, Image
from labeler.models.proposals import ModelRun, Proposal, Publication
from labeler.models.voting import NOT_COUNTED, Lease, Vote

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
