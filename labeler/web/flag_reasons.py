"""The words for the reasons of a flag, marked for translation."""

from __future__ import annotations

from labeler.languages.texts import mark
from labeler.models.people import FLAG_REASONS

REASON_WORDS = dict(
    zip(
        FLAG_REASONS,
        (
            mark("The light cannot be judged"),
            mark("There is no face, or more than one"),
            mark("The picture is damaged"),
            mark("The picture should not be shown"),
            mark("Something else"),
        ),
        strict=True,
    )
)
