"""`consensus rebuild`, `propose` and `export`, run as a person runs them."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select, update

from labeler.cli.main import cli
from labeler.cli.output import write_csv
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.proposals import ModelRun
from tests.labeler.acting import set_rules
from tests.labeler.lit_faces import (
    add_people,
    cycle_labels,
    register,
    vote,
    write_faces,
)

ROOT = Path(__file__).resolve().parents[3]
Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("export", "labels", ...)` against the database of the test."""
    monkeypatch.setenv("SIDELIGHT_HOME", str(settings.home))
    monkeypatch.setenv("SIDELIGHT_DATABASE_URL", settings.database_url)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments)

    return invoke


@pytest.fixture
def labelled(db: Database, tmp_path: Path) -> dict[str, str]:
    """Thirty pictures, the first twelve with three true votes each."""
    truth = cycle_labels(30)
    write_faces(tmp_path / "faces", truth)
    with db.write() as session:
        dataset = register(session, tmp_path / "faces", truth)
        people = add_people(session, 3)
        vote(session, dataset, {name: [truth[name]] * 3 for name in list(truth)[:12]}, people)
    return truth


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def message(result: Result) -> str:
    assert result.exit_code == 1
    return str(result.exception) if result.exception else result.output


def test_labels_votes_and_proposals_from_end_to_end(
    run: Run, labelled: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "labels.csv"
    assert run("export", "labels", "--out", str(out)).exit_code == 0
    assert {row["filename"]: row["label"] for row in read(out)} == {
        name: labelled[name] for name in list(labelled)[:12]
    }
    proposed = run("propose", "--processes", "1")
    assert proposed.exit_code == 0
    assert "learned from 12 images (12 agreed)" in proposed.output
    assert "accuracy" in proposed.output
    assert run("export", "labels", "--out", str(out), "--with-proposals").exit_code == 0
    rows = read(out)
    assert [row["filename"] for row in rows] == list(labelled)
    assert [row["source"] for row in rows] == ["votes"] * 12 + ["proposal"] * 18
    assert sum(row["label"] == labelled[row["filename"]] for row in rows) >= 28
    sure = ("export", "labels", "--out", str(out), "--with-proposals", "--precision")
    assert run(*sure, "0.8").exit_code == 0
    assert 12 <= sum(bool(row["label"]) for row in read(out)) <= 30
    assert "cannot ensure that 99.9%" in message(run(*sure, "99.9%"))
    assert "a share such as 95%" in run(*sure, "95").output
    assert "together with" in run("export", "labels", "--out", str(out), "--precision", ".9").output
    votes = run("export", "votes", "--out", str(tmp_path / "votes.csv"))
    assert votes.output.strip().endswith("votes.csv: 36 rows")
    assert len(read(tmp_path / "votes.csv")) == 36


def test_standard_output_gets_the_bytes_of_the_file_and_nothing_else(
    run: Run, labelled: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "labels.csv"
    run("export", "labels", "--out", str(out))
    assert run("export", "labels", "--out", "-").stdout_bytes == out.read_bytes()


def test_runs_as_a_real_process(
    settings: Settings, labelled: dict[str, str], tmp_path: Path
) -> None:
    environment = os.environ | {
        "SIDELIGHT_HOME": str(settings.home),
        "SIDELIGHT_DATABASE_URL": settings.database_url,
    }
    command = [sys.executable, "manage.py", "export", "labels", "--out", "-", "--campaign", "none"]
    failed = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr == (
        "Error: There is no campaign 'none'. The campaigns are: faces. "
        "Choose one with --campaign NAME.\n"
    )


def test_rebuild_mends_a_wrong_consensus(run: Run, labelled: dict[str, str], db: Database) -> None:
    assert "0 images changed" in run("consensus", "rebuild").output
    with db.write() as session:
        wrong = Consensus.label == "left"
        session.execute(update(Consensus).where(wrong).values(label="right"))
    assert "4 images changed" in run("consensus", "rebuild").output
    with db.read() as session:
        labels = session.scalars(select(Consensus.label).where(Consensus.status == "agreed")).all()
    assert sorted(label or "" for label in labels) == sorted(["left", "center", "right"] * 4)


def test_rebuild_applies_another_number_of_required_votes(
    run: Run, labelled: dict[str, str], db: Database
) -> None:
    set_rules(db, required_votes=5)
    assert "12 images changed" in run("consensus", "rebuild").output


@pytest.mark.parametrize(
    "arguments",
    [
        ["propose"],
        ["consensus", "rebuild"],
        ["export", "labels", "--out", "-"],
        ["export", "votes", "--out", "-"],
    ],
)
class TestWithoutACampaign:
    def test_names_the_command_that_registers_one(
        self, run: Run, db: Database, arguments: list[str]
    ) -> None:
        assert "manage.py images import" in message(run(*arguments))

    def test_names_the_command_that_makes_the_tables(self, run: Run, arguments: list[str]) -> None:
        assert "manage.py init" in message(run(*arguments))

    def test_lists_the_inactive_ones(
        self, run: Run, db: Database, labelled: dict[str, str], arguments: list[str]
    ) -> None:
        with db.write() as session:
            session.execute(update(Campaign).values(active=False))
        assert "No campaign is active. The campaigns are: faces." in message(run(*arguments))


def test_too_few_votes_propose_nothing(run: Run, db: Database, tmp_path: Path) -> None:
    write_faces(tmp_path, {"a.png": "left"})
    with db.write() as session:
        register(session, tmp_path, ["a.png"])
    assert "There are not enough votes" in message(run("propose"))
    assert "manage.py propose" in message(run("export", "labels", "--out", "-", "--with-proposals"))
    with db.read() as session:
        assert session.scalars(select(ModelRun)).all() == []


def test_failed_export_leaves_the_old_file_alone(tmp_path: Path) -> None:
    out = tmp_path / "labels.csv"
    out.write_text("the file of yesterday")

    def failing() -> Iterator[str]:
        yield "image_id\n"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_csv(failing(), out)
    assert out.read_text() == "the file of yesterday"
    assert list(tmp_path.iterdir()) == [out]


def test_place_that_cannot_be_written(run: Run, labelled: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    inside = run("export", "labels", "--out", str(tmp_path / "file/labels.csv"))
    assert inside.exit_code == 1
    assert "cannot be written" in inside.output
    folder = run("export", "labels", "--out", str(tmp_path))
    assert folder.exit_code == 1
    assert "is a folder" in folder.output


@pytest.mark.parametrize(
    "command",
    [["propose"], ["consensus", "rebuild"], ["export", "labels"], ["export", "votes"]],
)
def test_help_has_an_example(run: Run, command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert f"python manage.py {' '.join(command)}" in result.output
