"""The catalogues of texts: `catalogues/CODE.po`, one a language, in the format of gettext."""

from __future__ import annotations

import gettext
import io
from functools import cache
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

FOLDER = Path(__file__).resolve().parent / "catalogues"


@cache
def load_catalogue(code: str) -> gettext.NullTranslations:
    """Return the texts of a language. One without a catalogue, such as English, translates nothing.

    The catalogue is compiled here, a quarter of a second once in each process. So there is no
    compiled file that could be older than its source.
    """
    path = FOLDER / f"{code}.po"
    if not path.is_file():
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=code))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
