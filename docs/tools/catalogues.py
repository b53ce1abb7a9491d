"""Collect the texts of the site into the catalogues of its languages, or check that all are there.

    python -m docs.tools.catalogues            write labeler/languages/catalogues/*.po anew
    python -m docs.tools.catalogues --check    say what is missing, with exit code 1

New texts get an empty translation, to be filled in by hand. Texts that no page has any more are
removed. A catalogue holds no line numbers, so a change of code changes no catalogue.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po, write_po

from docs.tools.pages import ROOT
from labeler.languages.catalogues import FOLDER
from labeler.languages.current import ENGLISH, LANGUAGES

METHODS = {"labeler": [("**.py", "python")], "templates": [("**.html", "jinja2")]}
OPTIONS = {"**.html": {"trimmed": "true", "newstyle_gettext": "true", "silent": "false"}}
MARKUP = '<>&"'
KEYWORDS = {
    **DEFAULT_KEYWORDS,
    "mark": None,
    "mark_plural": (1, 2),
    "mark_in_context": ((1, "c"), 2),
}


def collect(root: Path = ROOT) -> Catalog:
    """Return all texts of the code and of the templates, with the files that have them."""
    found = Catalog()
    for folder, methods in METHODS.items():
        for name, line, text, comments, context in extract_from_dir(
            root / folder,
            methods,
            OPTIONS,
            keywords=KEYWORDS,
            comment_tags=("Translators:",),
            strip_comment_tags=True,
        ):
            found.add(
                text, None, [(f"{folder}/{name}", line)], auto_comments=comments, context=context
            )
    return found


def read(code: str) -> Catalog:
    """Return the catalogue of a language; an empty one if it has none yet."""
    path = FOLDER / f"{code}.po"
    if not path.is_file():
        return Catalog(locale=code)
    with path.open("rb") as file:
        return read_po(file, locale=code)


def update(catalogue: Catalog, texts: Catalog) -> Catalog:
    """Return a catalogue with exactly these texts, and the translations that it has of them."""
    made = Catalog(locale=catalogue.locale, header_comment="# The texts of Sidelight.")
    for wanted in texts:
        if not wanted.id:
            continue
        known = catalogue.get(wanted.id, wanted.context)
        kept = known.string if known is not None else None
        made.add(wanted.id, kept, auto_comments=wanted.auto_comments, context=wanted.context)
    return made


def as_text(catalogue: Catalog) -> str:
    """Return the file of a catalogue: sorted, without dates and line numbers."""
    file = io.BytesIO()
    write_po(file, catalogue, width=100, no_location=True, omit_header=True, sort_output=True)
    header = f'msgid ""\nmsgstr ""\n"Language: {catalogue.locale}\\n"\n'
    header += f'"Plural-Forms: {catalogue.plural_forms}\\n"\n'
    header += '"Content-Type: text/plain; charset=utf-8\\n"\n\n'
    return header + file.getvalue().decode()


def problems(code: str, texts: Catalog) -> Iterator[str]:
    """Tell what is wrong with the catalogue of a language."""
    catalogue = read(code)
    path = FOLDER / f"{code}.po"
    for text in texts:
        if not text.id:
            continue
        where = ", ".join(f"{name}:{line}" for name, line in text.locations[:1])
        known = catalogue.get(text.id, text.context)
        if known is None or not _is_whole(known):
            yield f"{where}: not in {LANGUAGES[code]} yet: {_shown(text)}"
            continue
        for error in known.check():
            yield f"{where}: {LANGUAGES[code]}: {error}: {_shown(text)}"
        if not _has_same_markup(known):
            yield f"{where}: {LANGUAGES[code]}: other numbers of {MARKUP}: {_shown(text)}"
    if not path.is_file() or path.read_text(encoding="utf-8") != as_text(update(catalogue, texts)):
        yield f"{path.name} is not as the code is. Run: make languages"


def _has_same_markup(message: Message) -> bool:
    """Whether a translation has each sign of `MARKUP` as often as the text.

    A quote in an attribute would end it. For a text about a number, each form of the translation
    is like one of the text.
    """
    allowed, made = (
        {tuple(map(one.count, MARKUP)) for one in _forms(said)}
        for said in (message.id, message.string)
    )
    return made <= allowed


def _forms(said: object) -> tuple[str, ...]:
    return tuple(said) if isinstance(said, tuple | list) else (str(said),)


def _is_whole(message: Message) -> bool:
    strings = message.string if isinstance(message.string, tuple) else (message.string,)
    return all(strings)


def _shown(message: Message) -> str:
    text = message.id if isinstance(message.id, str) else message.id[0]
    return repr(text[:80])


def main() -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args().check
    texts = collect()
    codes = [code for code in LANGUAGES if code != ENGLISH]
    if not check:
        for code in codes:
            written = as_text(update(read(code), texts))
            (FOLDER / f"{code}.po").write_text(written, encoding="utf-8")
    found = [one for code in codes for one in problems(code, texts)]
    print("\n".join(found) or f"{len(texts)} texts in {len(LANGUAGES)} languages")
    return 1 if found and check else 0


if __name__ == "__main__":
    sys.exit(main())
