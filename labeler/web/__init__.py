"""The pages: thin blueprints, one file per area. `BLUEPRINTS` is what the factory registers."""

from __future__ import annotations

from labeler.web import (
    account,
    admin,
    auth,
    invites,
    labelling,
    people,
    pictures,
    progress,
    site,
)

# `admin`, `people` and `invites` are one area with one menu; the routes share a blueprint.
BLUEPRINTS = (
    site.bp,
    auth.bp,
    account.bp,
    labelling.bp,
    pictures.bp,
    progress.bp,
    admin.bp,
)

__all__ = ["BLUEPRINTS", "invites", "people"]
