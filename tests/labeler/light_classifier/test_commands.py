"""`classifier fit|predict|evaluate` on real files, as a person runs them."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from labeler.cli.main import cli
from labeler.light_classifier.features import CELLS, CROP, FeatureKind
from labeler.light_classifier.mirror_logistic import MirrorLogistic
from labeler.light_classifier.storage import save_model
from labeler.light_classifier.training import METHOD
from rotation.data.labels_csv import LabelRow, stream_label_rows
from tests.labeler.lit_faces import cycle_labels, write_faces, write_landmarks
from tests.names import AWKWARD_NAMES


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["classifier", *map(str, arguments)])


def told(result: Result) -> str:
    """The message of a command that failed; `manage.main` prints that of an exception."""
    return f"{result.exception} {result.stderr}".replace("\n", " ")


def write_labels(path: Path, labels: Mapping[str, str]) -> Path:
    lines = ["filename,label", *(f"{name},{label}" for name, label in labels.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


def read(path: Path) -> dict[str, list[float]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["filename"]: [float(row[f"p_{label}"]) for label in ("left", "center", "right")]
        for row in rows
    }


@pytest.fixture
def truth(tmp_path: Path) -> dict[str, str]:
    """Sixty pictures in two folders, by name below `images`."""
    labels = cycle_labels(60)
    nested = {f"{'ab'[i % 2]}/{name}": label for i, (name, label) in enumerate(labels.items())}
    write_faces(tmp_path / "images", nested)
    write_landmarks(tmp_path / "images", nested)
    return nested


@pytest.fixture
def labels(tmp_path: Path, truth: dict[str, str]) -> Path:
    return write_labels(tmp_path / "labels.csv", dict(list(truth.items())[:15]))


def pack(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted([*folder.rglob("*.png"), *folder.glob("*.csv")]):
            file.write(path, path.relative_to(folder).as_posix())
    return archive


@pytest.mark.parametrize("packed", [False, True])
def test_fits_predicts_and_evaluates(
    tmp_path: Path, truth: dict[str, str], labels: Path, packed: bool
) -> None:
    images = tmp_path / "images"
    if packed:
        images = pack(images, tmp_path / "images.zip")
    model, proposals = tmp_path / "model", tmp_path / "proposals.csv"
    fitted = run("fit", "--images", images, "--labels", labels, "--out", model)
    assert fitted.exit_code == 0, fitted.output
    assert "15 labels and 45 images without one" in fitted.output
    assert sorted(each.name for each in model.iterdir()) == ["model.json", "model.safetensors"]
    predicted = run("predict", "--model", model, "--images", images, "--out", proposals)
    assert predicted.exit_code == 0, predicted.output
    rows = read(proposals)
    assert set(rows) == set(truth)
    np.testing.assert_allclose(np.sum(list(rows.values()), axis=1), 1, atol=1e-8)
    true = write_labels(tmp_path / "truth.csv", truth)
    result = run("evaluate", "--proposals", proposals, "--truth", true, "--json")
    figures = json.loads(result.stdout)
    assert figures["accuracy"] > 0.95
    assert figures["n"] == 60
    assert {"macro_f1", "ece", "confusion"} <= set(figures)
    assert np.array(figures["confusion"]).sum() == 60
    with proposals.open() as file:
        for row in csv.DictReader(file):
            side = {"left": -1, "right": 1}.get(truth[row["filename"]], 0)
            assert row["n_faces"] == "1"
            assert side * float(row["azimuth_deg"]) >= 0
            assert float(row["azimuth_spread_deg"]) > 0
            assert 0 <= float(row["strength"]) <= 1


def test_images_without_a_face_are_proposed_flat_and_teach_nothing(
    tmp_path: Path, truth: dict[str, str], labels: Path
) -> None:
    blank = tmp_path / "images" / "blank.png"
    Image.new("RGB", (300, 200), (90, 90, 90)).save(blank)
    with labels.open("a") as file:
        file.write("blank.png,left\n")
    fitted = run(
        "fit", "--images", tmp_path / "images", "--labels", labels, "--out", tmp_path / "m"
    )
    assert "No face was found in 1 images (blank.png)" in fitted.output
    assert "15 labels" in fitted.output
    out = tmp_path / "proposals.csv"
    run("predict", "--model", tmp_path / "m", "--images", tmp_path / "images", "--out", out)
    assert read(out)["blank.png"] == pytest.approx([1 / 3] * 3, abs=1e-8)
    (row,) = [line for line in out.read_text().splitlines() if line.startswith("blank")]
    assert row.endswith(",,,,0")
    true = write_labels(tmp_path / "truth.csv", {**truth, "blank.png": "left"})
    judged = run("evaluate", "--proposals", out, "--truth", true, "--json")
    figures = json.loads(judged.stdout)
    assert (figures["n"], figures["n_without_face"]) == (60, 1)


@pytest.mark.parametrize(
    ("method", "kind", "faces"),
    [("mirror-logistic-2", CROP, ""), ("mirror-logistic-3", CELLS, "1")],
)
def test_a_model_folder_of_a_former_method_still_predicts(
    tmp_path: Path, truth: dict[str, str], method: str, kind: FeatureKind, faces: str
) -> None:
    """Positive odd features are brighter on the left, in fixed crops and in faces."""
    folder, out = tmp_path / "former", tmp_path / "proposals.csv"
    odd = np.full(kind.n_odd, 0.2)
    rest = np.zeros(2 * kind.n_odd)
    save_model(folder, MirrorLogistic(odd, rest, rest, -4.0, 0.0), {})
    description = folder / "model.json"
    description.write_text(description.read_text().replace(METHOD, method))
    done = run("predict", "--model", folder, "--images", tmp_path / "images", "--out", out)
    assert done.exit_code == 0, done.output
    names = ("left", "center", "right")
    right = [names[int(np.argmax(p))] == truth[name] for name, p in read(out).items()]
    assert np.mean(right) > 0.9
    assert out.read_text().splitlines()[1].rpartition(",")[2] == faces


def test_mirrored_files_get_mirrored_rows(
    tmp_path: Path, truth: dict[str, str], labels: Path
) -> None:
    images, mirrored = tmp_path / "images", tmp_path / "mirrored"
    for name in truth:
        (mirrored / name).parent.mkdir(parents=True, exist_ok=True)
        picture = Image.open(images / name)
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored / name)
    write_landmarks(mirrored, truth)
    model = tmp_path / "model"
    assert run("fit", "--images", images, "--labels", labels, "--out", model).exit_code == 0
    for folder in (images, mirrored):
        out = tmp_path / f"{folder.name}.csv"
        run("predict", "--model", model, "--images", folder, "--out", out)
    plain, flipped = read(tmp_path / "images.csv"), read(tmp_path / "mirrored.csv")
    for name in truth:
        np.testing.assert_allclose(flipped[name], plain[name][::-1], atol=1e-8)


def test_unlabelled_images_of_another_place(
    tmp_path: Path, truth: dict[str, str], labels: Path
) -> None:
    more = cycle_labels(12)
    write_faces(tmp_path / "more", more, seed=3)
    write_landmarks(tmp_path / "more", more)
    options = ("--images", tmp_path / "images", "--labels", labels, "--out", tmp_path / "model")
    with_more = run("fit", *options, "--unlabeled", tmp_path / "more")
    assert "and 12 images without one" in with_more.output
    alone = run("fit", *options, "--labels-only")
    assert "and 0 images without one" in alone.output
    both = run("fit", *options, "--labels-only", "--unlabeled", tmp_path / "more")
    assert both.exit_code == 2


def test_sizes_colours_and_black_frames_are_borne(
    tmp_path: Path, truth: dict[str, str], labels: Path
) -> None:
    others = tmp_path / "others"
    others.mkdir()
    for name, size, mode in [("s", 64, "L"), ("m", 120, "RGB"), ("l", 218, "RGBA")]:
        Image.new(mode, (size, size), 30).save(others / f"{name}.png")
    Image.new("RGB", (178, 218)).save(others / "black.png")
    Image.new("RGB", (89, 109), (255, 255, 255)).save(others / "white.png")
    (others / "broken.png").write_bytes(b"no picture")
    model, out = tmp_path / "model", tmp_path / "out.csv"
    run("fit", "--images", tmp_path / "images", "--labels", labels, "--out", model)
    result = run("predict", "--model", model, "--images", others, "--out", out)
    assert result.exit_code == 0
    assert "Left out: broken.png" in result.stderr
    rows = read(out)
    assert set(rows) == {"s.png", "m.png", "l.png", "black.png", "white.png"}
    for left, _center, right in rows.values():
        assert left == right  # nothing in a flat picture speaks for a side


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["name,label", "a/face000.png,left"], "column 'filename' is missing"),
        (["filename,label", "a/face000.png,top"], "unknown label 'top'"),
        (["filename,label", "a/face000.png,unsure"], "no row has one of the labels"),
        (["filename,label", "x.png,left", "y.png,right"], "None of the 2 labelled images"),
        (
            ["filename,label", "a/face000.png,left", "a/face000.png,right"],
            "stands in line 2 already",
        ),
        (["filename,label", "a/face000.png,left"], "two different labels are needed"),
    ],
)
def test_labels_that_cannot_teach(
    tmp_path: Path, truth: dict[str, str], lines: Sequence[str], message: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(lines) + "\n")
    result = run("fit", "--images", tmp_path / "images", "--labels", path, "--out", tmp_path / "m")
    assert result.exit_code == 1
    assert message in told(result)
    assert not (tmp_path / "m").exists()


def test_labels_of_absent_images_are_named_and_left_out(
    tmp_path: Path, truth: dict[str, str]
) -> None:
    path = write_labels(tmp_path / "l.csv", {**dict(list(truth.items())[:9]), "gone.png": "left"})
    result = run("fit", "--images", tmp_path / "images", "--labels", path, "--out", tmp_path / "m")
    assert result.exit_code == 0
    assert "gone.png" in result.stderr
    assert "learned from 9 labels" in result.output


def test_an_exported_file_is_read_as_it_is(tmp_path: Path) -> None:
    """A byte-order mark, further columns, images without a label, a neutralised name."""
    names = {"=a.png": "left", "b.png": "right", "c.png": "center", "d.png": ""}
    write_faces(tmp_path / "images", {name: label or "left" for name, label in names.items()})
    write_landmarks(tmp_path / "images", names)
    path = tmp_path / "labels.csv"
    rows = [
        f"{i},{'`='.replace('`', chr(39)) + name[1:] if name[0] == '=' else name},{label}"
        for i, (name, label) in enumerate(names.items())
    ]
    path.write_text("\ufeffimage_id,filename,label\r\n" + "\r\n".join(rows) + "\r\n")
    result = run("fit", "--images", tmp_path / "images", "--labels", path, "--out", tmp_path / "m")
    assert "learned from 3 labels and 1 images" in result.output, result.output


def test_missing_files_are_one_clear_line(tmp_path: Path, labels: Path) -> None:
    no_model = run("predict", "--model", tmp_path, "--images", tmp_path / "images", "--out", "-")
    assert no_model.exit_code == 1
    assert "is it a model" in no_model.stderr
    no_labels = run("evaluate", "--proposals", tmp_path / "x.csv", "--truth", labels)
    assert "x.csv: cannot be read" in told(no_labels)
    proposals = tmp_path / "p.csv"
    proposals.write_text("filename,p_left,p_center,p_right\na.png,0.5,0.2,0.2\n")
    bad = run("evaluate", "--proposals", proposals, "--truth", labels)
    assert "p.csv, line 2, column 'p_left'" in told(bad)
    assert "Three numbers that sum to 1 are needed" in told(bad)
    proposals.write_text("filename,p_left,p_center,p_right\na.png,0.5,0.3,0.2\n")
    apart = run("evaluate", "--proposals", proposals, "--truth", labels)
    assert "share no filename" in apart.stderr


def test_images_without_a_proposal_are_counted_apart(
    tmp_path: Path, labels: Path, truth: dict[str, str]
) -> None:
    proposals = tmp_path / "p.csv"
    name, label = next(iter(truth.items()))
    proposals.write_text(f"filename,p_left,p_center,p_right\n{name},0.8,0.1,0.1\n")
    result = run("evaluate", "--proposals", proposals, "--truth", labels, "--json")
    figures = json.loads(result.stdout)
    assert (figures["n"], figures["n_without_proposal"]) == (1, 14)
    assert figures["accuracy"] == (label == "left")
    assert "have no proposal" in run("evaluate", "--proposals", proposals, "--truth", labels).stderr


def test_awkward_names_survive_from_labels_to_proposals(tmp_path: Path) -> None:
    names = [name for name in AWKWARD_NAMES if name.endswith(".png")]
    labels = dict(zip(names, cycle_labels(len(names)).values(), strict=True))
    write_faces(tmp_path / "images", labels)
    write_landmarks(tmp_path / "images", labels)
    rows = (
        LabelRow(i, name, label, None, (1, 0, 0, 0), "agreed", "votes", "a-rule-1")
        for i, (name, label) in enumerate(labels.items())
    )
    path, model, out = (tmp_path / name for name in ("labels.csv", "model", "proposals.csv"))
    path.write_bytes("".join(stream_label_rows(rows)).encode())
    fitted = run("fit", "--images", tmp_path / "images", "--labels", path, "--out", model)
    assert f"learned from {len(names)} labels" in fitted.output, told(fitted)
    assert run("predict", "--model", model, "--images", tmp_path / "images", "--out", out)
    assert not [name for name in read(out) if name.startswith(("=", "+", "-", "@", "\t", "\r"))]
    result = run("evaluate", "--proposals", out, "--truth", path, "--json")
    figures = json.loads(result.stdout)
    assert (figures["n"], figures["n_without_proposal"]) == (len(names), 0)


def test_a_cache_without_a_cluster_is_refused(tmp_path: Path) -> None:
    model, images = tmp_path / "model", tmp_path / "images"
    model.mkdir()
    images.mkdir()
    words = ("--model", model, "--images", images, "--out", tmp_path / "proposals.csv")
    refused = run("predict", *words, "--cache", tmp_path / "cache")
    assert refused.exit_code == 2
    assert "--cache keeps features of --ray only" in refused.output
    assert not (tmp_path / "cache").exists()
