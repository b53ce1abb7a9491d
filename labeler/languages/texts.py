"""Texts in the language of the moment, as gettext does it.

English texts are the keys. A text without a translation is shown in English. Texts are format
strings with named values, so a percent sign is written twice:
`_("%(share)s %% of %(name)s", share=93, name=name)`.
"""

from __future__ import annotations

from labeler.languages.catalogues import load_catalogue
from labeler.languages.current import current_language
from labeler.languages.numbers import write_number


def mark(text: str) -> str:
    """Return the text itself: it enters the catalogues, and is translated where it is shown."""
    return text


class MarkedInContext(str):
    """A text that `mark_in_context` has marked."""

    context: str


def mark_in_context(context: str, text: str) -> MarkedInContext:
    """Return the text itself, as `mark` does; `speak` translates it in its context."""
    marked = MarkedInContext(text)
    marked.context = context
    return marked


def speak(marked: str, /, **values: object) -> str:
    """Translate a text that `mark` or `mark_in_context` has marked, and put values into it."""
    if isinstance(marked, MarkedInContext):
        return pgettext(marked.context, str(marked), **values)
    return gettext(marked, **values)


def mark_plural(singular: str, plural: str) -> tuple[str, str]:
    """Return both texts themselves, as `mark` does, for `ngettext`."""
    return singular, plural


class Told(str):
    """A text in the language of the moment that remembers how to tell it in another one.

    `said`: {"text", "values"}, with "plural" and "number" for a text about a number, and with
    "context" for one that depends on the place.
    """

    said: dict[str, object]


def gettext(text: str, /, **values: object) -> str:
    """Translate a text, and put values into it. Imported as `_`."""
    return _told(translate(text) % values, text, values)


def ngettext(singular: str, plural: str, number: int, /, **values: object) -> str:
    """Translate the form of a text that a number asks for. `%(num)s` is the number in words."""
    shown = translate_plural(singular, plural, number) % {"num": write_number(number), **values}
    return _told(shown, singular, values, plural=plural, number=number)


def pgettext(context: str, text: str, /, **values: object) -> str:
    """Translate a text that means different things in different places. `context`: which place."""
    return _told(translate_in_context(context, text) % values, text, values, context=context)


def translate(text: str) -> str:
    """Translate a text as it is, without values. For templates, and for texts that were marked."""
    return load_catalogue(current_language()).gettext(text) if text else ""


def translate_in_context(context: str, text: str) -> str:
    """Translate a text as it is there, without values."""
    return load_catalogue(current_language()).pgettext(context, text)


def translate_plural(singular: str, plural: str, number: int) -> str:
    """Translate one of two forms as it is, without values."""
    return load_catalogue(current_language()).ngettext(singular, plural, number)


def _told(shown: str, text: str, values: dict[str, object], **more: object) -> Told:
    told = Told(shown)
    told.said = {"text": text, "values": values, **more}
    return told
