"""The pages: thin blueprints, one file per area. `BLUEPRINTS` is what the factory registers."""

from __future__ import annotations

from labeler.web import (
    account,
    adjudication,
    admin,
    auth,
    campaigns,
    gold,
    grid,
    invites,
    labelling,
    people,
    pictures,
    progress,
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

__all__ = ["BLUEPRINTS", "adjudication", "campaigns", "gold", "invites", "people"]
