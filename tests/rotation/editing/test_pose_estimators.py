"""Pose estimators: taught by an image set and kept; MTCNN where there is too little to teach."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from rotation.data.sources import open_source
from rotation.editing import pose_estimators
from rotation.editing.pose_estimators import (
    LANDMARKS,
    TRAINED,
    AugmentedEstimator,
    PoseEstimators,
    TrainedEstimators,
    YawEstimator,
)
from rotation.editing.pose_network import PoseNetwork, augment, train_pose_network
from rotation.poses.source import PoseSource, poses_from_csv
from rotation.synthetic_heads.dataset import write_dataset
from rotation.synthetic_heads.renderer import render
from rotation.synthetic_heads.sampling import sample_heads

SIZE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("heads") / "set", 48)


@pytest.fixture(scope="module")
def unseen() -> tuple[torch.Tensor, np.ndarray]:
    people = sample_heads(40, 3, 2_300_000, (-35.0, 35.0))
    pixels = torch.from_numpy(render(people, SIZE)).permute(0, 3, 1, 2)
    return pixels.float() / 127.5 - 1, np.array([head.yaw_deg for head in people])


def estimators(
    folder: Path, cache: Path, steps: int = 3, book: PoseSource | None = None
) -> PoseEstimators:
    with open_source(folder) as images:
        source = TrainedEstimators(
            images, book or poses_from_csv(folder / "truth.csv"), cache, "cpu", steps
        )
        return source(SIZE, seed=0)


@pytest.fixture
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pose_estimators, "MIN_IMAGES", 40)


@pytest.mark.usefixtures("few_are_enough")
def test_another_process_gets_the_estimators_that_were_made(
    folder: Path, unseen: tuple[torch.Tensor, np.ndarray]
) -> None:
    with open_source(folder) as images:
        made = TrainedEstimators(images, poses_from_csv(folder / "truth.csv"), None, "cpu", 3)
        here = made(SIZE, seed=0)
        there = pickle.loads(pickle.dumps(made))(SIZE, seed=0)
    assert there.about == here.about == pose_estimators.TRAINED
    assert torch.equal(there.read(unseen[0]), here.read(unseen[0]))
    assert np.array_equal(there.measure(unseen[0]), here.measure(unseen[0]))


def test_a_mirror_negates_yaw_and_keeps_pitch(unseen: tuple[torch.Tensor, np.ndarray]) -> None:
    torch.manual_seed(0)
    network = PoseNetwork().eval()
    poses, mirrored = network(unseen[0]), network(unseen[0].flip(-1))
    assert poses.abs().max() > 0.01
    torch.testing.assert_close(mirrored[:, 0], -poses[:, 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(mirrored[:, 1], poses[:, 1], rtol=0, atol=1e-5)


def test_a_network_learns_the_yaw_of_people_it_has_not_seen(
    unseen: tuple[torch.Tensor, np.ndarray],
) -> None:
    people = sample_heads(160, 5, 2_400_000, (-40.0, 40.0))
    yaws, pitches = (np.array([getattr(h, f"{k}_deg") for h in people]) for k in ("yaw", "pitch"))
    network = train_pose_network(render(people, 32), yaws, pitches, steps=50)
    read = network(unseen[0])[:, 0].numpy()
    assert np.corrcoef(read, unseen[1])[0, 1] > 0.85
    assert np.abs(read - unseen[1]).mean() < 11


def test_the_same_seed_teaches_the_same_and_leaves_the_worlds_chance_alone() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    angles = np.linspace(-20, 20, 8)
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    first, second, other = (
        train_pose_network(crops, angles, angles / 2, seed, steps=2) for seed in (1, 1, 2)
    )
    torch.testing.assert_close(torch.rand(3), expected)
    weights = [network.layers[0].weight for network in (first, second, other)]
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)
    assert not torch.equal(weights[0], weights[2])


def test_variation_moves_and_recolours_but_keeps_what_it_is_not_asked_to_change() -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert (augment(images, torch.Generator().manual_seed(1)) - images).abs().mean() > 0.02
    kept = augment(images, torch.Generator().manual_seed(1), strength=0.0)
    torch.testing.assert_close(kept, images, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("few_are_enough")
def test_estimators_are_taught_once_and_kept(folder: Path, tmp_path: Path) -> None:
    first = estimators(folder, tmp_path)
    (kept,) = tmp_path.iterdir()
    written = kept.read_bytes()
    stamp = kept.stat().st_mtime_ns
    second = estimators(folder, tmp_path)
    assert kept.stat().st_mtime_ns == stamp
    assert first.about == second.about == TRAINED
    images = torch.zeros(2, 3, SIZE, SIZE)
    np.testing.assert_array_equal(first.measure(images), second.measure(images))

    kept.write_bytes(written[: len(written) // 2])  # a damaged file is as good as none
    third = estimators(folder, tmp_path)
    np.testing.assert_array_equal(first.measure(images), third.measure(images))
    assert kept.read_bytes() == written


@pytest.mark.usefixtures("few_are_enough")
def test_other_poses_teach_other_estimators(folder: Path, tmp_path: Path) -> None:
    estimators(folder, tmp_path)
    known = poses_from_csv(folder / "truth.csv").known
    mirrored = PoseSource({name: (-yaw, *others) for name, (yaw, *others) in known.items()})
    estimators(folder, tmp_path, book=mirrored)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.usefixtures("few_are_enough")
def test_replaced_images_teach_other_estimators(folder: Path, tmp_path: Path) -> None:
    """Poses of the user's own CSV stay the same when an image is replaced."""
    copy, cache = tmp_path / "set", tmp_path / "cache"
    shutil.copytree(folder, copy)
    estimators(copy, cache)
    first, second, *_ = sorted(copy.rglob("*.jpg"))
    first.write_bytes(second.read_bytes())
    estimators(copy, cache)
    assert len(list(cache.iterdir())) == 2


@pytest.mark.usefixtures("few_are_enough")
def test_the_estimator_has_a_gradient_and_the_measure_is_another_network(
    folder: Path, tmp_path: Path
) -> None:
    both = estimators(folder, tmp_path)
    images = torch.zeros(2, 3, SIZE, SIZE, requires_grad=True)
    poses = both.read(images)
    assert poses.shape == (2, 2)
    poses[:, 0].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().max() > 0
    assert isinstance(both.read, AugmentedEstimator)
    random = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    assert not np.allclose(both.measure(random), both.read(random).detach(), atol=1e-3)


def test_few_images_are_read_by_landmarks(
    folder: Path, tmp_path: Path, unseen: tuple[torch.Tensor, np.ndarray]
) -> None:
    found = estimators(folder, tmp_path)
    assert found.about == LANDMARKS
    assert isinstance(found.read, YawEstimator)
    assert not list(tmp_path.iterdir())
    images, yaws = unseen[0][:12], unseen[1][:12]
    assert np.corrcoef(found.measure(images)[:, 0], yaws)[0, 1] > 0.9


def test_images_without_a_pose_teach_nothing(folder: Path, tmp_path: Path) -> None:
    assert estimators(folder, tmp_path, book=PoseSource({})).about == LANDMARKS
