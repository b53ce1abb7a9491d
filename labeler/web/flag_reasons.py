"""The words for the reasons of a flag."""

from __future__ import annotations

from labeler.models.people import FLAG_REASONS

REASON_WORDS = dict(
    zip(
        FLAG_REASONS,
        (
            "The light cannot be judged",
            "There is no face, or more than one",
            "The picture is damaged",
            "The picture should not be shown",
            "Something else",
        ),
        strict=True,
    )
)
