"""Why a job has ended or begins anew: stored in English, and told in the language of the reader.

A worker speaks English, because it does not know who will read what it stores. A text with values
that is in no pattern, such as an error of a library, stays in English.
"""

from __future__ import annotations

import re

from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, translate

PLAIN = (
    mark("its worker has ended or has lost the database."),
    mark("The worker was stopped."),
    mark("It is tried again."),
    mark("It is taken up again."),
    mark("cancelled: the campaign is deleted"),
    mark("cancelled: the data set is deleted"),
)
WITH_VALUES = (
    (re.compile(r"cancelled by (?P<who>.+)"), mark("cancelled by %(who)s")),
    (
        re.compile(r"This was attempt (?P<number>\d+) of (?P<allowed>\d+)\."),
        mark("This was attempt %(number)s of %(allowed)s."),
    ),
)


def tell_problem(stored: str) -> str:
    """Return a stored problem as people read it; "" stays "".

    A problem can end with a sentence that says how the job goes on. That is told by itself.
    """
    whole = _tell_sentence(stored)
    problem, full_stop, ending = stored.rpartition(". ")
    if whole != stored or not full_stop:
        return whole
    return f"{_tell_sentence(f'{problem}.')} {_tell_sentence(ending)}"


def _tell_sentence(stored: str) -> str:
    for pattern, text in WITH_VALUES:
        found = pattern.fullmatch(stored)
        if found:
            return _(text, **found.groupdict())
    return translate(stored)
