"""The table "Where do I change ...?" names files and functions that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLES = (
    (ROOT / "docs/architecture.md").read_text(encoding="utf-8").split("## Where do I change")[1]
)
PLACE = re.compile(r"`([\w./]+\.(?:py|html|js|css|md))`(?: \(`(\w+)`)?")


@pytest.mark.parametrize("program", ["labeler", "rotation"])
def test_the_places_exist(program: str) -> None:
    site, engine = TABLES.split("### The engine")
    places = PLACE.findall(site if program == "labeler" else engine)
    assert len(places) > 10
    for path, name in places:
        found = [file for file in (ROOT / program / path, ROOT / path) if file.is_file()]
        assert found, path
        assert re.search(rf"\b{name}\b", found[0].read_text(encoding="utf-8")), f"{path}: {name}"
