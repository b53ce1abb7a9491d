"""What a run does where options are left open, and that its parts hear what they are told."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rotation.cli.option_types import Gain
from rotation.cli.run import read_options, run
from rotation.diffusion.latent_model import LatentModel
from rotation.diffusion.model_folder import find_model
from rotation.directions.direction import Direction
from rotation.directions.fit import FIT_METHODS
from rotation.editing.closed_loop import ClosedLoopEditing
from rotation.editing.flow_editing import scale_yaw
from rotation.editing.linear_path import LinearEditing
from rotation.editing.method import EDITING_METHODS, EditRequest, editing_method
from rotation.editing.pose_estimators import LandmarkMeasure, YawEstimator, by_landmarks
from rotation.errors import SelectionError
from rotation.options import AUTO, EditingOptions, FitOptions, RunOptions, TurnOptions
from rotation.poses import mtcnn
from rotation.poses.estimation import Poses
from rotation.run import resolve_options
from tests.rotation.directions.test_flow import bulge, chosen, texture
from tests.rotation.modelling import SIZE, tiny_folder


def asked(folder: Path, *words: str) -> RunOptions:
    """What the command makes of words, less what was left open."""
    needed = [
        "--images",
        folder,
        "--labels",
        "labels.csv",
        "--source",
        "a.jpg",
        "--out",
        folder / "out",
        "--cache",
        folder / "cache",
    ]
    context = run.make_context("run", [str(word) for word in needed] + list(words))
    return resolve_options(read_options(context.params))


@pytest.mark.parametrize(
    ("words", "method", "gain"),
    [
        ("", "geometry", 1.0),
        ("--editing geometry --gain 0.5", "geometry", 0.5),
        ("--no-carry", "line", 1.5),
        ("--closed-loop", "closed-loop", 1.5),
        ("--embedding inversion", "closed-loop", AUTO),
        ("--embedding inversion --carry", "flow", 0.5),
        ("--embedding inversion --no-closed-loop", "line", AUTO),
        ("--carry --no-closed-loop", "flow", 0.5),
        ("--no-carry --no-closed-loop --gain auto", "line", AUTO),
        ("--editing line", "line", 1.5),
        ("--editing closed-loop --no-carry", "closed-loop", 1.5),
        ("--editing flow --carry --gain 2", "flow", 2.0),
    ],
)
def test_photographs_are_turned_by_geometry_unless_the_flags_say_otherwise(
    tmp_path: Path, words: str, method: str, gain: float
) -> None:
    options = asked(tmp_path, *words.split())
    assert (options.turn.editing.method, options.turn.editing.gain) == (method, gain)
    assert options.model.folder == find_model("celeba-64")
    assert options.model.embedding == ("inversion" if "inversion" in words else "network")


def test_photographs_are_embedded_smoothly_where_no_network_fits(tmp_path: Path) -> None:
    assert asked(tmp_path, "--steps", "5").model.embedding == "smooth"
    folder = tmp_path / "model"
    shutil.copytree(find_model("celeba-64"), folder)
    assert asked(tmp_path, "--model", str(folder)).model.embedding == "network"
    shutil.rmtree(folder / "embedding")
    options = asked(tmp_path, "--model", str(folder))
    assert (options.model.embedding, options.turn.editing.method) == ("smooth", "geometry")


@pytest.mark.parametrize(
    ("words", "method", "gain"),
    [
        ("", "closed-loop", AUTO),
        ("--gain 2", "closed-loop", 2.0),
        ("--no-closed-loop", "line", AUTO),
        ("--embedding smooth", "geometry", 1.0),
    ],
)
def test_rendered_heads_are_turned_in_the_closed_loop(
    tmp_path: Path, words: str, method: str, gain: float
) -> None:
    (tmp_path / "truth.csv").touch()
    options = asked(tmp_path, *words.split())
    assert (options.turn.editing.method, options.turn.editing.gain) == (method, gain)
    assert options.model.folder == find_model("synthetic-heads-64")


def test_the_command_offers_what_the_registries_hold() -> None:
    choices = {p.name: list(p.type.choices) for p in run.params if p.name in ("method", "editing")}
    assert choices == {"method": list(FIT_METHODS), "editing": list(EDITING_METHODS)}
    shown = {p.name: p.help for p in run.params}
    for registry, name in ((FIT_METHODS, "method"), (EDITING_METHODS, "editing")):
        assert all(one.description in shown[name] for one in registry.values())
    assert all(type(editing_method(name)).__name__ for name in EDITING_METHODS)


def test_a_gain_of_zero_stays_zero(tmp_path: Path) -> None:
    options = asked(tmp_path)
    still = replace(options.turn, editing=EditingOptions("flow", gain=0.0))
    assert resolve_options(replace(options, turn=still)).turn.editing.gain == 0.0


def test_methods_that_there_are_not_are_named_before_any_work(tmp_path: Path) -> None:
    options = asked(tmp_path)
    for turn in (TurnOptions(fit=FitOptions("best")), TurnOptions(editing=EditingOptions("best"))):
        with pytest.raises(SelectionError, match=r"'best'; .* are allowed"):
            resolve_options(replace(options, turn=turn))
    assert Gain().convert("2", None, None) == 2.0


class Elsewhere(mtcnn.LandmarkDetector):
    """The detector, on the CPU whatever it is told: `asked` holds what it was told."""

    asked: list[str] = []  # noqa: RUF012 - the test's record

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.asked.append(str(device))
        super().__init__("cpu")

    def estimate_crops(self, crops: np.ndarray) -> Poses:
        yaws = np.linspace(-40, 40, len(crops))
        return Poses(yaws, 0 * yaws, 0 * yaws, np.ones(len(crops)))


@pytest.fixture
def detectors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The devices that landmark detectors are asked to run on."""
    monkeypatch.setattr(mtcnn, "LandmarkDetector", Elsewhere)
    monkeypatch.setattr(Elsewhere, "asked", [])
    return Elsewhere.asked


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LatentModel:
    return LatentModel.load(tiny_folder(tmp_path_factory.mktemp("model") / "tiny"), device="cpu")


def request_on(device: str, model: LatentModel, method: str) -> EditRequest:
    """A face to turn on a device."""
    slopes = np.random.default_rng(0).normal(0, 0.02, (2, 3 * SIZE**2))
    direction = Direction(*slopes, 0.0, 0.0)
    crops = np.stack([texture(seed, SIZE) for seed in range(4)])
    options = EditingOptions(method, gain=AUTO)
    return EditRequest(
        model, crops[0], 0.0, (10.0,), direction, options, device, member_crops=crops
    )


def test_trial_frames_are_read_where_the_device_says(
    detectors: list[str], model: LatentModel
) -> None:
    moved = LinearEditing().move(request_on("cuda:7", model, "line"))
    assert moved.path.reached == (True,)
    assert detectors == ["cuda:7"]


def test_yaw_scales_are_read_where_the_device_says(detectors: list[str]) -> None:
    crops = {row: texture(row) for row in range(6)}
    scale_yaw(bulge(), chosen((-10.0, 0.0, 10.0), 2), crops, "cuda:7")
    assert detectors == ["cuda:7"]


def test_the_closed_loop_measures_where_the_device_says(
    detectors: list[str], model: LatentModel
) -> None:
    with pytest.raises((RuntimeError, AssertionError)):  # its own network goes there for real
        ClosedLoopEditing().move(request_on("cuda:7", model, "closed-loop"))
    LandmarkMeasure("cuda:7")
    assert detectors == ["cuda:7"]
    assert isinstance(by_landmarks(0, "cpu").read, YawEstimator)
    assert YawEstimator("cpu").device == torch.device("cpu")


def test_the_closed_loop_needs_images_of_the_clusters(model: LatentModel) -> None:
    request = replace(request_on("cpu", model, "closed-loop"), member_crops=None)
    with pytest.raises(SelectionError, match="images of the clusters"):
        ClosedLoopEditing().move(request)
