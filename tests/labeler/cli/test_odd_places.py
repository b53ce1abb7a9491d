"""Homes with odd names, places that cannot be written, and streams that are closed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from sqlalchemy.engine import make_url

from labeler.cli.main import cli
from labeler.config import load_settings
from labeler.database.engine import Database
from labeler.errors import ConfigError
from tests.processes import ROOT

ODD = "a b?c=1 %41#ü'\"x"


def run(*command: str, status: int = 0) -> Result:
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == status, done.output
    return done


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with an odd name, and the site in it."""
    home = tmp_path / ODD
    (home / "pictures").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(home / "pictures" / "ü?.png")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SIDELIGHT_HOME", "~/site ?x=y")
    monkeypatch.delenv("SIDELIGHT_DATABASE_URL", raising=False)
    return home


def test_a_home_with_an_odd_name(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(odd / "site ?x=y" / "sidelight.sqlite3") in run("init").output
    assert "1 images (1 new" in run("images", "import", "~/pictures", "--processes", "1").output
    run("backup", "~/b.tar.gz")
    assert "is complete" in run("backup", "--verify", "~/b.tar.gz").output
    assert "0 problems" in run("doctor").output
    monkeypatch.setenv("SIDELIGHT_HOME", "~/another ?x=y")
    run("restore", "~/b.tar.gz")
    assert "1 images, 0 broken" in run("images", "list").output
    names = {each.name for each in odd.parent.rglob("*.sqlite3")}
    assert names == {"sidelight.sqlite3"}
    assert [each.name for each in odd.parent.iterdir()] == [ODD]


def test_the_address_of_a_database_names_its_file_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def url(name: str) -> str:
        environ = {"SIDELIGHT_HOME": str(tmp_path / "site")}
        address = f"sqlite:///{tmp_path}/{name}"
        return load_settings(environ | {"SIDELIGHT_DATABASE_URL": address}).database_url

    for name in ("a?b", "a%41b", "a%20b", "a#b", "ä b"):
        database = Database(url(name))
        with database.engine.connect():
            assert (tmp_path / name).is_file()
        assert database.address == f"sqlite:///{tmp_path}/{name}"
        database.dispose()
    with pytest.raises(ConfigError, match="options are not allowed"):
        url("a?timeout=30")
    (tmp_path / "c d").write_text("")  # an address that was written for SQLAlchemy
    with pytest.raises(ConfigError, match=r"write the name of the file as it is: .*c d"):
        url("c%20d")


@pytest.mark.parametrize(
    ("home", "before"),
    [("light%20site", "light site/sidelight.sqlite3"), ("what?", "what"), ("a%3Fb?", "a?b")],
)
def test_a_database_of_an_earlier_version_is_not_left_behind(
    tmp_path: Path, home: str, before: str
) -> None:
    """Earlier versions read the default as an address, so the file was not in the home."""
    environ = {"SIDELIGHT_HOME": str(tmp_path / home)}
    new, old = tmp_path / home / "sidelight.sqlite3", tmp_path / before
    assert make_url(f"sqlite:///{new}").database == str(old)
    assert load_settings(environ, change_home=False).database_url == f"sqlite:///{new}"
    old.parent.mkdir(exist_ok=True)
    old.write_text("votes")
    with pytest.raises(ConfigError) as caught:
        load_settings(environ)
    assert f"The database {new} is missing. Earlier versions kept it in {old}" in str(caught.value)
    advised = f"sqlite:///{old}"
    assert f"set SIDELIGHT_DATABASE_URL={advised}." in str(caught.value)
    assert not new.parent.exists()
    named = load_settings(environ | {"SIDELIGHT_DATABASE_URL": advised})
    assert named.database_url == advised
    old.rename(new)
    assert load_settings(environ).database_url == f"sqlite:///{new}"


def test_a_folder_called_tilde_of_an_earlier_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "user").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~" / "site").mkdir(parents=True)
    for name in ("x.db", "a b.db"):
        (tmp_path / "~" / name).write_text("")

    def refusal(**environ: str) -> str:
        with pytest.raises(ConfigError) as caught:
            load_settings(environ)
        return str(caught.value)

    assert "to use it, write ./~/site" in refusal(SIDELIGHT_HOME="~/site")
    assert load_settings({"SIDELIGHT_HOME": "./~/site"}).home == tmp_path / "~" / "site"
    site = {"SIDELIGHT_HOME": str(tmp_path / "site")}
    for given, advised in (("~/x.db", "./~/x.db"), ("~/a%20b.db", "./~/a b.db")):
        url = f"sqlite:///{advised}"
        assert f"write {url}" in refusal(
            **site, SIDELIGHT_DATABASE_URL=f"sqlite:///{given}"
        ).replace("the name of the file as it is: ", "")
        assert load_settings(site | {"SIDELIGHT_DATABASE_URL": url}).database_url == url
        database = Database(url)
        with database.engine.connect():
            assert (tmp_path / advised).stat().st_size
        database.dispose()
    assert not list((tmp_path / "user").iterdir())


def test_a_home_that_cannot_be_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "site"):
        with pytest.raises(ConfigError, match="Set SIDELIGHT_HOME to a folder that this user can"):
            load_settings({"SIDELIGHT_HOME": str(place)})


def test_a_place_for_a_backup_is_tried_first(odd: Path) -> None:
    run("init")
    (odd / "file").write_text("")
    done = CliRunner().invoke(cli, ["backup", "~/file/b.tar.gz"])
    assert "cannot be written" in str(done.exception)
    assert "name another file or folder" in str(done.exception)


def test_a_closed_output_is_told(tmp_path: Path) -> None:
    """As of `export labels --out - >&-`, which some service managers do."""
    code = (
        "import sys; from pathlib import Path; from labeler.cli.output import write_csv\n"
        "assert sys.stdout is None\n"
        "write_csv(['a\\n'], Path('-'))"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, code],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert "Standard output is closed; name a file with --out." in done.stderr
