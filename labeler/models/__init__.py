"""The tables and their invariants.

The database itself enforces every invariant that it can: by named CHECK constraints, by unique
and partial unique indexes, and by triggers. The triggers are in
`migrations/versions/20261122_campaigns.py`. They make votes append-only, end a lease when its
vote comes, and keep an image's place in the queue while it is leased.

The names of constraints follow one convention, so that migrations can refer to them.
"""

from __future__ import annotations

from labeler.models.accounts import ROLES, Annotator, Invite, InviteUse, LoginFailure, LoginSession
from labeler.models.base import Base, UtcDateTime, utc_now
from labeler.models.campaigns import PARTICIPATION_STATUSES, Campaign, Participation
from labeler.models.consensus import Consensus, Decision, Estimate, Gold, Skill
from labeler.models.images import MAX_ATTRIBUTES, MAX_FILENAME, Dataset, Image
from labeler.models.proposals import ModelRun, Proposal, Publication, published_runs
from labeler.models.voting import NOT_COUNTED, Lease, Vote

__all__ = [
    "MAX_ATTRIBUTES",
    "MAX_FILENAME",
    "NOT_COUNTED",
    "PARTICIPATION_STATUSES",
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
    "published_runs",
    "utc_now",
]
