"""Folders of the server: only what is under an allowed folder, links included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from labeler.app import create_app
from labeler.config import Settings, load_settings
from labeler.database.engine import Database
from labeler.errors import ConfigError, NotFound
from labeler.image_imports.server_folders import find_place, list_folder
from labeler.models.images import Dataset
from tests.conftest import write_images
from tests.labeler.acting import work
from tests.labeler.conftest import Visit
from tests.labeler.image_imports.uploading import image_bytes, make_zip

ADDRESS = "/admin/data-sets/server"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An allowed folder: three images in `class`, a zip file, and links that lead out."""
    write_images(tmp_path / "allowed" / "class", 3)
    write_images(tmp_path / "secret", 1)
    (tmp_path / "allowed" / "more.zip").write_bytes(make_zip(image_bytes(tmp_path / "made", 2)))
    (tmp_path / "allowed" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "allowed" / "within").symlink_to(tmp_path / "allowed" / "class")
    (tmp_path / "allowed" / "notes.txt").write_text("x")
    return tmp_path / "allowed"


@pytest.fixture
def app(db: Database, settings: Settings, root: Path) -> Iterator[Flask]:
    """The site with that folder allowed; `visit` takes it."""
    application = create_app(replace(settings, image_roots=(root,)))
    yield application
    application.extensions["sidelight_db"].dispose()


def test_a_folder_is_listed_without_what_leads_out(root: Path) -> None:
    found = list_folder([root], str(root))
    assert [entry.name for entry in found.entries] == ["class", "more.zip", "within"]
    assert found.above is None
    inner = list_folder([root], str(root / "class"))
    assert (inner.images, inner.above) == (3, root)


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "/",
        "class",
        "/etc",
        "{root}/..",
        "{root}/out",
        "{root}/class/../../secret",
        "{root}-else",
        "{root}/nowhere",
        "{root}/notes.txt",
        "{root}/\0",
        "{root}/out/000001.jpg",
    ],
)
def test_nothing_else_is_opened(root: Path, visit: Visit, path: str) -> None:
    given = path.replace("{root}", str(root))
    with pytest.raises(NotFound, match="SIDELIGHT_IMAGE_ROOTS"):
        find_place([root], given)
    admin = visit("admin")
    assert admin.get(ADDRESS, query_string={"path": given}).status_code == 404
    answer = admin.submit(ADDRESS, {"path": given, "name": "x"})
    assert answer.status_code in (404, 422)


def test_a_folder_and_a_zip_file_are_added_where_they_are(
    root: Path, visit: Visit, db: Database, settings: Settings
) -> None:
    admin = visit("admin")
    assert str(root) in admin.get("/admin/data-sets/add").text
    assert "3 images are directly in it" in admin.get(f"{ADDRESS}?path={root}/class").text
    for path, name in ((root / "within", "class"), (root / "more.zip", "more")):
        answer = admin.submit(ADDRESS, {"path": str(path), "name": name})
        assert answer.status_code == 303
    taken = admin.submit(ADDRESS, {"path": str(root / "class"), "name": "class"})
    assert taken.status_code == 409
    work(settings)
    with db.read() as session:
        paths = dict(session.execute(select(Dataset.name, Dataset.path)).all())
    assert paths == {"class": str(root / "class"), "more": str(root / "more.zip")}
    assert not (settings.home / "pictures").exists()


def test_cancelling_leaves_the_folder_of_the_server(
    root: Path, visit: Visit, settings: Settings
) -> None:
    admin = visit("admin")
    made = admin.submit(ADDRESS, {"path": str(root / "class"), "name": "class"}).location
    assert "stay as they are" in admin.submit(f"{made}/cancel").text
    admin.confirm(f"{made}/cancel")
    work(settings)
    assert len(list((root / "class").iterdir())) == 3
    assert admin.get(made).status_code == 404


def test_without_the_setting_the_page_says_how(db: Database, settings: Settings) -> None:
    assert settings.image_roots == ()
    with pytest.raises(NotFound, match="allowed: none"):
        find_place((), "/etc")


@pytest.mark.parametrize(
    ("value", "words"),
    [("images", "whole path"), ("/nowhere-at-all", "not a folder"), ("/", "all files")],
)
def test_a_wrong_root_is_told_at_the_start(tmp_path: Path, value: str, words: str) -> None:
    environ = {"SIDELIGHT_HOME": str(tmp_path), "SIDELIGHT_IMAGE_ROOTS": value}
    with pytest.raises(ConfigError, match=words):
        load_settings(environ)


def test_several_roots(tmp_path: Path, root: Path) -> None:
    roots = f"{root}:{tmp_path / 'secret'}"
    environ = {"SIDELIGHT_HOME": str(tmp_path), "SIDELIGHT_IMAGE_ROOTS": roots}
    assert load_settings(environ).image_roots == (root, tmp_path / "secret")
