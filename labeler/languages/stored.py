"""Texts that were stored in English with their values, shown in the language of the moment.

A sentence such as `12 of 15 correct.` is stored as it was written. Its format tells which parts of
it are values, so the sentence is taken apart and written anew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from labeler.languages.texts import gettext, translate

# A value of a format, or a percent sign that is written twice.
_PART = re.compile(r"%\((\w+)\)s|%%")


def translate_stored(stored: str, formats: Sequence[str]) -> str:
    """Translate a stored English text.

    Parameters:
        stored: the text. One of another origin, such as a person's own words, stays as it is.
        formats: the marked formats by which it may have been written, such as
            `mark("%(right)s of %(asked)s correct.")`. Values keep the form in which they were
            stored; a value that is a marked text itself, such as `left`, is translated too.
    """
    for format in formats:
        found = _pattern(format).fullmatch(stored)
        if found:
            values = {name: translate(value) for name, value in found.groupdict().items()}
            return gettext(format, **values)
    return stored


@cache
def _pattern(format: str) -> re.Pattern[str]:
    """Return what matches the texts that a format makes."""
    parts, end = [], 0
    for part in _PART.finditer(format):
        parts.append(re.escape(format[end : part.start()]))
        parts.append(f"(?P<{part[1]}>.+?)" if part[1] else "%")
        end = part.end()
    return re.compile("".join(parts) + re.escape(format[end:]), re.DOTALL)
