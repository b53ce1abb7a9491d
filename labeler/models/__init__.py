"""The tables and their invariants.

The database itself enforces every invariant that it can: by named CHECK constraints, by unique
and partial unique indexes, and by triggers. The triggers are in
`migrations/versions/20261122_campaigns.py`. They make votes append-only, end a lease when its
vote comes, and keep an image's place in the queue while it is leased. Those of the audit log are
in `migrations/versions/20261129_audit.py`.

Importing the package loads every table, so that `Base.metadata` is complete.

The names of constraints follow one convention, so that migrations can refer to them.
"""

from labeler.models import (
    accounts,
    audit,
    campaigns,
    consensus,
    image_imports,
    images,
    jobs,
    people,
    privacy,
    proposals,
    studio,
    subsets,
    voting,
)

__all__ = [
    "accounts",
    "audit",
    "campaigns",
    "consensus",
    "image_imports",
    "images",
    "jobs",
    "people",
    "privacy",
    "proposals",
    "studio",
    "subsets",
    "voting",
]
