"""Texts that are stored in English together with their values, in the language of the moment.

A sentence that is written once and read by many people is stored in English. Its form, such as
`Right on %(right)s of %(asked)s gold questions.`, is in the catalogues.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from labeler.languages.current import ENGLISH, current_language
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext, translate

_VALUE = re.compile(r"%\((\w+)\)s")
_DECIMAL = re.compile(r"\d+\.(\d+)")


def translate_stored(text: str, forms: Sequence[str]) -> str:
    """Translate a stored text.

    Parameters:
        text: in English, as it was stored.
        forms: the forms that it may have, with values as `%(name)s`.

    Returns:
        The text as it is if it has none of the forms: a person may have written it.
    """
    if current_language() == ENGLISH:
        return text
    for form in forms:
        if found := _pattern(form).fullmatch(text):
            return gettext(form, **{name: _value(said) for name, said in found.groupdict().items()})
    return text


def _value(said: str) -> str:
    """Write a number with the comma of the language, and translate a word."""
    if found := _DECIMAL.fullmatch(said):
        return write_number(float(said), len(found[1]))
    return translate(said)


@cache
def _pattern(form: str) -> re.Pattern[str]:
    parts = _VALUE.split(form)
    texts = [re.escape(part.replace("%%", "%")) for part in parts[::2]]
    names = [f"(?P<{name}>.+?)" for name in parts[1::2]]
    return re.compile("".join(a + b for a, b in zip(texts, [*names, ""], strict=True)))
