"""The mean-face figure: sums, mirrors, poses, drawing, and the command from files and votes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image as Pixels
from sqlalchemy import select, update

from labeler.config import Settings
from labeler.db import Database
from labeler.domain.labels import LABELS, mirror_label
from labeler.errors import Conflict, InvalidInput
from labeler.figures.mean_faces import MeanFaces, find_poses
from labeler.figures.sheet import render_mean_faces
from labeler.models import Campaign, Image
from labeler.services.mean_faces import choose_images, draw_mean_faces
from manage import cli
from rotation.dataset.crop import standard_crop
from tests.labeler.acting import NOON, publish_run
from tests.labeler.lit_faces import add_people, cycle_labels, register, vote, write_faces

EDGES = (-30.0, -10.0, 10.0, 30.0)
YAWS = (-20.0, 0.0, 20.0)
Run = Callable[..., Result]


def crops_of(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def plain(value: int, count: int = 1) -> np.ndarray:
    return np.full((count, 64, 64, 3), value, np.uint8)


def test_mean_variance_and_differences_are_those_of_the_definition() -> None:
    labels, yaws = ["left"] * 4 + ["center"] * 3, np.array([0, 5, -5, 9, 0, 1, 2.0])
    crops = crops_of(1, 7)
    faces = MeanFaces(EDGES)
    faces.add(crops, labels, yaws)
    left, center = crops[:4] / 255, crops[4:] / 255
    np.testing.assert_allclose(faces.means[0, 1], left.mean(axis=0))
    assert faces.variances[0, 1] == pytest.approx(left.var(axis=0).mean())
    difference = np.square(left.mean(axis=0) - center.mean(axis=0)).mean()
    assert faces.mse_down[0, 1] == pytest.approx(difference)
    assert faces.counts.tolist() == [[0, 4, 0], [0, 3, 0], [0, 0, 0]]
    assert faces.mean_yaws[0, 1] == pytest.approx(2.25)


def test_poses_side_by_side_are_compared() -> None:
    faces = MeanFaces(EDGES)
    faces.add(np.concatenate([plain(0), plain(51), plain(153)]), ["right"] * 3, np.array(YAWS))
    np.testing.assert_allclose(faces.mse_across[2], [0.04, 0.16])
    assert np.isnan(faces.mse_across[:2]).all()


@hypothesis_settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.permutations(range(8)), st.integers(1, 8))
def test_batches_and_order_change_nothing(seed: int, order: list[int], size: int) -> None:
    crops, rng = crops_of(seed, 8), np.random.default_rng(seed)
    labels, yaws = rng.choice(LABELS, 8), rng.integers(-40, 41, 8).astype(float)
    whole, parts = MeanFaces(EDGES), MeanFaces(EDGES)
    whole.add(crops, labels.tolist(), yaws)
    for start in range(0, 8, size):
        rows = order[start : start + size]
        parts.add(crops[rows], labels[rows].tolist(), yaws[rows])
    assert parts.as_dict() == whole.as_dict()
    np.testing.assert_array_equal(parts.means, whole.means)


@hypothesis_settings(deadline=None, max_examples=15)
@given(
    st.integers(0, 2**31),
    st.lists(
        st.tuples(st.sampled_from(LABELS), st.sampled_from([*EDGES, -20.0, 0.0, -0.0, 3.5, 31.0])),
        min_size=1,
        max_size=6,
    ),
)
def test_mirrors_are_the_mirrored_images(seed: int, given_rows: list[tuple[str, float]]) -> None:
    crops = crops_of(seed, len(given_rows))
    labels, yaws = [label for label, _ in given_rows], np.array([yaw for _, yaw in given_rows])
    once, twice = MeanFaces(EDGES), MeanFaces(EDGES)
    once.add(crops, labels, yaws)
    twice.add(crops, labels, yaws)
    twice.add(crops[:, :, ::-1], [mirror_label(label) for label in labels], -yaws)
    mirrored = once.with_mirrors()
    np.testing.assert_array_equal(mirrored.counts, twice.counts)
    np.testing.assert_array_equal(mirrored.means, twice.means)
    np.testing.assert_array_equal(mirrored.variances, twice.variances)
    assert mirrored.n_images == once.n_images == once.counts.sum()


def test_the_mirrored_figure_is_symmetric() -> None:
    faces = MeanFaces(EDGES)
    faces.add(crops_of(3, 60), (list(LABELS) * 20), np.linspace(-29, 28, 60))
    both = faces.with_mirrors()
    np.testing.assert_array_equal(both.means, both.means[::-1, ::-1, :, ::-1])
    np.testing.assert_allclose(both.mse_across, both.mse_across[::-1, ::-1])
    np.testing.assert_allclose(both.mean_yaws, -both.mean_yaws[::-1, ::-1])


def test_poses_of_yaws_on_and_beyond_the_edges() -> None:
    yaws = np.array([-30.1, -30, -10.1, -10, 0, 10, 10.1, 30, 30.1, np.nan])
    assert find_poses(yaws, EDGES).tolist() == [-1, 0, 0, 1, 1, 1, 2, 2, -1, -1]
    assert find_poses(np.array([9, 10, 20, 30, 31.0]), (10, 20, 30)).tolist() == [-1, 0, 0, 1, -1]
    assert find_poses(-np.array([9, 10, 20, 30.0]), (-30, -20, -10)).tolist() == [-1, 1, 1, 0]


def test_what_is_left_out_is_counted() -> None:
    faces = MeanFaces(EDGES)
    faces.add(crops_of(0, 4), ["left"] * 4, np.array([np.nan, 31, -90, 0]))
    assert faces.left_out == {"no_yaw": 1, "beyond_the_poses": 2, "unreadable": 0}
    assert faces.n_images == 1


def test_chance_tells_what_two_samples_of_one_population_show() -> None:
    ratios = []
    for seed in range(3):
        faces = MeanFaces(EDGES)
        faces.add(crops_of(seed, 90), ["left"] * 30 + ["center"] * 60, np.zeros(90))
        ratios.append(faces.mse_down[0, 1] / faces.chance_down[0, 1])
    assert np.mean(ratios) == pytest.approx(1, abs=0.06)


def test_empty_cells_are_null_in_json() -> None:
    faces = MeanFaces(EDGES)
    faces.add(plain(100, 2), ["left", "left"], np.array([0.0, -20.0]))
    figures = json.loads(json.dumps(faces.as_dict(), allow_nan=False))
    assert [cell["images"] for cell in figures["cells"]] == [1, 1, 0, 0, 0, 0, 0, 0, 0]
    assert figures["cells"][2]["variance"] is None
    assert [pair["mse"] for pair in figures["mse"]].count(None) == 11
    assert figures["mse"][0] == {
        "lights": ["left", "left"], "poses": [0, 1], "mse": 0.0, "by_chance": 0.0
    }  # fmt: skip


@pytest.mark.parametrize(
    "edges", [(), (1,), (10, 10), (10, -10), (-91, 0), (float("nan"), 1), tuple(range(17))]
)
def test_edges_that_make_no_poses(edges: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput, match="edges of poses"):
        MeanFaces(edges)


@pytest.mark.parametrize("edges", [(-30, 0, 30), (-30, -10, 10, 31), (10, 20)])
def test_poses_that_have_no_mirrored_one(edges: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput, match="symmetric"):
        MeanFaces(edges).with_mirrors()


def test_wrong_input() -> None:
    faces = MeanFaces(EDGES)
    with pytest.raises(InvalidInput, match="'unsure' is no label"):
        faces.add(plain(0), ["unsure"], np.zeros(1))
    with pytest.raises(InvalidInput, match="uint8"):
        faces.add(plain(0).astype(np.float64), ["left"], np.zeros(1))
    with pytest.raises(InvalidInput, match="as many yaws"):
        faces.add(plain(0, 2), ["left"] * 2, np.zeros(3))
    both = faces.with_mirrors()
    with pytest.raises(InvalidInput, match="mirrored"):
        both.add(plain(0), ["left"], np.zeros(1))
    with pytest.raises(InvalidInput, match="already"):
        both.with_mirrors()


def centres(image: Pixels.Image, colours: list[tuple[int, int, int]]) -> list[tuple[float, float]]:
    """Where on the picture each colour has its centre, x and y."""
    pixels = np.asarray(image)
    found = [np.argwhere((pixels == colour).all(axis=2)) for colour in colours]
    return [(float(where[:, 1].mean()), float(where[:, 0].mean())) for where in found]


def test_the_picture_has_lights_downwards_and_poses_to_the_right() -> None:
    colours = [(20 * i + 11, 200 - 20 * i, 100) for i in range(9)]
    crops = np.array([np.full((64, 64, 3), colour, np.uint8) for colour in colours])
    faces = MeanFaces(EDGES)
    faces.add(crops, [label for label in LABELS for _ in YAWS], np.array(YAWS * 3))
    places = np.array(centres(render_mean_faces(faces), colours)).reshape(3, 3, 2)
    assert (np.diff(places[:, :, 0], axis=1) > 192).all()  # no face covers its neighbour
    assert (np.diff(places[:, :, 1], axis=0) > 192).all()
    np.testing.assert_allclose(places, places[:1, :, :] * [1, 0] + places[:, :1, :] * [0, 1])


@pytest.mark.parametrize("edges", [EDGES, (-5, 5), (-35, -25, -15, -5, 5, 15, 25, 35)])
def test_every_scale_shows_the_same(edges: tuple[float, ...]) -> None:
    colour = (200, 40, 40)
    faces = MeanFaces(edges)
    faces.add(np.full((2, 64, 64, 3), colour, np.uint8), ["center"] * 2, np.zeros(2))
    one, two = render_mean_faces(faces, 1), render_mean_faces(faces, 2)
    assert two.size == (2 * one.width, 2 * one.height)
    assert np.multiply(centres(one, [colour]), 2) == pytest.approx(
        np.array(centres(two, [colour])), abs=1
    )
    areas = [int((np.asarray(image) == colour).all(axis=2).sum()) for image in (one, two)]
    assert areas == [192**2, 384**2]
    with pytest.raises(InvalidInput, match="scale"):
        render_mean_faces(faces, 0)


def test_an_empty_cell_says_so() -> None:
    """Where a face would be, there is text on an even ground."""
    filled, empty = MeanFaces((-5, 5)), MeanFaces((-5, 5))
    colour = (200, 40, 40)
    filled.add(np.full((1, 64, 64, 3), colour, np.uint8), ["center"], np.zeros(1))
    ((x, y),) = centres(render_mean_faces(filled), [colour])
    cell = np.asarray(render_mean_faces(empty).convert("L"))[
        int(y) - 90 : int(y) + 90, int(x) - 90 : int(x) + 90
    ]
    ground = cell[0, 0]
    inked = np.argwhere(cell < ground - 60)
    assert len(inked) > 100
    assert (cell[:60] == ground).all()
    assert abs(inked.mean(axis=0) - 90).max() < 8


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
        [3, 4, 3], [3, 4, 3], [3, 4, 3]
    ]  # fmt: skip
    assert draw_mean_faces(any_db, campaign_id, edges=(0, 25)).counts.tolist() == [[3]] * 3


def test_proposals_fill_in_where_the_votes_say_nothing(any_db: Database, tmp_path: Path) -> None:
    campaign_id = set_up(any_db, tmp_path / "faces")
    with pytest.raises(Conflict, match="no proposals"):
        draw_mean_faces(any_db, campaign_id, with_proposals=True)
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
    both = draw_mean_faces(any_db, campaign_id, with_proposals=True)
    assert both.counts.tolist() == [[2, 2, 2], [2, 2, 2], [2, 2, 1]]
    surer = draw_mean_faces(any_db, campaign_id, with_proposals=True, min_probability=0.8)
    assert surer.counts.tolist() == [[2, 2, 1], [2, 2, 2], [2, 2, 1]]
    with pytest.raises(InvalidInput, match="least probability"):
        draw_mean_faces(any_db, campaign_id, min_probability=1.5)


def test_the_key_changes_with_labels_and_yaws_only(db: Database, tmp_path: Path) -> None:
    campaign_id = set_up(db, tmp_path / "faces")

    def key(least: float = 0.0) -> str:
        with db.read() as session:
            return choose_images(session, campaign_id, least).key

    before = key()
    assert key() == before == key(0.5)
    with db.write() as session:
        session.execute(update(Image).where(Image.filename == "face016.png").values(yaw_deg=1))
    assert key() == before  # it has no label
    with db.write() as session:
        session.execute(update(Image).where(Image.filename == "face000.png").values(yaw_deg=1))
    assert key() != before


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
        "report", "mean-faces", "--out", str(out), "--json", str(by_files), "--mirror", *files,
        "--min-probability", "0.9", "--processes", "2",
    )  # fmt: skip
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
    assert "probability of the label is None" in message(
        run("report", "mean-faces", "--out", str(out), "--min-probability", "0.5", *files)
    )
    elsewhere = run("report", "mean-faces", "--out", str(out), "--edges", "40,50", *files)
    assert "No image is in any pose" in message(elsewhere)


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
        "report", "mean-faces", "--out", str(out), "--json", str(numbers), "--labels", str(labels),
        "--poses", str(tmp_path / "poses.csv"), "--images", str(tmp_path / "faces"),
        "--min-probability", "0.6",
    )  # fmt: skip
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
    assert "belong together" in message(run(*arguments, "--labels", "labels.csv"))
    three = ["--labels", "a", "--poses", "b", "--images", "c"]
    assert "about the database" in message(run(*arguments, *three, "--with-proposals"))
    assert "symmetric" in message(run(*arguments, "--mirror", "--edges", "-30,0,30"))
    assert "angles in degrees" in message(run(*arguments, "--edges", "wide"))
    assert "Cannot write" in message(run("report", "mean-faces", "--out", str(tmp_path)))
    missing = run("report", "mean-faces", "--out", str(tmp_path / "no/mean.png"))
    assert "Cannot write" in message(missing)
    assert out.read_bytes() == b"the picture of yesterday"
    assert "python manage.py report mean-faces" in run("report", "mean-faces", "--help").output
