"""Check that the documentation is easy to read and stays inside the repository.

    .venv/bin/python -m docs.tools.check_prose          # part of `make lint`

A sentence has at most 40 words, and the median of a page is below 20. Code blocks, tables,
headings and link targets are left out. A piece of inline code or a formula counts as one word. No
page points at a path outside the repository: nobody else has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from markdown_it.token import Token

from docs.tools.pages import ROOT, Problem, find_pages, inline_blocks, parse, report

MOST_WORDS = 40
MEDIAN_BELOW = 20
NO_PROSE = {"heading", "table"}
ABBREVIATION = r"(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bal\.)(?<!\bcf\.)(?<!\bvs\.)(?<!\bFig\.)"
SENTENCE_END = re.compile(rf"(?<=[.!?])[\"'”’)\]]*{ABBREVIATION}\s+")
FORMULA = re.compile(r"\$\$.+?\$\$|(?<![\w$])\$[^$\n]+\$(?![\w$])", re.DOTALL)
WORD = re.compile(r"\S*\w\S*")
HOME = re.compile(r"(?<![\w.~/])/(?:home|Users|root|work)/\w")
UPWARDS = re.compile(r"(?<![\w./])\.\./")


@dataclass(frozen=True)
class Sentence:
    """A sentence of a page and the line on which it begins."""

    line: int
    text: str

    @property
    def words(self) -> int:
        """How many words it has; signs alone are none."""
        return len(WORD.findall(self.text))


def sentences_of(page: Path) -> list[Sentence]:
    """The sentences of a page's running text, list items included."""
    found: list[Sentence] = []
    for block, around in inline_blocks(parse(page)):
        if not NO_PROSE & set(around):
            found += _split(_plain_text(block), (block.map or [0])[0] + 1)
    return found


def check_sentences(page: Path) -> list[Problem]:
    """Sentences that are too long, and a page whose sentences are long as a rule."""
    sentences = sentences_of(page)
    problems = [
        Problem(page, each.line, f"{each.words} words, at most {MOST_WORDS}: {each.text}")
        for each in sentences
        if each.words > MOST_WORDS
    ]
    middle = median([each.words for each in sentences] or [0])
    if middle >= MEDIAN_BELOW:
        text = f"the median sentence has {middle:g} words; it must be below {MEDIAN_BELOW}"
        problems.append(Problem(page, 1, text))
    return problems


def check_paths(page: Path) -> list[Problem]:
    """Code that points outside the repository, and absolute paths of one machine."""
    problems = []
    for line, text in _code(parse(page)):
        if UPWARDS.search(text):
            problems.append(Problem(page, line, f"a path outside the repository: {text.strip()}"))
    for line, text in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if HOME.search(text):
            problems.append(Problem(page, line, f"a path of one machine: {text.strip()}"))
    return problems


def _split(text: str, line: int) -> Iterator[Sentence]:
    start = 0
    for end in [*(match.end() for match in SENTENCE_END.finditer(text)), len(text)]:
        words = " ".join(text[start:end].split())
        if WORD.search(words):
            yield Sentence(line + text[:start].count("\n"), words)
        start = end


def _plain_text(block: Token) -> str:
    """The text as it is read; line breaks stay, so that lines can be counted."""
    parts = []
    for child in block.children or []:
        if child.type == "text":
            parts.append(child.content)
        elif child.type == "code_inline":
            parts.append(f"`{_one_word(child.content)}`")
        elif child.type in ("softbreak", "hardbreak"):
            parts.append("\n")
    return FORMULA.sub(lambda match: _one_word(match[0]), "".join(parts))


def _one_word(text: str) -> str:
    """Without what would end a word or a sentence."""
    return re.sub(r"\s+", "_", text)


def _code(tokens: list[Token]) -> Iterator[tuple[int, str]]:
    """(line, text) of each line of code, and of each piece of code in a text."""
    for token in tokens:
        line = (token.map or [0])[0] + 1
        if token.type in ("fence", "code_block"):
            first = line + (token.type == "fence")
            yield from enumerate(token.content.splitlines(), first)
        for child in token.children or []:
            if child.type in ("softbreak", "hardbreak"):
                line += 1
            elif child.type == "code_inline":
                yield line, child.content


def main() -> None:
    """Check every page."""
    problems = []
    for page in find_pages(ROOT):
        problems += check_sentences(page) + check_paths(page)
    report(problems, ROOT)


if __name__ == "__main__":
    main()
