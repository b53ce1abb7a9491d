"""Texts that are stored in English together with their values, in the language of the moment.

A sentence that is written once and read by many people is stored in English. Its form, such as
`Right on %(right)s of %(asked)s gold questions.`, is in the catalogues. Where there is room for it,
the form and the values are stored beside the sentence (`keep_text`); else the forms are searched
(`translate_stored`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, cast

from labeler.languages.current import ENGLISH, current_language
from labeler.languages.numbers import write_number
from labeler.languages.texts import Told, gettext, ngettext, pgettext

# A form, or the two of a text about a number, which is its value `num`.
Form = str | tuple[str, str]
_VALUE = re.compile(r"%\((\w+)\)s")
_NUMBER = re.compile(r"(?:\d{1,3}(?:,\d{3})+|\d+(?=\.))(?:\.(\d+))?")


def translate_stored(
    text: str, forms: Sequence[Form], tell: Mapping[str, Callable[[str], str]] | None = None
) -> str:
    """Translate a stored text.

    Parameters:
        text: in English, as it was stored.
        forms: the forms that it may have, with values as `%(name)s`.
        tell: by the name of a value, what writes it in the language of the moment. All others stay
            as they are, except for numbers with a decimal point or separators.

    Returns:
        The text as it is if it has none of the forms: a person may have written it.
    """
    if current_language() == ENGLISH:
        return text
    tell = tell or {}
    for form in forms:
        for one in form if isinstance(form, tuple) else (form,):
            if found := _pattern(one).fullmatch(text):
                said = found.groupdict()
                values = {name: tell.get(name, _number)(value) for name, value in said.items()}
                if isinstance(form, str):
                    return gettext(form, **values)
                return ngettext(*form, int(said["num"].replace(",", "")), **values)
    return text


def keep_text(text: str) -> dict[str, Any] | None:
    """Return what `tell_text` needs to tell a text in any language, as JSON.

    Returns:
        None for a text that is not from the catalogues.
    """
    if not isinstance(text, Told):
        return None
    values = cast(Mapping[str, object], text.said["values"])
    return {**text.said, "values": {name: _kept(value) for name, value in values.items()}}


def tell_text(kept: Mapping[str, Any]) -> str:
    """Tell a text in the language of the moment.

    Parameters:
        kept: as `keep_text` has returned it.
    """
    text, values = kept["text"], {name: _retold(one) for name, one in kept["values"].items()}
    if "plural" in kept:
        return ngettext(text, kept["plural"], kept["number"], **values)
    if "context" in kept:
        return pgettext(kept["context"], text, **values)
    return gettext(text, **values)


def _kept(value: object) -> object:
    if isinstance(value, Told):
        return keep_text(value)
    return value if value is None or isinstance(value, int | float) else str(value)


def _retold(value: object) -> object:
    if isinstance(value, dict):
        return tell_text(value)
    is_written = isinstance(value, str) and current_language() != ENGLISH
    return _number(cast(str, value)) if is_written else value


def _number(said: str) -> str:
    """Write a number with the signs of the language; other values as they are."""
    if found := _NUMBER.fullmatch(said):
        return write_number(float(said.replace(",", "")), len(found[1] or ""))
    return said


@cache
def _pattern(form: str) -> re.Pattern[str]:
    parts = _VALUE.split(form)
    texts = [re.escape(part.replace("%%", "%")) for part in parts[::2]]
    names = [r"(?P<num>[\d,]+)" if name == "num" else f"(?P<{name}>.+?)" for name in parts[1::2]]
    return re.compile("".join(a + b for a, b in zip(texts, [*names, ""], strict=True)), re.DOTALL)
