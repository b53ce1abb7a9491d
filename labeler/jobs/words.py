"""The state of a job, and why it has ended or begins anew, in the language of the reader.

Both are stored in English, because a worker does not know who will read them. An expected error is
stored with its form and its values too. Other texts with values, such as errors of a library, stay
in English.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from labeler.languages.stored import tell_text
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, pgettext, translate

PLAIN = (
    mark("its worker has ended or has lost the database."),
    mark("The worker was stopped."),
    mark("It is tried again."),
    mark("It is taken up again."),
    mark("cancelled: the campaign is deleted"),
    mark("cancelled: the data set is deleted"),
)
WITH_VALUES = (
    (
        re.compile(r"The subset (?P<name>.+) was deleted\. Choose another one, or none\."),
        mark("The subset %(name)s was deleted. Choose another one, or none."),
    ),
    (re.compile(r"cancelled by (?P<who>.+)"), mark("cancelled by %(who)s")),
    (
        re.compile(r"This was attempt (?P<number>\d+) of (?P<allowed>\d+)\."),
        mark("This was attempt %(number)s of %(allowed)s."),
    ),
)


def tell_state(state: str) -> str:
    """Return the state of a job as people read it.

    Parameters:
        state: that of `labeler.models.jobs.Job`.
    """
    return {
        "queued": pgettext("job", "queued"),
        "running": pgettext("job", "running"),
        "done": pgettext("job", "done"),
        "failed": pgettext("job", "failed"),
        "cancelled": pgettext("job", "cancelled"),
    }[state]


def tell_problem(stored: str, result: Mapping[str, Any] | None = None) -> str:
    """Return a stored problem as people read it; "" stays "".

    A problem can end with a sentence that says how the job goes on. That is told by itself, if the
    problem before it is known too: one language for both.

    Parameters:
        stored: `Job.problem`.
        result: `Job.result` of a failed job, with the problem as `keep_text` returns it, if the
            version that ran the job kept it.
    """
    if result and "problem" in result:
        return tell_text(result["problem"])
    whole = _tell_sentence(stored)
    problem, full_stop, ending = stored.rpartition(". ")
    if whole != stored or not full_stop:
        return whole
    before = _tell_sentence(f"{problem}.")
    return stored if before == f"{problem}." else f"{before} {_tell_sentence(ending)}"


def _tell_sentence(stored: str) -> str:
    for pattern, text in WITH_VALUES:
        found = pattern.fullmatch(stored)
        if found:
            return _(text, **found.groupdict())
    return translate(stored)
