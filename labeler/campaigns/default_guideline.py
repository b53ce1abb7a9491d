"""The guideline of campaigns that have none of their own. The guide shows it below drawings."""

from __future__ import annotations

from labeler.languages.current import LANGUAGES, in_language
from labeler.languages.texts import mark, translate

DEFAULT_GUIDELINE = mark("""\
# Where to look

- Compare the two cheeks, then the two sides of the nose and of the forehead.
- Look for the shadow of the nose: it falls away from the light.
- When the head is turned, compare the same places on both sides. A cheek is not brighter just \
because it looks larger.
- Judge only the light on the skin. Ignore hair, hats, clothes and the background.
- Answer *center* for light from above, from below or from the camera, unless one side is clearly \
brighter.

# When to answer “unsure”

Answer “unsure” when you cannot tell: the face is covered or too dark, two lamps light it from \
both sides, or there is no face. Please do not guess. If you have to search for a difference, \
answer *center*.

# The suggestion

Under some images you see the suggestion of a model, such as “Suggestion: left (82\u00a0%)”. It is \
often wrong. Under other images no suggestion is shown; this is intended. Always judge the image \
first.""")


def default_guideline() -> str:
    """Return the default guideline in the language of the moment."""
    return translate(DEFAULT_GUIDELINE)


def without_default(guideline: str) -> str:
    """Return a guideline without blanks around it; "" if it is the default one of a language.

    Browsers send lines with two characters at their end.
    """
    text = guideline.strip()
    plain = text.replace("\r\n", "\n")
    return "" if plain in {_default_in(code) for code in LANGUAGES} else text


def _default_in(code: str) -> str:
    with in_language(code):
        return default_guideline()
