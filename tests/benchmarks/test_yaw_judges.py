"""The judges of yaw, on faces whose yaw is known."""

from __future__ import annotations

import numpy as np
import pytest
from _yaw_judges import MIRRORED_5, MIRRORED_68, SIDE, fit_calibration, read_points

from rotation.synthetic_heads.renderer import render
from rotation.synthetic_heads.sampling import BENCHMARK_IDENTITY, sample_heads

ORDERS = {5: MIRRORED_5, 68: MIRRORED_68}


def faces(count: int, points: int, seed: int, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, P, 2) of one symmetric face at random yaws, sizes, places and rolls; the yaws."""
    rng, order = np.random.default_rng(1), ORDERS[points]
    shape = rng.uniform(-1, 1, (points, 3))
    shape = (shape + shape[order] * (-1, 1, 1)) / 2
    eyes = ([0], [1]) if points == 5 else (range(36, 42), range(42, 48))
    shape[list(eyes[0])] += (-1.5, -1, 0)
    shape[list(eyes[1])] += (1.5, -1, 0)
    rng = np.random.default_rng(seed)
    yaws = rng.uniform(-40, 40, count)
    rows = []
    for yaw, roll in zip(np.radians(yaws), rng.normal(0, 0.05, count), strict=True):
        flat = np.stack(
            [shape[:, 0] * np.cos(yaw) + shape[:, 2] * np.sin(yaw), shape[:, 1]], axis=1
        )
        flat = flat @ np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
        rows.append(rng.uniform(20, 60) * flat + rng.uniform(90, 160, 2))
    found = np.array(rows)
    return found + rng.normal(0, noise, found.shape), yaws


@pytest.mark.parametrize("points", [5, 68])
def test_a_calibrated_judge_reads_other_pictures_of_the_face(points: int) -> None:
    fit = fit_calibration(*faces(300, points, seed=2, noise=0.3))
    unseen, yaws = faces(100, points, seed=3, noise=0.3)
    error = np.abs(fit.yaw_deg(unseen) - yaws)
    assert error.mean() < 1.5
    assert np.polyfit(yaws, fit.yaw_deg(unseen), 1)[0] == pytest.approx(1, abs=0.05)


def test_pictures_with_wrong_points_do_not_spoil_a_calibration() -> None:
    points, yaws = faces(300, 68, seed=2, noise=0.3)
    points[:15] = points[15:30]
    unseen, truth = faces(100, 68, seed=3)
    assert np.abs(fit_calibration(points, yaws).yaw_deg(unseen) - truth).mean() < 2


@pytest.mark.parametrize("points", [5, 68])
def test_a_mirrored_face_has_the_negated_yaw(points: int) -> None:
    fit = fit_calibration(*faces(300, points, seed=2))
    seen, _ = faces(50, points, seed=4, noise=1.0)
    mirrored = seen[:, ORDERS[points]] * (-1, 1) + (255, 0)
    np.testing.assert_allclose(fit.yaw_deg(mirrored), -fit.yaw_deg(seen), atol=1e-9)


@pytest.mark.parametrize("judge", ["68 points", "MTCNN"])
def test_points_of_a_mirrored_picture_are_mirrored(judge: str) -> None:
    if judge == "68 points":
        pytest.importorskip("dlib", reason="needs `make judge`")
    picture = render(sample_heads(1, seed=7, first_identity=BENCHMARK_IDENTITY), SIDE)
    seen = read_points(picture, [judge])[judge][0]
    flipped = np.ascontiguousarray(picture[:, :, ::-1])
    edge = SIDE if judge == "MTCNN" else SIDE - 1  # dlib counts from the middle of pixels
    mirrored = read_points(flipped, [judge])[judge][0][ORDERS[len(seen)]] * (-1, 1) + (edge, 0)
    np.testing.assert_allclose(mirrored, seen, atol=0.01)
    assert np.ptp(seen, axis=0).min() > 40, "the points must lie on a face, not in one place"
