"""`subsets create|list|show|export|freeze|rename|delete`, and `--subset` of other commands."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from labeler.cli.main import cli
from labeler.config import Settings
from labeler.database.engine import Database
from tests.conftest import MakeAnnotator
from tests.labeler.images.labelled_images import label_images

Run = Callable[..., Result]


@pytest.fixture
def run(
    db: Database,
    tmp_path: Path,
    make_annotator: MakeAnnotator,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """`run("subsets", "list")` against a database with labelled images."""
    label_images(db, tmp_path / "faces", make_annotator, settings)
    monkeypatch.setenv("SIDELIGHT_HOME", str(settings.home))
    monkeypatch.setenv("SIDELIGHT_DATABASE_URL", settings.database_url)
    return lambda *arguments: CliRunner().invoke(cli, [str(one) for one in arguments])


def names(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [row["filename"] for row in csv.DictReader(file)]


def told(result: Result) -> str:
    assert result.exit_code != 0
    return f"{result.output} {result.exception}"


def test_from_a_filter_to_a_list_and_back(run: Run, tmp_path: Path) -> None:
    sure = ("--where", "label=left", "--where", "probability_from=90")
    made = run("subsets", "create", "sure", *sure)
    assert made.output == "sure: live, 2 images of faces\n", made.exception
    assert "of today: frozen, 2" in run("subsets", "freeze", "sure", "of today").output
    out = tmp_path / "subset.csv"
    assert "2 rows" in run("subsets", "export", "of today", "--out", out).output
    assert names(out) == ["000001.jpg", "000002.jpg"]
    again = run("subsets", "create", "again", "--list", out)
    assert again.output == "again: frozen, 2 images of faces\n"
    hashes = {
        run("subsets", "show", name).output.split("sha256: ")[1][:64]
        for name in ("of today", "again")
    }
    assert len(hashes) == 1
    shown = run("subsets", "show", "sure").output
    assert "filter: Label: left; Probability of the label: 90 % or more" in shown
    labels = tmp_path / "labels.csv"
    run("export", "labels", "--out", labels, "--subset", "again")
    assert names(labels) == names(out)
    campaign = run("campaigns", "create", "next", "--subset", "of today")
    assert "next: 2 images of faces" in campaign.output, campaign.exception
    gold = run("gold", "promote", "--min-votes", "2", "--subset", "sure")
    assert gold.exit_code == 0, gold.exception
    assert len(run("gold", "list").output.splitlines()) == 3, "two, and the one before"
    run("subsets", "rename", "again", "once more")
    run("subsets", "delete", "sure")
    listed = run("subsets", "list").output
    assert [line.partition(":")[0] for line in listed.splitlines()] == ["once more", "of today"]


def test_what_is_wrong_is_told(run: Run, tmp_path: Path) -> None:
    unknown = tmp_path / "odd.csv"
    unknown.write_text("filename\n000001.jpg\nnobody.jpg\n")
    for arguments, words in (
        (("create", "x", "--where", "colour=red"), "There is no filter “colour”"),
        (("create", "x", "--where", "campaign=1"), "There is no filter “campaign”"),
        (("create", "x", "--where", "label"), "write FIELD=VALUE"),
        (("create", "x", "--where", "label=up"), "allowed are left, center, right"),
        (("create", "x", "--list", unknown), "1 of the 2 listed images"),
        (("create", "x", "--list", unknown, "--freeze"), "--list needs no"),
        (("create", "x", "--where", "search=none", "--freeze"), "nothing to freeze"),
        (("show", "x"), "There is no subset 'x'. There is no subset yet."),
    ):
        assert words in told(run("subsets", *arguments)).replace("Allowed", "allowed"), arguments
    assert "There is no subset 'x'" in told(run("export", "labels", "--out", "-", "--subset", "x"))
