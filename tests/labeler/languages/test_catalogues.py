"""The check of the catalogues."""

from __future__ import annotations

from pathlib import Path

import pytest
from babel.messages.catalog import Catalog

from docs.tools import catalogues


@pytest.mark.parametrize(
    ("text", "said", "fault"),
    [
        ("<b>%(n)s</b> left", "<b>%(n)s</b> übrig", ""),
        ("%(n)s left", "<b>%(n)s</b> übrig", "other numbers of"),
        ("the name", 'der "Name"', "other numbers of"),
        ("%(n)s left", "%(m)s übrig", "unknown named placeholder"),
        ("open", "", "not in Deutsch yet"),
    ],
)
def test_a_wrong_translation_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str, fault: str
) -> None:
    monkeypatch.setattr(catalogues, "FOLDER", tmp_path)
    texts, german = Catalog(), Catalog(locale="de")
    for catalogue, string in ((texts, None), (german, said)):
        catalogue.add(text, string, [("page.html", 1)])
    (tmp_path / "de.po").write_text(catalogues.as_text(catalogues.update(german, texts)))
    found = list(catalogues.problems("de", texts))
    assert len(found) == bool(fault), found
    assert fault in "".join(found)
