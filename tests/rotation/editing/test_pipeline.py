"""The whole of a rotation, on synthetic heads in CelebA's formats and a tiny untrained model."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from rotation.cli.benchmark import benchmark
from rotation.cli.poses import poses as poses_command
from rotation.cli.run import run
from rotation.clusters.selection import Criteria, cluster_angles
from rotation.data.celeba import read_tables
from rotation.data.crop import read_crop, read_image
from rotation.data.labels import LABELS
from rotation.data.sources import open_source
from rotation.diffusers_pipeline import HeadRotationPipeline
from rotation.diffusion.latent_model import LatentModel
from rotation.editing.pipeline import Data, find_source, rotate
from rotation.errors import SelectionError
from rotation.latents.encoders import content_key, encode_crops, encode_here
from rotation.latents.store import LatentStore
from rotation.options import ClusterOptions, EditingOptions, TurnOptions
from rotation.poses.estimation import PoseRow
from rotation.poses.source import PoseSource, poses_from_csv
from rotation.synthetic_heads.dataset import TRUTH, read_truth, write_dataset
from tests.rotation.modelling import SIZE, tiny_folder

COUNT = 60
SOURCE = "000004.jpg"


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with its truth, labels.csv beside it."""
    folder = write_dataset(tmp_path_factory.mktemp("heads") / "set", COUNT, seed=5)
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", "filename", "label", "status"])
        writer.writerows([i, *row, "agreed"] for i, row in enumerate(read_truth(folder).items()))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model's folder."""
    return tiny_folder(tmp_path_factory.mktemp("model") / "tiny")


def turn(heads: Path, model: Path, out: Path, *more: str) -> Result:
    """`rotation run` with what every call needs."""
    options = {
        "--images": heads,
        "--labels": heads / "labels.csv",
        "--source": SOURCE,
        "--model": model,
        "--out": out / "turned",
        "--cache": out / "cache",
        "--min-cluster": 1,
        "--iterations": 0,
        "--device": "cpu",
        "--light": "left",
    }
    words = [str(word) for pair in options.items() for word in pair]
    return CliRunner().invoke(run, [*words, "--no-closed-loop", *more])  # the last one counts


def test_from_files_to_files(heads: Path, model: Path, tmp_path: Path) -> None:
    extras = ("--gif", "--contact-sheets", "--closed-loop")
    result = turn(heads, model, tmp_path, *extras, "--yaw", "-20:20:10")
    assert result.exit_code == 0, result.output
    out = tmp_path / "turned"
    names = sorted(path.name for path in out.iterdir())
    assert names == [
        "beside_means.png",
        "cluster_means.png",
        "frame_+000.0.png",
        "frame_+010.0.png",
        "frame_+020.0.png",
        "frame_-010.0.png",
        "frame_-020.0.png",
        "report.html",
        "report.json",
        "strip.png",
        "turn.gif",
    ]
    with Image.open(out / "strip.png") as strip:
        assert strip.width > 7 * SIZE
    report = json.loads((out / "report.json").read_text())
    assert report["clusters"]["angles_deg"] == [-20, -10, 0, 10, 20]
    assert min(report["clusters"]["sizes"]) >= 1
    assert report["source"]["light"] == "left"
    assert report["latent_norm"]["frames"] == pytest.approx([report["latent_norm"]["source"]] * 5)
    assert len(report["turn"]["measured_deg"]) == 5
    assert report["reconstruction_mse"] < 0.01
    assert report["model"]["fingerprint"]
    assert {"load", "read", "embed", "turn"} <= set(report["seconds"])


def test_the_choices_about_clusters_are_reported(heads: Path, model: Path, tmp_path: Path) -> None:
    """Labels with probabilities, half of them low; small clusters, so that something gives way."""
    labels = tmp_path / "sure.csv"
    with labels.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "label", "p_left", "p_center", "p_right"])
        for k, (name, label) in enumerate(read_truth(heads).items()):
            own = 0.55 if k % 2 else 0.95
            writer.writerow([name, label, *(own if label == c else 0.01 for c in LABELS)])
    choices = [
        "--labels",
        str(labels),
        "--min-probability",
        "0.9",
        "--min-cluster",
        "2",
        "--similar",
        "--max-window",
        "30",
        "--yaw",
        "0,10",
    ]
    result = turn(heads, model, tmp_path, *choices)
    assert result.exit_code == 0, result.output
    clusters = json.loads((tmp_path / "turned" / "report.json").read_text())["clusters"]
    wanted = sum(label != "center" for label in list(read_truth(heads).values())[1::2])
    assert clusters["unsure_left_out"] == wanted > 0
    assert f"left out: {wanted} images" in result.output
    assert clusters["widening"]
    assert clusters["widening"][0] in result.output
    assert sum(clusters["effective_sizes"]) < sum(clusters["sizes"])
    assert clusters["identity_known"]
    refused = turn(heads, model, tmp_path / "other", "--min-probability", "0.9")
    assert refused.exit_code == 1
    assert "'p_left' is missing" in refused.stderr


def test_members_are_picked_by_the_azimuth_of_their_light(
    heads: Path, model: Path, tmp_path: Path
) -> None:
    """Half of the images have an azimuth; the rest are picked by their label."""
    names = list(read_truth(heads))
    azimuths = tmp_path / "proposals.csv"
    rows = [f"{name},{-40 if k % 2 else ''}" for k, name in enumerate(names)]
    azimuths.write_text("\n".join(["filename,azimuth_deg", *rows]))
    choices = ["--light-window", "30", "--azimuths", str(azimuths), "--window", "30"]
    choices += ["--yaw", "0", "--attributes", "none"]
    result = turn(heads, model, tmp_path, *choices, "--light-azimuth", "-20")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "turned" / "report.json").read_text())
    assert report["source"]["azimuth_deg"] == -20
    assert report["clusters"]["light_window_deg"] == 30
    far = turn(heads, model, tmp_path / "far", *choices, "--light-azimuth", "170")
    assert far.exit_code == 0, far.output
    fewer = json.loads((tmp_path / "far" / "turned" / "report.json").read_text())
    assert 0 < sum(fewer["clusters"]["sizes"]) < sum(report["clusters"]["sizes"])
    unknown = names[0]
    refused = turn(heads, model, tmp_path / "none", *choices, "--source", unknown)
    assert refused.exit_code == 1
    assert f"azimuth of the light of {unknown} is not in the file" in refused.stderr


def test_everything_there_is_to_write(heads: Path, model: Path, tmp_path: Path) -> None:
    """All pictures, each finishing, the photograph at its size, the pipeline that turns alike."""
    pipe, out = tmp_path / "pipe", tmp_path / "turned"
    more = [
        "--yaw",
        "-10,10",
        "--grid",
        "--webp",
        "--show-size",
        "48",
        "--match-colours",
        "--sharpen",
        "0.5",
        "--paste-back",
        "--save-pipeline",
        str(pipe),
        "--gain",
        "1",
    ]
    result = turn(heads, model, tmp_path, *more)
    assert result.exit_code == 0, result.output
    with Image.open(out / "frame_+010.0.png") as frame, Image.open(out / "turn.webp") as moving:
        assert frame.size == moving.size == (48, 48)
    names = {path.name for path in out.iterdir()}
    assert {"grid.png", "photograph_-010.0.png", "photograph_+010.0.png"} <= names
    with open_source(heads) as images, Image.open(out / "photograph_+010.0.png") as pasted:
        photograph = read_image(images, SOURCE)
        assert pasted.size == photograph.size
        changed = np.asarray(pasted).astype(int) - np.asarray(photograph)
    assert np.abs(changed).max() > 20
    assert not changed[:20].any()  # over the crop's box
    report = json.loads((out / "report.json").read_text())
    assert report["finish"] == {"match_colours": True, "super_resolution": None, "sharpen": 0.5}
    assert len(report["fit"]["angles"]) == 5
    assert "data:image/png;base64," in (out / "report.html").read_text()
    saved = HeadRotationPipeline.from_pretrained(pipe)
    again = saved(photograph, (-10, 10), "left", source_yaw_deg=report["source"]["yaw_deg"])
    norms = again.latents.flatten(1).norm(dim=1).tolist()
    assert norms == pytest.approx(report["latent_norm"]["frames"], rel=1e-3)


def test_a_carried_turn_is_reported_and_saved(heads: Path, model: Path, tmp_path: Path) -> None:
    """The page shows what the flow alone does, and the saved pipeline turns alike."""
    pipe, out = tmp_path / "pipe", tmp_path / "turned"
    more = ["--yaw", "-15,15", "--carry", "--embedding", "smooth", "--no-bf16"]
    result = turn(heads, model, tmp_path, *more, "--save-pipeline", str(pipe))
    assert result.exit_code == 0, result.output
    report = json.loads((out / "report.json").read_text())
    assert report["carried"] == {"detail": 0.5}
    assert report["gain"] == 0.5
    assert "warped along the flow" in (out / "report.html").read_text()
    saved = HeadRotationPipeline.from_pretrained(pipe)
    with open_source(heads) as images:
        photograph = read_image(images, SOURCE)
    own = report["source"]["yaw_deg"]
    frames = saved(
        photograph, (-15, 15), source_yaw_deg=own, embedding="smooth", editing="flow"
    ).images
    for frame, name in zip(frames, ("frame_-015.0.png", "frame_+015.0.png"), strict=True):
        with Image.open(out / name) as written:
            difference = np.asarray(written).astype(int) - np.asarray(frame)
        assert np.abs(difference).mean() < 0.5


def test_a_model_that_cannot_enlarge_stops_before_the_work(
    heads: Path, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.pt").write_bytes(b"")
    result = turn(heads, model, tmp_path, "--super-resolution", str(tmp_path / "model.pt"))
    assert result.exit_code == 1
    assert ".onnx only" in result.stderr
    assert not (tmp_path / "turned").exists()


def test_a_second_run_is_the_same_and_embeds_nothing(
    heads: Path, model: Path, tmp_path: Path
) -> None:
    first = turn(heads, model, tmp_path)
    frames = (tmp_path / "turned" / "strip.png").read_bytes()
    before = json.loads((tmp_path / "turned" / "report.json").read_text())
    second = turn(heads, model, tmp_path)
    after = json.loads((tmp_path / "turned" / "report.json").read_text())
    assert first.exit_code == second.exit_code == 0
    assert (tmp_path / "turned" / "strip.png").read_bytes() == frames
    assert "embed" in before["seconds"]
    assert "embed" not in after["seconds"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--source", "../000004.jpg"], "leaves the data set"),
        (["--source", "999999.jpg"], "Names are relative to it, such as '000001.jpg'"),
        (["--light", "auto", "--source", "boundary"], "has no label"),
        (["--min-cluster", "50"], "50 needed"),
        (["--attributes", "Handsome"], "no attribute 'Handsome'"),
        (["--device", "abacus"], "no device 'abacus'"),
        (["--model", "/nowhere"], "is no model folder"),
        (["--landmarks", "nowhere.txt"], "--landmarks nowhere.txt: no such file"),
        (["--landmarks", "l.txt", "--poses", "p.csv"], "exclude each other"),
        (["--attributes", ","], "--attributes names none"),
        (["--labels", "nowhere.csv"], "cannot be read"),
        (["--images", "nowhere"], "no such file or folder"),
        (["--carry", "--closed-loop"], "two editing methods"),
        (["--carry", "--gain", "auto"], "(--editing line), or give a number"),
        (["--editing", "flow", "--gain", "auto"], "(--editing line), or give a number"),
        (["--editing", "line", "--closed-loop"], "--editing line and --closed-loop exclude"),
        (["--editing", "flow", "--no-carry"], "--editing flow and --no-carry exclude"),
        (["--light-window", "30"], "'azimuth_deg' is missing"),
        (["--light-azimuth", "30"], "--light-azimuth needs --light-window DEGREES"),
        (["--light-window", "30", "--no-light-filter"], "exclude each other"),
        (["--light-window", "30", "--method", "regression"], "no use for --light-window"),
    ],
)
def test_bad_input_is_one_message(
    heads: Path, model: Path, tmp_path: Path, more: list[str], message: str
) -> None:
    labelled = read_truth(heads)
    unlabelled = next(
        p.name for p in sorted((heads / "img_align_celeba").iterdir()) if p.name not in labelled
    )
    result = turn(heads, model, tmp_path, *(unlabelled if w == "boundary" else w for w in more))
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "turned").exists()


@pytest.mark.parametrize("light", ["auto", "left"])
def test_labels_of_another_set_are_told_first(
    heads: Path, model: Path, tmp_path: Path, light: str
) -> None:
    """Before the source is found to have no label, or anything else that follows from it."""
    labels = tmp_path / "labels.csv"
    labels.write_text((heads / "labels.csv").read_text().replace(".jpg", ".png"))
    result = turn(heads, model, tmp_path, "--labels", str(labels), "--light", light)
    assert result.exit_code == 1
    assert "labelled images are not in the image set ('000001.png'" in result.stderr


@pytest.mark.parametrize("option", ["--poses", "--landmarks"])
def test_poses_of_another_set_are_told_first(
    heads: Path, model: Path, tmp_path: Path, option: str
) -> None:
    """Before the source is found to have no pose."""
    source = TRUTH if option == "--poses" else "list_landmarks_align_celeba.txt"
    file = tmp_path / source
    file.write_text((heads / source).read_text().replace("0000", "9000"))
    result = turn(heads, model, tmp_path, option, str(file))
    assert result.exit_code == 1
    assert f"{option} {file}: none of its {COUNT} images is in the image set" in result.stderr


@pytest.mark.parametrize(
    "yaw",
    [
        "a:b:c",
        "-30:30",
        "30:-30:10",
        "0:90:10",
        "-30:30:0",
        "nan",
        "1e9,2",
        "",
        "-30:30:1e-320",
        "5,5",
        "1.01,1.02",
    ],
)
def test_yaws_that_make_no_sense_are_usage_errors(
    heads: Path, model: Path, tmp_path: Path, yaw: str
) -> None:
    assert turn(heads, model, tmp_path, "--yaw", yaw).exit_code == 2


def test_broken_images_are_passed_over_but_not_as_the_source(
    heads: Path, model: Path, tmp_path: Path
) -> None:
    from shutil import copytree

    folder = copytree(heads, tmp_path / "set")
    victim = folder / "img_align_celeba" / next(n for n in read_truth(heads) if n != SOURCE)
    victim.write_bytes(b"")
    assert turn(folder, model, tmp_path).exit_code == 0
    (folder / "img_align_celeba" / SOURCE).write_bytes(b"no image")
    result = turn(folder, model, tmp_path)
    assert result.exit_code == 1
    assert "not an image" in result.stderr


@pytest.mark.parametrize("carry", [False, True])
def test_a_mirrored_world_gives_mirrored_frames(
    heads: Path, tmp_path: Path, model: Path, carry: bool
) -> None:
    """Clusters hold each image and its mirror image, so centre light has mirror-tied sides."""
    encoder = LatentModel.load(model, device="cpu", iterations=0)
    store = LatentStore(tmp_path, encoder.fingerprint, (3, SIZE, SIZE))
    with open_source(heads) as images:
        book = poses_from_csv(heads / "truth.csv")
        data = Data(images, read_tables(heads), read_truth(heads), book, SOURCE)
        options = TurnOptions(
            (-20.0, 20.0),
            ClusterOptions("center", attributes=(), minimum=1),
            editing=EditingOptions("flow" if carry else "line"),
        )
        fit = rotate(data, encoder, store, options).fit
    tied = fit.direction.mirrored((3, SIZE, SIZE))
    tolerance = 5e-4 if carry else 1e-6  # float32 pictures looked up between their pixels
    np.testing.assert_allclose(fit.direction.right, tied.right, atol=tolerance)
    np.testing.assert_allclose(fit.direction.left, tied.left, atol=tolerance)
    if carry:
        np.testing.assert_allclose(fit.direction.flow, tied.flow, atol=1e-5)


@pytest.mark.parametrize(
    ("pose", "message"),
    [
        ((3.0, 0.0, 0.0, 0.0001), r"The pose of .*0000.\.jpg is doubtful: .*0\.0001.*--source-yaw"),
        ((np.nan, np.nan, np.nan, 0.0), r"No pose is known of .*--source-yaw"),
    ],
)
def test_a_source_with_a_doubtful_pose_is_turned_only_if_its_yaw_is_given(
    heads: Path, pose: PoseRow, message: str
) -> None:
    with open_source(heads) as images:
        doubtful = PoseSource({SOURCE: pose})
        data = Data(images, read_tables(heads), read_truth(heads), doubtful, SOURCE)
        options = TurnOptions((0.0,), ClusterOptions("left"))
        with pytest.raises(SelectionError, match=message):
            find_source(data, SIZE, options)
        assert find_source(data, SIZE, replace(options, source_yaw_deg=-7.0)).yaw_deg == -7.0


def test_equal_crops_share_a_latent(heads: Path, model: Path, tmp_path: Path) -> None:
    encoder = LatentModel.load(model, device="cpu", iterations=0)
    store = LatentStore(tmp_path, encoder.fingerprint, (3, SIZE, SIZE))
    with open_source(heads) as images:
        crops = np.stack([read_crop(images, f"{i:06d}.jpg", SIZE) for i in (1, 2, 1)])
    latents = encode_crops(encode_here(encoder.encode), store, crops)
    assert len(store) == 2
    assert np.array_equal(latents[0], latents[2])
    assert content_key(crops[0]) == content_key(crops[2]) != content_key(crops[1])


def test_a_source_by_another_spelling_stays_out_of_its_clusters(heads: Path) -> None:
    with open_source(heads) as images:
        book = poses_from_csv(heads / "truth.csv")
        data = Data(images, read_tables(heads), read_truth(heads), book, f"./{SOURCE}")
        source = find_source(data, SIZE, TurnOptions((0.0,), ClusterOptions("left")))
    assert source.record.filenames == (SOURCE,)
    assert source.record.identities[0] > 0


def test_an_output_that_cannot_be_written_is_refused_at_once(
    heads: Path, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "turned").write_text("a file, no folder")
    result = turn(heads, model, tmp_path)
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
    assert not (tmp_path / "cache").exists()


def test_commands_and_library_agree_on_defaults() -> None:
    (detail,) = (p.default for p in run.params if p.name == "detail")
    assert detail == EditingOptions().detail
    for command in (run, benchmark):
        (default,) = (p.default for p in command.params if p.name == "min_cluster")
        assert default == ClusterOptions().minimum == Criteria("left").minimum


def test_clusters_reach_as_far_as_asked() -> None:
    assert cluster_angles((-30.0, 30.0)) == (-30, -20, -10, 0, 10, 20, 30)
    assert cluster_angles((5.0,)) == (-20, -10, 0, 10, 20)
    assert max(cluster_angles((60.0,))) == 40


def test_poses_of_a_landmark_file(heads: Path, tmp_path: Path) -> None:
    out = tmp_path / "poses.csv"
    words = ["--images", str(heads), "--out", str(out)]
    result = CliRunner().invoke(poses_command, words)
    assert result.exit_code == 0, result.output
    assert f"{COUNT} of {COUNT} images have a pose" in result.output
    found = poses_from_csv(out).find_poses([f"{i:06d}.jpg" for i in range(1, COUNT + 1)])
    truth = poses_from_csv(heads / "truth.csv").find_poses(
        [f"{i:06d}.jpg" for i in range(1, COUNT + 1)]
    )
    assert np.abs(found.yaw_deg - truth.yaw_deg).mean() < 5


def test_poses_by_the_detector_are_resumed(heads: Path, tmp_path: Path) -> None:
    out = tmp_path / "poses.csv"
    words = ["--images", str(heads), "--out", str(out), "--landmarks", "mtcnn", "--device", "cpu"]
    assert CliRunner().invoke(poses_command, words).exit_code == 0
    whole = out.read_text().splitlines()
    out.write_text("\n".join(whole[:41]) + "\n" + whole[41][:12])  # killed while writing
    assert CliRunner().invoke(poses_command, words).exit_code == 0
    again = out.read_text().splitlines()
    assert again[:41] == whole[:41]
    assert sorted(line.split(",")[0] for line in again) == sorted(
        line.split(",")[0] for line in whole
    )
    names = [line.split(",")[0] for line in whole[1:]]
    measured = poses_from_csv(out).find_poses(names).yaw_deg
    truth = poses_from_csv(heads / "truth.csv").find_poses(names).yaw_deg
    known = np.isfinite(measured)
    assert known.mean() > 0.9
    assert np.corrcoef(measured[known], truth[known])[0, 1] > 0.9
