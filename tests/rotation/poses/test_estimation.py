"""Angles from five landmarks: known rotations, mirrors, signs, files."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotation.errors import DatasetError
from rotation.poses.estimation import MEAN_FACE, estimate_poses, mirror_landmarks
from rotation.poses.pose_cache import (
    CachedPose,
    append_to_pose_cache,
    read_pose_cache,
    revise_pose_cache,
)
from rotation.poses.pose_csv import read_poses
from rotation.synthetic_heads.marks import landmarks
from rotation.synthetic_heads.sampling import BENCHMARK_IDENTITY, sample_heads
from tests.head_rotation import rotation_matrices
from tests.names import AWKWARD_NAMES

angle = st.floats(-40, 40)


def picture_of(yaw: float, pitch: float, roll: float, scale: float = 19.0) -> np.ndarray:
    """The mean face turned, in pixels (1, 5, 2)."""
    turned = MEAN_FACE @ rotation_matrices(np.deg2rad([[yaw, pitch, roll]]))[0].T
    return (turned[None, :, :2] * [1, -1]) * scale + [88.0, 111.0]


@settings(deadline=None, max_examples=40)
@given(angle, st.floats(-25, 25), st.floats(-30, 30), st.floats(0.5, 300))
def test_recovers_a_rotation_at_any_scale(
    yaw: float, pitch: float, roll: float, scale: float
) -> None:
    poses = estimate_poses(picture_of(yaw, pitch, roll, scale))
    found = [poses.yaw_deg[0], poses.pitch_deg[0], poses.roll_deg[0]]
    np.testing.assert_allclose(found, [yaw, pitch, roll], atol=0.05)
    assert poses.confidence[0] > 0.99


def test_signs() -> None:
    face = picture_of(0, 0, 0)
    right, lower = face.copy(), face.copy()
    right[0, 2, 0] += 5  # the nose moves to the right of the picture
    lower[0, 2, 1] -= 5  # the nose moves up
    assert estimate_poses(right).yaw_deg[0] > 5
    assert estimate_poses(lower).pitch_deg[0] > 5
    clockwise = face[..., ::-1] * [-1, 1]  # x' = -y, y' = x: a quarter turn clockwise as seen
    assert estimate_poses(clockwise).roll_deg[0] == pytest.approx(90)
    assert np.abs(estimate_poses(face).yaw_deg[0]) < 1e-9


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.floats(0, 6))
def test_mirror_negates_to_the_last_bit(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    points = picture_of(*rng.uniform(-30, 30, 3)) + noise * rng.standard_normal((1, 5, 2))
    plain, flipped = estimate_poses(points), estimate_poses(mirror_landmarks(points))
    assert plain.yaw_deg[0] == -flipped.yaw_deg[0]
    assert plain.roll_deg[0] == -flipped.roll_deg[0]
    assert plain.pitch_deg[0] == flipped.pitch_deg[0]
    assert plain.confidence[0] == flipped.confidence[0]


def test_mirrors_of_many_faces_negate_to_the_last_bit_in_any_layout() -> None:
    rng = np.random.default_rng(2)
    points = np.concatenate([picture_of(*rng.uniform(-30, 30, 3)) for _ in range(50)])
    points += rng.normal(0, 4, points.shape)
    plain = estimate_poses(points)
    for flipped in (mirror_landmarks(points), np.asfortranarray(mirror_landmarks(points))):
        found = estimate_poses(flipped)
        np.testing.assert_array_equal(found.yaw_deg, -plain.yaw_deg)
        np.testing.assert_array_equal(found.roll_deg, -plain.roll_deg)
        np.testing.assert_array_equal(found.pitch_deg, plain.pitch_deg)
        np.testing.assert_array_equal(found.confidence, plain.confidence)


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    points = np.concatenate([picture_of(yaw, 3, 0) for yaw in (-30, 0, 20)])
    together = estimate_poses(points).yaw_deg
    alone = [estimate_poses(points[i : i + 1]).yaw_deg[0] for i in range(3)]
    np.testing.assert_allclose(together, alone, atol=1e-9)


def test_confidence_falls_with_the_misfit() -> None:
    points = picture_of(10, 0, 0)
    bent = points + np.array([[[0, 0], [0, 0], [0, 0], [0, 18], [0, -18]]])
    assert estimate_poses(bent).confidence[0] < 0.8 * estimate_poses(points).confidence[0]


def test_one_landmark_far_off_hardly_pulls_the_others() -> None:
    """Eyes and corners of the mouth in turn, 0.45 half eye distances off; the nose says too much.

    Plain least squares errs by 3.8 degrees in yaw and 3.6 in roll on these.
    """
    yaws = np.repeat([-25.0, 0.0, 25.0], 4)
    off = np.concatenate([picture_of(yaw, 4, 0) for yaw in yaws])
    off[np.arange(12), [0, 1, 3, 4] * 3] += [5, 7]
    pulled = estimate_poses(off)
    assert np.abs(pulled.yaw_deg - yaws).mean() < 2.5
    assert np.abs(pulled.roll_deg).mean() < 2.5
    assert pulled.confidence.max() < 0.7


def test_no_landmarks_no_pose() -> None:
    points = np.concatenate([np.full((1, 5, 2), np.nan), picture_of(5, 0, 0), np.ones((1, 5, 2))])
    poses = estimate_poses(points)
    assert np.isnan(poses.yaw_deg).tolist() == [True, False, True]
    assert poses.confidence[0] == poses.confidence[2] == 0


def test_refuses_another_shape() -> None:
    with pytest.raises(DatasetError, match=r"\(N, 5, 2\)"):
        estimate_poses(np.zeros((5, 2)))


def test_agrees_with_the_truth_of_synthetic_heads() -> None:
    heads = sample_heads(300, seed=3, first_identity=BENCHMARK_IDENTITY)
    truth = np.array([head.yaw_deg for head in heads])
    poses = estimate_poses(landmarks(heads))
    assert np.corrcoef(truth, poses.yaw_deg)[0, 1] > 0.99
    assert np.abs(poses.yaw_deg - truth).mean() < 4
    roll = np.array([head.roll_deg for head in heads])
    assert np.abs(poses.roll_deg - roll).mean() < 2


def measured(yaw: float, content: str = "12-00ff00ff") -> CachedPose:
    return CachedPose((yaw, -3.0, 0.25, 0.9), content)


def test_a_file_of_poses_goes_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "poses.csv"
    faceless = CachedPose((float("nan"),) * 3 + (0.0,), "9-00000001")
    append_to_pose_cache(path, {"a.png": measured(10.5)})
    append_to_pose_cache(path, {"b.png": faceless})
    poses = read_poses(path)
    assert poses["a.png"] == (10.5, -3.0, 0.25, 0.9)
    assert np.isnan(poses["b.png"][0])
    assert poses["b.png"][3] == 0
    assert read_pose_cache(path)["a.png"] == measured(10.5)
    assert read_pose_cache(path)["b.png"].content == "9-00000001"


def test_rows_are_added_to_a_file_of_before_fingerprints(tmp_path: Path) -> None:
    path = tmp_path / "poses.csv"
    path.write_text("filename,yaw_deg,pitch_deg,roll_deg,confidence\na.png,10.5,-3,0.25,0.9\nb.pn")
    append_to_pose_cache(path, {"b.png": measured(1.0)})
    append_to_pose_cache(path, {"c.png": measured(2.0)})
    assert read_pose_cache(path) == {
        "a.png": measured(10.5, ""),
        "b.png": measured(1.0),
        "c.png": measured(2.0),
    }
    assert list(read_poses(path)) == ["a.png", "b.png", "c.png"]
    assert {line.count(",") for line in path.read_text().splitlines()} == {5}


def test_awkward_names_of_images_with_poses_survive(tmp_path: Path) -> None:
    path = tmp_path / "poses.csv"
    rows = {name: measured(number / 100) for number, name in enumerate(AWKWARD_NAMES)}
    append_to_pose_cache(path, rows)
    assert read_pose_cache(path) == rows
    assert {name: pose[0] for name, pose in read_poses(path).items()} == {
        name: row.pose[0] for name, row in rows.items()
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename,pitch_deg\na,1\n", "line 1: the column 'yaw_deg' is missing"),
        ("filename,yaw_deg\na,1\na,2\n", "line 3, column 'filename': 'a' stands in line 2 already"),
        ("filename,yaw_deg\n,1\n", "line 2, column 'filename': the filename is empty"),
        ("filename,yaw_deg\na,left\n", "line 2, column 'yaw_deg': 'left' is no number"),
        ("filename,yaw_deg,confidence\na,1,sure\n", "column 'confidence': 'sure' is no number"),
        (
            "filename,yaw_deg\na,270\n",
            "line 2, column 'yaw_deg': '270' is out of range. Numbers from -180 to",
        ),
        (
            "filename,yaw_deg,confidence\na,1,7\n",
            "line 2, column 'confidence': '7' is out of range. Numbers from 0 to 1 are",
        ),
    ],
)
def test_refuses_a_file_of_poses_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "poses.csv"
    path.write_text(text)
    with pytest.raises(DatasetError) as error:
        read_poses(path)
    assert message in str(error.value)


def test_a_torn_line_is_measured_again_and_a_name_measured_twice_is_no_fault(
    tmp_path: Path,
) -> None:
    path = tmp_path / "poses.csv"
    append_to_pose_cache(path, {"a.png": measured(-12.5)})
    whole = path.read_bytes()
    append_to_pose_cache(path, {"b.png": measured(-12.5)})
    for size in range(len(whole), path.stat().st_size):
        torn = tmp_path / f"{size}.csv"
        torn.write_bytes(path.read_bytes()[:size])
        assert list(read_pose_cache(torn)) == ["a.png"]
        append_to_pose_cache(torn, {"b.png": measured(-12.5)})
        assert torn.read_bytes() == path.read_bytes()
    append_to_pose_cache(path, {"a.png": measured(7.0)})
    assert read_pose_cache(path)["a.png"].pose[0] == 7
    with pytest.raises(DatasetError, match=r"line 4.*stands in line 2 already"):
        read_poses(path)


def test_a_header_cut_short_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "poses.csv"
    path.write_text("filename,ya")
    assert read_pose_cache(path) == {}
    append_to_pose_cache(path, {"a.png": measured(1.0)})
    assert list(read_poses(path)) == ["a.png"]


def test_poses_that_cannot_be_written_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be written"):
        append_to_pose_cache(tmp_path, {"a.png": measured(0.0)})


def test_processes_that_add_and_revise_at_once_lose_no_row(tmp_path: Path) -> None:
    path = tmp_path / "poses.csv"
    append_to_pose_cache(path, {"first.png": measured(0.0)})
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=add_and_revise, args=(path, k)) for k in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    names = {f"{k}-{n}.png" for k in range(3) for n in range(40)}
    assert set(read_poses(path)) == names | {"first.png"}
    assert read_pose_cache(path)["first.png"].pose[0] == 120


def add_and_revise(path: Path, worker: int) -> None:
    def count(rows: dict[str, CachedPose]) -> None:
        rows["first.png"] = measured(rows["first.png"].pose[0] + 1)

    for n in range(40):
        append_to_pose_cache(path, {f"{worker}-{n}.png": measured(float(n))})
        revise_pose_cache(path, count)
