"""The pages on security name tests that exist, all chapters of the standard, and the real words."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from docs.tools.pages import ROOT
from labeler.accounts.passwords import CONTEXT

SECURITY = ROOT / "docs" / "security.md"
EXPERIMENTS = ROOT / "docs" / "experiments"
PAGES = (SECURITY, EXPERIMENTS / "hardening.md", EXPERIMENTS / "file_formats.md")
NAMED = re.compile(r"`((?:tests|\.ci)/[\w./-]+\.py)(?:::(\w+))?`")
ROW = re.compile(r"^\| (?:(?:\d+\.)+\d+[ ,–]|\d+\.\d+ )")
STATES = {"met", "partly", "not met", "operator", "n/a"}


def missing(page: str, root: Path) -> list[str]:
    """The tests and files that a page names and that are not there."""
    found = []
    for file, name in NAMED.findall(page):
        path = root / file
        if not path.is_file() or (name and name not in functions(path)):
            found.append(f"{file}::{name}")
    return found


def functions(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_named_test_exists(page: Path) -> None:
    text = page.read_text()
    assert len(NAMED.findall(text)) > 15
    assert missing(text, ROOT) == []


def test_a_name_that_is_nowhere_is_found() -> None:
    here = "tests/docs/test_security.py"
    page = f"`{here}::test_made_up`, `{here}::missing`, `tests/nowhere.py`, `{here}`"
    assert missing(page, ROOT) == [f"{here}::test_made_up", "tests/nowhere.py::"]


def test_each_chapter_of_the_standard_is_there() -> None:
    heads = re.findall(r"^### (V.+)$", SECURITY.read_text(), re.MULTILINE)
    numbers = [int(number) for head in heads for number in re.findall(r"\bV(\d+)", head)]
    assert numbers == list(range(1, 18))


def test_each_row_has_a_state_and_says_how_it_is_tested() -> None:
    rows = [line for line in SECURITY.read_text().splitlines() if ROW.match(line)]
    assert len(rows) > 80
    for row in rows:
        _, state, how, test = (cell.strip() for cell in row.strip("|").split(" | "))
        assert state in STATES, row
        assert how, row
        assert NAMED.search(test) or test in ("–", "not tested"), row


def test_the_words_of_passwords_are_listed() -> None:
    page = SECURITY.read_text()
    (listed,) = re.findall(r"Words that may not make up a password: ([^.]+)\.", page)
    words = {word.strip() for word in listed.replace("\n", " ").split(",")}
    assert words == {*CONTEXT, "and the person's own user name"}
