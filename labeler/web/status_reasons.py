"""Why a person has the status that they have in a campaign, in the language of the reader.

Reasons are stored in English: by the qualification, by the refresh that pauses people, or in the
own words of a supervisor, which stay as they are.
"""

from __future__ import annotations

from labeler.languages.stored import translate_stored
from labeler.languages.texts import mark
from labeler.statistics.annotator_flags import translate_finding

_OF_QUALIFICATION = (  # labeler.qualification.service writes them
    mark("%(right)s of %(asked)s correct. You have passed the qualification."),
    mark("%(right)s of %(asked)s correct. You need %(needed)s. Another round follows."),
    mark("There were no gold questions for the qualification."),
)


def write_reason(stored: str) -> str:
    """Return a stored reason in the language of the moment."""
    return translate_finding(translate_stored(stored, _OF_QUALIFICATION))
