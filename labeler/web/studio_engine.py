"""What the engine has written into its report about a result, in the language of the reader.

The engine writes English. A text that is not known here stays in English.
"""

from __future__ import annotations

from labeler.languages.stored import translate_stored
from labeler.languages.texts import mark

_FORMS = (
    # rotation.geometry.photograph
    mark("turned by %(angle)s degrees; up to %(most)s turn out well"),
    mark("%(share)s of the face was hidden in the photograph"),
    # rotation.clusters.selection
    mark("%(name)s dropped"),
    mark("window at %(angle)s° widened from ±%(asked)s° to ±%(half)s°"),
)


def tell_engine(text: str) -> str:
    """Return a text of the engine as people read it."""
    return translate_stored(text, _FORMS)
