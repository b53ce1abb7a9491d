"""The documentation as files: which pages there are, and what their Markdown holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
TOP_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where."""

    path: Path
    line: int
    text: str

    def show(self, root: Path) -> str:
        """As compilers say it, so that editors can jump there."""
        return f"{self.path.relative_to(root)}:{self.line}: {self.text}"


def find_pages(root: Path) -> list[Path]:
    """All pages: those at the top that are there, and every one below docs."""
    top = [root / name for name in TOP_PAGES]
    return [page for page in top if page.is_file()] + sorted((root / "docs").rglob("*.md"))


def parse(page: Path) -> list[Token]:
    """The blocks of a page as GitHub and the site read them: CommonMark with tables."""
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def inline_blocks(tokens: list[Token]) -> Iterator[tuple[Token, list[str]]]:
    """Each run of text with the names of the blocks around it, such as `heading`, `list_item`."""
    around: list[str] = []
    for token in tokens:
        if token.nesting == 1:
            around.append(token.type.removesuffix("_open"))
        elif token.nesting == -1:
            around.pop()
        elif token.type == "inline":
            yield token, around


def report(problems: list[Problem], root: Path) -> None:
    """Print the problems and exit with 1 if there are any."""
    for problem in problems:
        print(problem.show(root))
    if problems:
        raise SystemExit(f"{len(problems)} problems in the documentation.")
