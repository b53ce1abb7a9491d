"""The check of the documentation's links."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.tools.check_links import check_links

OTHER = "# The *first* `labels.csv`\n\n## Light & pose\n\n<a id='mark'></a><a id=\"named\"></a>\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "docs" / "img").mkdir(parents=True)
    (root / "docs" / "other.md").write_text(OTHER)
    (root / "docs" / "img" / "face.png").touch()
    (root / "README.md").touch()
    (tmp_path / "elsewhere.md").touch()
    return root


def problems(root: Path, markdown: str) -> list[str]:
    page = root / "docs" / "page.md"
    page.write_text(markdown)
    return [each.show(root) for each in check_links(page, root)]


@pytest.mark.parametrize(
    "target",
    [
        "other.md",
        "../README.md",
        "img/face.png",
        "#here",
        "other.md#the-first-labelscsv",
        "other.md#light--pose",
        "other.md#named",
        "https://example.org/x#y",
        "mailto:a@example.org",
    ],
)
def test_links_that_lead_somewhere(root: Path, target: str) -> None:
    assert problems(root, f"# Here\n\n[text]({target})\n") == []


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("[a](missing.md)", "missing.md: there is no such file"),
        ("![a](img/missing.png)", "img/missing.png: there is no such file"),
        ('<img src="img/missing.png">', "img/missing.png: there is no such file"),
        ("[a](other.md#nowhere)", "other.md#nowhere: the page has no such heading"),
        ("[a](#nowhere)", "#nowhere: the page has no such heading"),
        ("[a](../../elsewhere.md)", "../../elsewhere.md: leads out of the repository"),
        ("[a][nothing]", "[a][nothing]: this name is defined nowhere"),
    ],
)
def test_links_that_lead_nowhere_are_told_with_their_line(
    root: Path, link: str, reason: str
) -> None:
    assert problems(root, f"# Here\n\nText,\n\n{link}\n") == [f"docs/page.md:5: {reason}"]


def test_code_is_no_link(root: Path) -> None:
    assert problems(root, "`[a](missing.md)`\n\n    [a](missing.md)\n") == []
