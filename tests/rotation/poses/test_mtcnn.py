"""The landmark detector: small images, mirrors, and yaws read off crops as the calibration does."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from rotation.poses.mtcnn import LandmarkDetector
from rotation.synthetic_heads.camera import CELEBA_VIEW
from rotation.synthetic_heads.renderer import render, render_view
from rotation.synthetic_heads.sampling import BENCHMARK_IDENTITY, sample_heads

HEADS = sample_heads(24, seed=7, first_identity=BENCHMARK_IDENTITY, yaw_range=(-35.0, 35.0))


@pytest.fixture(scope="module")
def detector() -> LandmarkDetector:
    return LandmarkDetector()


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (40, 3), (9, 11), (60, 60)])
def test_an_image_without_a_face_has_no_pose_to_trust(
    detector: LandmarkDetector, size: tuple[int, int]
) -> None:
    poses = detector.estimate([Image.new("RGB", size, (90, 90, 90))])
    assert poses.confidence[0] < 0.01


def test_yaws_of_crops_follow_the_truth(detector: LandmarkDetector) -> None:
    yaws = detector.estimate_crops(render(HEADS)).yaw_deg
    assert np.corrcoef(yaws, [head.yaw_deg for head in HEADS])[0, 1] > 0.9


def test_a_mirror_negates_the_yaw_of_crops_and_of_aligned_images(
    detector: LandmarkDetector,
) -> None:
    crops = render(HEADS[:6])
    aligned = render_view(HEADS[:6], CELEBA_VIEW)
    pairs = [
        (detector.estimate_crops(crops), detector.estimate_crops(crops[:, :, ::-1])),
        (
            detector.estimate([Image.fromarray(picture) for picture in aligned]),
            detector.estimate([Image.fromarray(picture[:, ::-1]) for picture in aligned]),
        ),
    ]
    for plain, mirrored in pairs:
        np.testing.assert_allclose(plain.yaw_deg, -mirrored.yaw_deg, atol=0.1)
        np.testing.assert_allclose(plain.confidence, mirrored.confidence, atol=0.01)
