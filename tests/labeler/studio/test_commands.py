"""`studio list|export|delete`."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from labeler.cli.main import cli
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.models.jobs import Job
from labeler.models.studio import HeadTurn
from labeler.studio.files import turn_folder
from tests.conftest import MakeAnnotator
from tests.labeler.studio.turned import add_result, add_turn

Run = Callable[..., Result]


@pytest.fixture
def run(
    db: Database,
    settings: Settings,
    make_annotator: MakeAnnotator,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """`run("list")` on a site where turn 1 has a result and turn 2 is under way."""
    owner = make_annotator(db, "ada", "supervisor").id
    add_result(db, settings, owner, name="First")
    add_turn(db, owner, state="running", name="Second")
    monkeypatch.setenv("SIDELIGHT_HOME", str(settings.home))
    monkeypatch.setenv("SIDELIGHT_DATABASE_URL", settings.database_url)
    return lambda *words: CliRunner().invoke(cli, ["studio", *map(str, words)])


def test_turned_heads_are_listed(run: Run) -> None:
    answer = run("list")
    assert answer.exit_code == 0, (answer.output, answer.exception)
    lines = answer.stdout.splitlines()
    assert lines == [
        "2  turning  Second  (faces/000001.jpg, ada)",
        "1  turned  First  (faces/000001.jpg, ada)",
    ]


@pytest.mark.parametrize("words", [(), ("--without-reports",)], ids=["all", "no reports"])
def test_the_files_are_exported(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    out = tmp_path / "head.zip"
    answer = run("export", 1, "--out", out, *words)
    assert answer.exit_code == 0, answer.output
    with zipfile.ZipFile(out) as archive:
        names = {Path(name).name for name in archive.namelist()}
    assert "strip.png" in names
    assert ("report.html" in names) == (not words)


def test_what_has_no_files_is_not_exported(run: Run, tmp_path: Path) -> None:
    for number, problem in ((2, "has no files"), (9, "no turned head 9")):
        answer = run("export", number, "--out", tmp_path / "head.zip")
        assert answer.exit_code == 1
        assert problem in f"{answer.output} {answer.exception}"
    assert not (tmp_path / "head.zip").exists()


def test_heads_are_deleted(run: Run, db: Database, settings: Settings) -> None:
    assert run("delete", 1).exit_code == 1, "it asks"
    assert turn_folder(settings.home, 1).exists()
    for number in (1, 2):
        assert run("delete", number, "--yes").exit_code == 0
        assert not turn_folder(settings.home, number).exists()
    with db.read() as session:
        assert session.get(HeadTurn, 1) is None
        states = {job.state for job in session.query(Job)}
    assert "running" not in states
    assert "No head has been turned yet" in run("list").stdout
