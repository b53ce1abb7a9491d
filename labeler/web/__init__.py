"""The pages: thin blueprints, one file per area. `BLUEPRINTS` is what the factory registers."""

from __future__ import annotations

from labeler.web import (
    account,
    adjudication,
    admin,
    agreement,
    auth,
    campaigns,
    dashboard,
    gold,
    grid,
    invites,
    labelling,
    mean_faces,
    model_runs,
    people,
    person,
    pictures,
    progress,
    quality,
    site,
    training,
)

# All that manages is one area with one menu; the routes share the blueprint of `admin`.
BLUEPRINTS = (
    site.bp,
    auth.bp,
    account.bp,
    labelling.bp,
    training.bp,
    grid.bp,
    pictures.bp,
    progress.bp,
    admin.bp,
)

__all__ = [
    "BLUEPRINTS",
    "adjudication",
    "agreement",
    "campaigns",
    "dashboard",
    "gold",
    "invites",
    "mean_faces",
    "model_runs",
    "people",
    "person",
    "quality",
]
