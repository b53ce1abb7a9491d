"""What is added to MkDocs: moved links, patterns in the order of pages, formulas."""

from __future__ import annotations

from typing import Any

import pytest

from docs.tools import site


@pytest.mark.parametrize(
    ("source", "markdown", "expected"),
    [
        ("README.md", "[a](docs/b.md#c)", "[a](b.md#c)"),
        ("README.md", "![a](docs/img/b.png)", "![a](img/b.png)"),
        ("README.md", '<img src="docs/img/b.png">', '<img src="img/b.png">'),
        ("README.md", "[a](CONTRIBUTING.md)", "[a](CONTRIBUTING.md)"),
        ("README.md", "[a](LICENSE)", "a (`LICENSE`)"),
        ("README.md", "[![a](docs/b.png)](docs/c.md)", "[![a](b.png)](c.md)"),
        ("docs/b.md", "[a](../README.md)", "[a](index.md)"),
        ("docs/b.md", "[a](c.md#d) [e](#f)", "[a](c.md#d) [e](#f)"),
        ("docs/b.md", "[a](../labeler/app.py)", "a (`labeler/app.py`)"),
        ("docs/reference/b.md", "[a](../settings.md)", "[a](../settings.md)"),
        ("docs/b.md", "[a](https://example.org/b.md)", "[a](https://example.org/b.md)"),
    ],
)
def test_links_lead_to_pages_of_the_site(source: str, markdown: str, expected: str) -> None:
    assert site.relink(markdown, source) == expected


def test_a_pattern_stands_for_the_pages_that_are_named_nowhere() -> None:
    nav: list[Any] = [
        {"One": ["b.md", "not-there.md", "sub/*.md"]},
        {"None": ["missing/*.md"]},
        {"More": ["*.md"]},
    ]
    pages = {"a.md", "b.md", "c.md", "sub/d.md"}
    expanded = site._expand(nav, pages, set(site._named(nav)) & pages)
    assert expanded == [{"One": ["b.md", "sub/d.md"]}, {"More": ["a.md", "c.md"]}]


def test_formulas_become_mathml() -> None:
    content = '<p><span class="arithmatex">\\(a_t &lt; 1\\)</span></p>'
    found = site.on_page_content(content, None, None, None)  # type: ignore[arg-type]
    assert found.startswith("<p><math")
    assert "<mo>&#x0003C;</mo>" in found
    block = '<div class="arithmatex">\\[\\frac{a}{b}\\]</div>'
    found = site.on_page_content(block, None, None, None)  # type: ignore[arg-type]
    assert 'display="block"' in found
    assert "<mfrac>" in found
