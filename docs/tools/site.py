"""What MkDocs does not do by itself: the pages at the top, the order of pages, and formulas.

MkDocs calls these functions: `hooks` in mkdocs.yml.
"""

from __future__ import annotations

import fnmatch
import html
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# Pages of the site that lie at the top of the repository.
TOP = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "SECURITY.md": "SECURITY.md",
}
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\[\]]*)\]\((?P<target>[^)\s]+)\)")
TARGET = re.compile(r"(\]\(|\b(?:src|href)=\")([^)\s\"]+)")
FORMULA = re.compile(
    r"<(?P<tag>span|div) class=\"arithmatex\">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>", re.DOTALL
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace each pattern in `nav` by the pages that it fits and that are not named elsewhere."""
    docs = Path(config.docs_dir)
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")} | set(TOP.values())
    named = set(_named(config.nav)) & pages
    config.nav = _expand(config.nav, pages, named)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages at the top of the repository."""
    root = Path(config.docs_dir).parent
    for source, name in TOP.items():
        text = (root / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=relink(text, source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links right that lead out of `docs`."""
    if page.file.src_uri in TOP.values():
        return markdown
    return relink(markdown, f"docs/{page.file.src_uri}")


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write formulas as MathML, which browsers show by themselves."""
    return FORMULA.sub(_to_mathml, content)


def relink(markdown: str, source: str) -> str:
    """The text of a page of the repository with its links as the site needs them.

    A link to a file that is not on the site becomes the file's name.
    """

    def unlink(found: re.Match[str]) -> str:
        path = _in_repository(found["target"], source)
        gone = path is not None and not found["image"] and _on_site(path) is None
        return f"{found['text']} (`{path}`)" if gone else found[0]

    def move(found: re.Match[str]) -> str:
        path = _in_repository(found[2], source)
        target = _on_site(path) if path is not None else None
        if target is None:
            return found[0]
        here = _on_site(source) or ""
        moved = os.path.relpath(target, PurePosixPath(here).parent)
        anchor = found[2].partition("#")[1:]
        return found[1] + PurePosixPath(moved).as_posix() + "".join(anchor)

    return TARGET.sub(move, LINK.sub(unlink, markdown))


def _in_repository(target: str, source: str) -> str | None:
    """The path of a target in the repository; None where it is in the web or on the same page."""
    path = target.partition("#")[0]
    if not path or ":" in path or path.startswith("/"):
        return None
    return os.path.normpath(PurePosixPath(source).parent / path)


def _on_site(path: str) -> str | None:
    if path in TOP:
        return TOP[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else None


def _named(nav: Any) -> list[str]:
    """The entries of `nav` that are no patterns."""
    if isinstance(nav, str):
        return [] if "*" in nav else [nav]
    members = nav.values() if isinstance(nav, dict) else nav or []
    return [name for member in members for name in _named(member)]


def _expand(nav: Any, pages: set[str], taken: set[str]) -> Any:
    """`nav` with pages for patterns, without pages and sections that are not there."""
    if isinstance(nav, dict):
        return {title: _expand(member, pages, taken) for title, member in nav.items()}
    if isinstance(nav, str):
        return nav if nav in pages else None
    entries: list[Any] = []
    for member in nav:
        if isinstance(member, str) and "*" in member:
            fitting = sorted(set(fnmatch.filter(pages, member)) - taken)
            taken |= set(fitting)
            entries += fitting
            continue
        found = _expand(member, pages, taken)
        if found and (isinstance(found, str) or all(found.values())):
            entries.append(found)
    return entries


def _to_mathml(found: re.Match[str]) -> str:
    display = "block" if found["tag"] == "div" else "inline"
    formula: str = convert(html.unescape(found["tex"]), display=display)
    return formula
