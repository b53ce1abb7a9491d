"""Pairs and training of the refiner, from photographs to a picture that it drew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from rotation.cli.train_refiner import train_refiner_command
from rotation.cli.turn import turn
from rotation.diffusion.denoising import load_denoising
from rotation.diffusion.refiner import PLANES
from rotation.errors import DatasetError
from rotation.training.refiner_task import read_yaws
from rotation.training.return_pairs import LEAST_DEG, MOST_DEG, draw_angle, return_pairs
from tests.rotation.geometry.conftest import render_photograph
from tests.rotation.modelling import tiny_folder

SIZE = 32


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people in folders of their own, and a picture without a face."""
    folder = tmp_path_factory.mktemp("photographs")
    for number, yaw in ((901, -20.0), (902, 5.0), (903, 15.0)):
        for copy in range(2):
            path = folder / f"person{number}" / f"{copy}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(render_photograph(number, yaw + copy)).save(path)
    Image.new("RGB", (178, 218), "grey").save(folder / "wall.png")
    return folder


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(train_refiner_command, [str(word) for word in words])
    return result.exit_code, result.output


def test_pairs_hold_photograph_return_mask_and_yaw(photographs: Path, tmp_path: Path) -> None:
    pairs = return_pairs([photographs], tmp_path, SIZE, 7, workers=1)
    assert pairs.pixels.shape == (6, 8, SIZE, SIZE)
    assert len(set(pairs.people.tolist())) == 3
    assert sorted(read_yaws(pairs.pixels).round().tolist()) == pytest.approx(
        [-20, -19, 5, 6, 15, 16], abs=6
    )
    known = pairs.pixels[:, 6:7] > 250
    error = (pairs.pixels[:, :3].float() - pairs.pixels[:, 3:6].float()).abs()
    assert error[known.expand_as(error)].mean() < error[~known.expand_as(error)].mean()
    again = return_pairs([photographs], tmp_path, SIZE, 7, workers=1)
    assert torch.equal(again.pixels, pairs.pixels)


def test_people_who_are_left_out_are_in_no_pair(photographs: Path, tmp_path: Path) -> None:
    names = [f"person901/{copy}.png" for copy in range(2)]
    pairs = return_pairs([photographs], tmp_path, SIZE, 7, names, workers=1)
    assert len(pairs) == 4
    assert read_yaws(pairs.pixels).min() > 0


@pytest.mark.slow
def test_a_single_folder_is_no_person_and_new_pictures_are_found(
    photographs: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set" / "photographs"
    folder.mkdir(parents=True)
    for number, path in enumerate(sorted(photographs.glob("*/*.png"))[:3]):
        shutil.copy(path, folder / f"{number}.png")
        if number:
            pairs = return_pairs([folder.parent], tmp_path, SIZE, 5, workers=1)
            assert len(set(pairs.people.tolist())) == len(pairs) == number + 1


def test_names_that_are_nowhere_are_told(
    photographs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["person901/0.png", "persom901/1.png"]
    return_pairs([photographs], tmp_path, SIZE, 1, names, workers=1)
    assert "1 of 2 names to leave out are in none of the sets, such as 'persom901/1.png'" in (
        caplog.text
    )


def test_a_set_without_faces_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "walls"
    folder.mkdir()
    Image.new("RGB", (60, 60), "grey").save(folder / "wall.png")
    with pytest.raises(DatasetError, match="no photograph has a face"):
        return_pairs([folder], tmp_path / "cache", SIZE, 2, workers=1)


def test_angles_stay_within_what_can_be_turned() -> None:
    for yaw in (-45.0, -20.0, 0.0, 31.0, 44.0):
        angles = np.array([draw_angle(yaw, share) for share in np.linspace(0, 0.999, 50)])
        assert np.abs(angles).min() >= LEAST_DEG - 1e-9
        assert np.abs(angles).max() <= MOST_DEG + 1e-9
        assert np.abs(yaw + angles).max() <= MOST_DEG + 1e-9
    assert {draw_angle(0.0, 0.1) < 0, draw_angle(0.0, 0.9) < 0} == {True, False}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_trained_refiner_draws(photographs: Path, tmp_path: Path) -> None:
    model = tiny_folder(tmp_path / "model")
    words = ["--data", photographs, "--images", 7, "--holdout", 2, "--size", SIZE]
    words += ["--init", model, "--batch-size", 2, "--device", "cpu", "--out", tmp_path / "out"]
    code, said = run(*words, "--steps", 2)
    assert code == 0, said
    log = json.loads((tmp_path / "out" / "log.jsonl").read_text().splitlines()[-1])
    assert log["hidden_mse"] > 0
    assert list((tmp_path / "out" / "sheets").glob("refined-*.png"))
    assert run(*words, "--steps", 3)[0] == 0
    steps = [json.loads(line)["step"] for line in (tmp_path / "out" / "log.jsonl").open()]
    assert steps == [2, 3]  # it went on
    shutil.copytree(tmp_path / "out" / "model", model / "refiner")
    Image.fromarray(render_photograph(904)).save(tmp_path / "portrait.png")
    frames = []
    for options in ([], ["--no-refine"]):
        words = [tmp_path / "portrait.png", "--yaw", 25, "--model", model, *options]
        result = CliRunner().invoke(turn, [*map(str, words), "--out", str(tmp_path / "turned")])
        assert result.exit_code == 0, result.output
        frames.append(np.asarray(Image.open(tmp_path / "turned" / "photograph_+025.0.png")))
    assert not np.array_equal(*frames)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_refiner_is_trained_further(photographs: Path, tmp_path: Path) -> None:
    first = tmp_path / "first" / "model"
    words = ["--data", photographs, "--images", 7, "--holdout", 2, "--batch-size", 2]
    words += ["--device", "cpu", "--steps", 1, "--cache", tmp_path / "pairs"]
    begun = ["--init", tiny_folder(tmp_path / "model"), "--size", SIZE, "--out", first.parent]
    code, said = run(*words, *begun)
    assert code == 0, said
    further = ["--init", first, "--lr", 1e-9, "--out", tmp_path / "second"]
    code, said = run(*words, *further, "--size", SIZE)
    assert code == 0, said
    weights = [load_denoising(f, planes=PLANES) for f in (first, tmp_path / "second" / "model")]
    pairs = zip(*(w.unet.state_dict().values() for w in weights), strict=True)
    for old, new in pairs:  # a rate of almost nothing keeps the weights
        torch.testing.assert_close(old, new, atol=1e-3, rtol=1e-2)
    code, said = run(*words, *further, "--size", 2 * SIZE)
    assert code != 0
    assert f"images of {SIZE} pixels, not {2 * SIZE}" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", 1], "Missing option '--data'"),
        (["--data", "DATA"], "--minutes or --steps"),
        (["--data", "DATA", "--steps", 1, "--init", "celeba-64", "--size", 100], "multiple"),
        (["--data", "DATA", "--steps", 1, "--init", "nowhere"], "no model folder"),
        (["--data", "DATA", "--steps", 1, "--left-out", "absent.txt"], "absent.txt"),
        (["--data", "DATA", "--steps", 1, "--device", "cuda:99", "--init", "celeba-64"], "cuda:99"),
    ],
)
def test_what_cannot_be_trained_is_said(
    words: list[object], message: str, photographs: Path, tmp_path: Path
) -> None:
    given = [photographs if word == "DATA" else word for word in words]
    code, said = run(*given, "--out", tmp_path / "out")
    assert code != 0
    assert message in said
