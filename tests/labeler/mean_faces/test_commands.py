"""The mean-face figure of a campaign and of files: services and command."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image as Pixels
from sqlalchemy import select, update

from labeler.cli.main import cli
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import Conflict, InvalidInput
from labeler.mean_faces.service import WantedLabels, choose_images, draw_mean_faces
from labeler.models.campaigns import Campaign
from labeler.models.images import Image
from rotation.data.crop import standard_crop
from tests.labeler.acting import NOON, publish_run
from tests.labeler.lit_faces import add_people, cycle_labels, register, vote, write_faces

YAWS = (-20.0, 0.0, 20.0)
Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("report", "mean-faces", ...)` against the database of the test."""
    monkeypatch.setenv("SIDELIGHT_HOME", str(settings.home))
    monkeypatch.setenv("SIDELIGHT_DATABASE_URL", settings.database_url)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments)

    return invoke


def message(result: Result) -> str:
    assert result.exit_code != 0
    return str(result.exception) + result.output


def set_up(db: Database, folder: Path, turned: bool = True) -> int:
    """Eighteen pictures with three true votes each but the last three; the campaign's number."""
    truth = cycle_labels(18)
    write_faces(folder, truth)
    with db.write() as session:
        dataset = register(session, folder, truth)
        people = add_people(session, 3)
        vote(session, dataset, {name: [truth[name]] * 3 for name in list(truth)[:15]}, people)
        if turned:
            for number, name in enumerate(truth):
                where = update(Image).where(Image.filename == name)
                session.execute(where.values(yaw_deg=YAWS[number // 3 % 3]))
        return session.scalars(select(Campaign.id)).one()


def test_a_campaign_is_drawn_by_its_consensus(any_db: Database, tmp_path: Path) -> None:
    campaign_id = set_up(any_db, tmp_path / "faces")
    faces = draw_mean_faces(any_db, campaign_id)
    assert faces.counts.tolist() == [[2, 2, 1]] * 3
    crops = [
        standard_crop(Pixels.open(tmp_path / f"faces/face{number:03d}.png")) for number in (0, 9)
    ]
    np.testing.assert_allclose(faces.means[0, 0], np.mean(crops, axis=0) / 255)
    left, right = faces.means[0, :, :, :32], faces.means[0, :, :, 32:]
    assert (left.mean(axis=(1, 2, 3)) > right.mean(axis=(1, 2, 3))).all()
    assert draw_mean_faces(any_db, campaign_id, mirror=True).counts.tolist() == [
        [3, 4, 3],
        [3, 4, 3],
        [3, 4, 3],
    ]
    assert draw_mean_faces(any_db, campaign_id, edges=(0, 25)).counts.tolist() == [[3]] * 3


def test_proposals_fill_in_where_the_votes_say_nothing(any_db: Database, tmp_path: Path) -> None:
    campaign_id = set_up(any_db, tmp_path / "faces")
    with pytest.raises(Conflict, match="no proposals"):
        draw_mean_faces(any_db, campaign_id, WantedLabels(with_proposals=True))
    with any_db.read() as session:
        ids = dict(session.execute(select(Image.filename, Image.id)).all())
        dataset_id = session.scalars(select(Image.dataset_id)).first()
    assert dataset_id is not None
    chances = {
        ids["face000.png"]: (0.0, 0.0, 1.0),  # the votes agree on left, and that counts
        ids["face015.png"]: (0.7, 0.2, 0.1),
        ids["face016.png"]: (0.1, 0.9, 0.0),
        ids["face017.png"]: (0.5, 0.0, 0.5),  # a tie is no label
    }
    publish_run(any_db, dataset_id, chances, NOON)
    both = draw_mean_faces(any_db, campaign_id, WantedLabels(with_proposals=True))
    assert both.counts.tolist() == [[2, 2, 2], [2, 2, 2], [2, 2, 1]]
    surer = draw_mean_faces(any_db, campaign_id, WantedLabels(0.8, with_proposals=True))
    assert surer.counts.tolist() == [[2, 2, 1], [2, 2, 2], [2, 2, 1]]
    with pytest.raises(InvalidInput, match="lowest probability"):
        draw_mean_faces(any_db, campaign_id, WantedLabels(1.5))


def test_the_key_changes_with_labels_and_yaws_only(db: Database, tmp_path: Path) -> None:
    campaign_id = set_up(db, tmp_path / "faces")

    def key(least: float = 0.0) -> str:
        with db.read() as session:
            return choose_images(session, campaign_id, WantedLabels(least)).key

    before = key()
    assert key() == before == key(0.5)
    with db.write() as session:
        session.execute(update(Image).where(Image.filename == "face016.png").values(yaw_deg=1))
    assert key() == before  # it has no label
    with db.write() as session:
        session.execute(update(Image).where(Image.filename == "face000.png").values(yaw_deg=1))
    assert key() != before


@pytest.mark.slow
def test_files_give_what_the_database_gives(db: Database, run: Run, tmp_path: Path) -> None:
    set_up(db, tmp_path / "faces")
    labels, poses = tmp_path / "labels.csv", tmp_path / "poses.csv"
    run("export", "labels", "--out", str(labels))
    write_poses(poses)
    by_votes, by_files = tmp_path / "votes.json", tmp_path / "files.json"
    out = tmp_path / "mean.png"
    drawn = run("report", "mean-faces", "--out", str(out), "--json", str(by_votes), "--mirror")
    assert drawn.exit_code == 0, drawn.output
    assert drawn.output == f"{out}: 15 images\n"
    picture = out.read_bytes()
    files = ["--labels", str(labels), "--poses", str(poses), "--images", str(tmp_path / "faces")]
    drawn = run(
        "report",
        "mean-faces",
        "--out",
        str(out),
        "--json",
        str(by_files),
        "--mirror",
        *files,
        "--min-probability",
        "0.9",
        "--processes",
        "2",
    )
    assert drawn.exit_code == 0, drawn.output
    assert by_files.read_text() == by_votes.read_text()
    assert out.read_bytes() == picture
    assert json.loads(by_files.read_text())["images"] == 15


def test_files_need_no_database(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDELIGHT_DATABASE_URL", "sqlite:////nowhere/at/all.sqlite3")
    folder, out = tmp_path / "faces", tmp_path / "mean.png"
    truth = cycle_labels(18)
    write_faces(folder, truth)
    (folder / "face001.png").write_bytes(b"no picture")
    labels = tmp_path / "labels.csv"
    labels.write_text("filename,label\n" + "".join(f"{n},{one}\n" for n, one in truth.items()))
    write_poses(tmp_path / "poses.csv", 17)
    files = ["--labels", str(labels), "--poses", str(tmp_path / "poses.csv")]
    files += ["--images", str(folder)]
    drawn = run("report", "mean-faces", "--out", str(out), "--edges", "-30,-10,10", *files)
    left_out = "1 without a yaw, 5 beyond the poses, 1 unreadable"
    assert drawn.output == f"{out}: 11 images; left out: {left_out}\n"
    with Pixels.open(out) as image:
        assert image.info["dpi"] == pytest.approx((192, 192), abs=0.1)
    assert "column 'p_left' is missing" in message(
        run("report", "mean-faces", "--out", str(out), "--min-probability", "0.5", *files)
    )
    elsewhere = run("report", "mean-faces", "--out", str(out), "--edges", "40,50", *files)
    assert "No image lies within the poses" in message(elsewhere)


def test_labels_of_a_file_that_are_not_probable_enough(run: Run, tmp_path: Path) -> None:
    write_faces(tmp_path / "faces", cycle_labels(3))
    labels, out = tmp_path / "labels.csv", tmp_path / "mean.png"
    labels.write_text(
        "filename,label,p_left,p_center,p_right\n"
        "face000.png,left,0.8,0.1,0.1\n"
        "face001.png,center,0.2,0.6,0.2\n"
        "face002.png,right,0.79,0.01,0.2\n"
    )
    write_poses(tmp_path / "poses.csv", 3)
    numbers = tmp_path / "mean.json"
    drawn = run(
        "report",
        "mean-faces",
        "--out",
        str(out),
        "--json",
        str(numbers),
        "--labels",
        str(labels),
        "--poses",
        str(tmp_path / "poses.csv"),
        "--images",
        str(tmp_path / "faces"),
        "--min-probability",
        "0.6",
    )
    assert drawn.exit_code == 0, drawn.output
    cells = json.loads(numbers.read_text())["cells"]
    assert [cell["light"] for cell in cells if cell["images"]] == ["left", "center"]


def write_poses(path: Path, count: int = 18) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "yaw_deg"])
        writer.writerows((f"face{i:03d}.png", YAWS[i // 3 % 3]) for i in range(count))


def test_a_refusal_leaves_the_old_picture(db: Database, run: Run, tmp_path: Path) -> None:
    set_up(db, tmp_path / "faces", turned=False)
    out = tmp_path / "mean.png"
    out.write_bytes(b"the picture of yesterday")
    arguments = ["report", "mean-faces", "--out", str(out)]
    assert "images poses" in message(run(*arguments))
    assert "together" in message(run(*arguments, "--labels", "labels.csv"))
    three = ["--labels", "a", "--poses", "b", "--images", "c"]
    assert "need the database" in message(run(*arguments, *three, "--with-proposals"))
    assert "symmetric" in message(run(*arguments, "--mirror", "--edges", "-30,0,30"))
    assert "angles in degrees" in message(run(*arguments, "--edges", "wide"))
    assert "is a folder" in message(run("report", "mean-faces", "--out", str(tmp_path)))
    inside = run("report", "mean-faces", "--out", str(out / "mean.png"))
    assert "cannot be written" in message(inside)
    assert out.read_bytes() == b"the picture of yesterday"
    assert "python manage.py report mean-faces" in run("report", "mean-faces", "--help").output
