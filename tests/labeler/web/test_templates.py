"""Every template compiles and keeps to the house rules that a machine can check."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import update

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.site_files import site_files
from tests.labeler.conftest import Visit
from tests.labeler.studio.turned import add_result, add_turn

ROOT = site_files()
TEMPLATES = sorted(
    path.relative_to(ROOT / "templates") for path in (ROOT / "templates").rglob("*.html")
)
STATIC = sorted(path for path in (ROOT / "static").rglob("*") if path.suffix in (".js", ".css"))
PAGES = (
    "/sign-in",
    "/guide",
    "/label",
    "/me",
    "/account",
    "/account/close",
    "/messages",
    "/admin/",
    "/admin/data-sets",
    "/admin/subsets",
    "/admin/subsets/new?label=left",
    "/admin/people",
    "/admin/people/1",
    "/admin/messages",
    "/admin/invites",
    "/admin/campaigns",
    "/admin/campaigns/new",
    "/admin/campaigns/1",
    "/admin/gold",
    "/admin/contested",
    "/admin/contested/1",
    "/admin/decisions",
    "/admin/quality",
    "/admin/agreement",
    "/admin/runs",
    "/admin/mean-faces",
    "/studio",
    "/studio/1",
    "/studio/2",
    "/studio/compare?a=1&b=3",
    "/studio/clusters?at=0:5",
    "/admin/help",
    "/admin/privacy",
    "/privacy",
    "/appearance",
    "/language",
    "/admin/help/quality",
    "/nowhere",
)


class Outline(HTMLParser):
    """Collects what the checks ask about."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.headings: list[str] = []
        self.forms_without_token = 0
        self._in_post = self._has_token = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.ids.append(given["id"] or "")
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(tag)
        if tag == "form":
            self._in_post, self._has_token = given.get("method") == "post", False
        self._has_token |= tag == "input" and given.get("name") == "csrf_token"

    def handle_endtag(self, tag: str) -> None:
        if tag == "form" and self._in_post:
            self.forms_without_token += not self._has_token
            self._in_post = False


@pytest.mark.parametrize("name", TEMPLATES, ids=str)
def test_static_files_of_a_template_exist(name: Path) -> None:
    source = (ROOT / "templates" / name).read_text()
    for folder, rest in re.findall(r"filename='([^']+)'( ~ name ~ '.js')?", source):
        assert (ROOT / "static" / folder).is_dir() if rest else (ROOT / "static" / folder).is_file()


@pytest.mark.parametrize("name", TEMPLATES, ids=str)
def test_template(app: Flask, name: Path) -> None:
    source = (ROOT / "templates" / name).read_text()
    app.jinja_env.get_template(name.as_posix())
    assert not re.search(r"\sstyle=|\son[a-z]+=\"", source), "inline styles and handlers are barred"
    assert not re.search(r"<script(?![^>]*(src=|application/json))", source)
    assert "|safe" not in source.replace(" ", "")
    assert not re.search(r"(src|href)=\"(https?:)?//", source), "nothing comes from elsewhere"


@pytest.mark.parametrize("path", STATIC, ids=lambda path: path.name)
def test_static(path: Path) -> None:
    assert not re.search(r"https?://|innerHTML|eval\(", path.read_text())


def label_straight_faces(db: Database) -> None:
    """All faces look straight ahead, and one vote says that their light is from the left."""
    with db.write() as session:
        session.execute(update(Image).values(yaw_deg=0.0))
        agreed = {"status": "agreed", "label": "left", "probability": 0.9}
        session.execute(update(Consensus).values(votes_left=1, **agreed))


@pytest.mark.parametrize("address", PAGES)
def test_page(
    visit: Visit, db: Database, settings: Settings, dataset_id: int, address: str
) -> None:
    browser = visit(None if address == "/sign-in" else "admin")
    if address.startswith("/studio"):
        add_result(db, settings, browser.annotator_id or 0)
        add_turn(db, browser.annotator_id or 0, state="queued")
        add_result(db, settings, browser.annotator_id or 0)
    if address.startswith("/studio/clusters"):
        label_straight_faces(db)
    html = browser.get(address).text
    assert ("<img" in html) >= address.startswith("/studio/clusters")
    outline = Outline()
    outline.feed(html.partition("<template")[0])
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.headings.count("h1") == 1
    assert outline.forms_without_token == 0
    assert re.search(r"<title>.+ – Sidelight</title>", html)
    assert '<html lang="en"' in html
