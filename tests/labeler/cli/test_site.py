"""The commands of the site, run as people run them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from labeler.accounts import invites, sessions
from labeler.accounts.sessions import Browser
from labeler.cli.main import cli
from labeler.config import load_settings
from labeler.database.engine import Database
from labeler.database.migrate import current, head
from labeler.database.patience import Patience
from labeler.errors import SidelightError
from rotation.errors import DatasetError
from tests.conftest import write_images


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("SIDELIGHT_HOME", str(home))
    monkeypatch.delenv("SIDELIGHT_DATABASE_URL", raising=False)
    return home


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


@pytest.fixture
def ready(home: Path) -> Path:
    assert run("init").exit_code == 0
    return home


def open_db() -> Database:
    return Database(load_settings().database_url)


def test_init_creates_and_then_finds_the_database(home: Path) -> None:
    first = run("init").output
    assert f"The database was created: sqlite:///{home}/sidelight.sqlite3" in first
    assert "is up to date" in run("init").output
    assert current(open_db()) == head()


@pytest.mark.parametrize("host", [" ", ""])
def test_serve_needs_an_address_to_listen_on(home: Path, host: str) -> None:
    done = run("serve", "--host", host)
    assert done.exit_code == 2
    assert f"'--host': {host!r}: enter an address of this machine, such as" in done.output
    assert not home.exists()


def test_commands_need_the_tables(home: Path) -> None:
    with pytest.raises(SidelightError, match=r"Run `python manage\.py init` first"):
        run("users", "list")


def test_a_file_that_is_no_database_is_told(home: Path) -> None:
    home.mkdir()
    (home / "sidelight.sqlite3").write_bytes(b"not a database" * 100)
    for command in (["init"], ["users", "list"]):
        with pytest.raises(SidelightError, match="cannot be reached: file is not a database"):
            run(*command)


def test_reading_does_not_wait_for_a_writer(ready: Path) -> None:
    db = open_db()
    with db.write() as session:
        invites.create_invite(session)
        assert "There are no accounts yet" in run("users", "list").output
    db.dispose()


def test_a_database_that_is_locked_for_long_is_told(
    ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labeler.database.patience.PATIENT", Patience(0.05, 2.0, 1.0))
    db = open_db()
    with db.write() as session:
        invites.create_invite(session)
        with pytest.raises(SidelightError, match=r"database is locked.*Try again"):
            run("users", "invite")
    db.dispose()


def test_importing_tells_what_came_and_what_is_broken(ready: Path, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "faces", 3)
    (folder / "broken.jpg").write_bytes(b"nothing")
    (folder / "identity_CelebA.txt").write_text("000001.jpg 5\nmissing.jpg 6\n")
    result = run("images", "import", str(folder))
    assert "faces: 4 images (4 new, 0 changed, 0 as before)" in result.stdout
    assert "Checked 4: 3 can be labelled, 1 are broken" in result.stdout
    assert "Broken: broken.jpg: not an image" in result.stderr
    assert "1 rows are about images that are not here (such as missing.jpg)" in result.stderr
    again = run("images", "import", str(folder)).stdout
    assert "(0 new, 0 changed, 4 as before)" in again
    listed = run("images", "list", "--broken").stdout
    assert "* faces: 4 images, 1 broken, 0 unchecked" in listed
    assert "    broken.jpg: not an image" in listed


def test_checking_may_come_later(ready: Path, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "faces", 3)
    assert "have not been checked yet" in run("images", "import", str(folder), "--no-check").output
    assert "3 unchecked" in run("images", "list").output
    assert "Checked 3: 3 can be labelled" in run("images", "check").output


def test_choosing_the_active_data_set(ready: Path, tmp_path: Path) -> None:
    run("images", "import", str(write_images(tmp_path / "one", 1)))
    run("images", "import", str(write_images(tmp_path / "two", 1)), "--no-activate")
    assert "* one" in run("images", "list").output
    said = run("images", "import", str(write_images(tmp_path / "three", 1))).stderr
    assert "the campaign 'three' is now active beside 'one'" in said
    run("campaigns", "activate", "one")
    assert "two is active" in run("images", "activate", "two").output
    assert "* two" in run("images", "list").output
    assert "one" not in run("images", "list", "--dataset", "two").output.split(";")[0]


def test_an_empty_list_says_what_to_do(ready: Path) -> None:
    assert "images import PATH" in run("images", "list").output
    assert "users invite --role admin" in run("users", "list").output


def test_a_folder_without_images_is_an_error(ready: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no images found"):
        run("images", "import", str(tmp_path))


def test_people_are_managed(ready: Path) -> None:
    result = run("users", "invite", "--role", "admin", "--note", "me")
    link = result.stdout.strip()
    assert link.startswith("http://127.0.0.1:8000/join/")
    assert "For 1 admin, until" in result.stderr
    assert "works on this computer only" in result.stderr
    db = open_db()
    with db.write() as session:
        token = link.rsplit("/", 1)[1]
        invites.accept_invite(session, token, "root", "a fine password")
        _, token = invites.create_invite(session)
        invites.accept_invite(session, token, "ada", "a fine password")
    listed = run("users", "list").output
    assert listed.index("ada") < listed.index("root")
    assert "ada now has the role supervisor" in run("users", "set-role", "ada", "supervisor").output
    assert "The account of ada is closed" in run("users", "deactivate", "ada").output
    assert "(deactivated)" in run("users", "list").output
    assert "The account of ada is open again" in run("users", "reactivate", "ada").output
    password = run("users", "reset-password", "ada").stdout.strip()
    assert sessions.sign_in(db, "ada", password, Browser("127.0.0.1"), load_settings())
    with pytest.raises(SidelightError, match="last active admin"):
        run("users", "deactivate", "root")
    db.dispose()


def test_a_link_with_the_public_address_is_for_everybody(
    ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIDELIGHT_PUBLIC_URL", "http://192.0.2.10:8000")
    result = run("users", "invite", "--uses", "40")
    assert result.stdout.startswith("http://192.0.2.10:8000/join/")
    assert "this computer only" not in result.stderr


def test_a_wrong_option_is_refused(ready: Path) -> None:
    result = run("users", "invite", "--role", "king")
    assert result.exit_code == 2
    assert "'king' is not one of 'annotator', 'supervisor', 'admin'" in result.output


def test_the_demo_is_prepared_once(home: Path) -> None:
    assert "ready: 12 images" in run("demo", "--images", "12", "--if-empty").output
    assert "* demo: 12 images, 0 broken, 0 unchecked" in run("images", "list").output
    assert "ready: 12 images" in run("demo", "--images", "12", "--if-empty").output


@pytest.mark.parametrize("words", [(), ("--if-empty",)], ids=["demo", "demo --if-empty"])
def test_an_old_demo_of_any_size_gets_attributes(home: Path, words: tuple[str, ...]) -> None:
    run("demo", "--images", "12")
    attributes = home / "demo" / "list_attr_celeba.txt"
    written = attributes.read_text()
    attributes.unlink()
    assert "ready: 12 images" in run("demo", *words).output
    assert attributes.read_text() == written


def test_the_demo_is_of_drawn_faces(home: Path) -> None:
    run("demo", "--images", "12")
    assert (home / "demo" / "sampled.json").is_file()


def test_a_demo_of_another_kind_is_kept(home: Path) -> None:
    assert "ready: 12 images" in run("demo", "--rendered", "--images", "12").output
    assert (home / "demo" / "truth.csv").is_file()
    assert "ready: 12 images" in run("demo", "--if-empty").output
    assert not (home / "demo" / "sampled.json").exists()
    for other in (("--images", "12"), ("--rendered", "--images", "13", "--if-empty")):
        with pytest.raises(DatasetError, match="remove this one"):
            run("demo", *other)


def test_the_demo_stays_out_of_the_way_of_real_data(ready: Path, tmp_path: Path) -> None:
    run("images", "import", str(write_images(tmp_path / "faces", 2)))
    assert "The demo is not needed" in run("demo", "--if-empty").output
    assert len(run("images", "list").output.splitlines()) == 1


def test_a_backup_is_in_the_audit_log(ready: Path) -> None:
    assert run("backup").exit_code == 0
    assert "backup_made" not in run("audit", "--action", "sign_in").output
    (line,) = run("audit", "--action", "backup_made").output.splitlines()[1:]
    assert "removed: 0" in line


def test_the_demo_leaves_a_running_class_alone(ready: Path, tmp_path: Path) -> None:
    """What people are assigned changes on purpose only."""
    run("images", "import", str(write_images(tmp_path / "real", 3)), "--name", "my class")
    said = run("demo", "--images", "12").output
    assert "ready: 12 images" in said
    assert "People keep getting images of the campaign 'my class'." in said
    assert "demo --activate" in said
    assert "* my class: 3 images" in run("campaigns", "list").output
    said = run("demo", "--images", "12", "--activate").output
    assert "Its campaign 'demo' is active beside 'my class'." in said
    assert "campaigns deactivate demo" in said
    assert "* demo: 12 images" in run("campaigns", "list").output
    assert "* my class: 3 images" in run("campaigns", "list").output
    run("campaigns", "deactivate", "my class")
    assert "People get images of its campaign 'demo'." in run("demo", "--images", "12").output
