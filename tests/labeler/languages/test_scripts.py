"""The texts of scripts: each page gives the texts that its scripts ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES, STATIC = ROOT / "templates", ROOT / "static"
SCRIPT = re.compile(r"filename='([\w/]+\.js)'")
BLOCK = re.compile(r'<script type="application/json" id="texts[^"]*">(.*?)</script>', re.DOTALL)
PARENT = re.compile(r'{% (?:extends|include|from|import) "([\w/.]+)"')
ASKED = re.compile(r"""\btext\(\s*["']([\w -]+)["']""")
IMPORT = re.compile(r"""^import .*?from ["'](\.[\w./]+)["']""", re.MULTILINE | re.DOTALL)


def _with_parts(template: str) -> Iterator[str]:
    """The sources of a template, and of those that it extends, includes or imports."""
    source = (TEMPLATES / template).read_text()
    yield source
    for part in PARENT.findall(source):
        yield from _with_parts(part)


def _asked(script: Path, seen: set[Path]) -> set[str]:
    """The keys that a script and the scripts that it imports ask for."""
    if script in seen:
        return set()
    seen.add(script)
    source = script.read_text()
    found = set(ASKED.findall(source))
    for name in IMPORT.findall(source):
        found |= _asked((script.parent / name).resolve(), seen)
    return found


PAGES = sorted(
    str(path.relative_to(TEMPLATES))
    for path in TEMPLATES.rglob("*.html")
    if SCRIPT.search(path.read_text())
)


@pytest.mark.parametrize("template", PAGES)
def test_a_page_gives_the_texts_that_its_scripts_ask_for(template: str) -> None:
    sources = "\n".join(_with_parts(template))
    given = set(re.findall(r'"([\w -]+)(?:\.(?:one|other))?":', "".join(BLOCK.findall(sources))))
    seen: set[Path] = set()
    asked = {key for name in SCRIPT.findall(sources) for key in _asked(STATIC / name, seen)}
    assert asked <= given


def test_scripts_and_their_keys_are_found() -> None:
    assert "studio/result.html" in PAGES
    assert _asked(STATIC / "copy.js", set()) == {"copied", "selected"}
