"""Check the documentation's links: files and images exist, headings too.

    .venv/bin/python -m docs.tools.check_links          # part of `make lint`; needs no network

Addresses in the web are not asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pymdownx.slugs import slugify

from docs.tools.pages import ROOT, Problem, find_pages, inline_blocks, parse, report

HTML_TARGET = re.compile(r"<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)=\"([^\"]+)\"")
HTML_NAME = re.compile(r"<\w+\b[^>]*?\b(?:id|name)=\"([^\"]+)\"")
UNDEFINED = re.compile(r"\[[^\[\]]+\]\[[^\[\]]*\]")
make_anchor = slugify(case="lower")  # as the site does, and GitHub


def check_links(page: Path, root: Path) -> list[Problem]:
    """What is wrong with the links of a page."""
    problems = []
    for line, target in _targets(page):
        reason = _wrong(page, target, root)
        if reason:
            problems.append(Problem(page, line, f"{target}: {reason}"))
    return problems + _undefined(page)


@cache
def anchors_of(page: Path) -> frozenset[str]:
    """What a link to the page may name after `#`."""
    found = set(HTML_NAME.findall(page.read_text(encoding="utf-8")))
    for block, around in inline_blocks(parse(page)):
        if "heading" in around:
            text = "".join(
                child.content
                for child in block.children or []
                if child.type in ("text", "code_inline")
            )
            found.add(make_anchor(text, "-"))
    return frozenset(found)


def _targets(page: Path) -> Iterator[tuple[int, str]]:
    """(line, target) of every link and image."""
    for token in parse(page):
        line = (token.map or [0])[0] + 1
        if token.type == "html_block":
            yield from ((line, target) for target in HTML_TARGET.findall(token.content))
        for child in token.children or []:
            if child.type == "link_open":
                yield line, str(child.attrGet("href"))
            elif child.type == "image":
                yield line, str(child.attrGet("src"))
            elif child.type == "html_inline":
                yield from ((line, target) for target in HTML_TARGET.findall(child.content))
            elif child.type in ("softbreak", "hardbreak"):
                line += 1


def _wrong(page: Path, target: str, root: Path) -> str | None:
    """Why a target cannot be followed; None if it can, or lies in the web."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return None
    path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not path.is_relative_to(root):
        return "leads out of the repository"
    if not path.exists():
        return "there is no such file"
    if parts.fragment and path.suffix == ".md" and unquote(parts.fragment) not in anchors_of(path):
        return "the page has no such heading"
    return None


def _undefined(page: Path) -> list[Problem]:
    """Links by name whose name is defined nowhere: they stay plain text."""
    problems: list[Problem] = []
    for block, _ in inline_blocks(parse(page)):
        text = "".join(child.content for child in block.children or [] if child.type == "text")
        line = (block.map or [0])[0] + 1
        problems += [
            Problem(page, line, f"{found}: this name is defined nowhere")
            for found in UNDEFINED.findall(text)
        ]
    return problems


def main() -> None:
    """Check every page."""
    report([each for page in find_pages(ROOT) for each in check_links(page, ROOT)], ROOT)


if __name__ == "__main__":
    main()
