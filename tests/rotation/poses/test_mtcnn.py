"""The landmark detector: small images, mirrors, and yaws read off crops as the calibration does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from facenet_pytorch import MTCNN
from PIL import Image

from rotation.data.crop import CROP_BOX
from rotation.demo_faces.dataset import write_faces
from rotation.poses.mtcnn import MOST_PIXELS, LandmarkDetector
from rotation.synthetic_heads.camera import CELEBA_VIEW
from rotation.synthetic_heads.renderer import render, render_view
from rotation.synthetic_heads.sampling import BENCHMARK_IDENTITY, sample_heads

HEADS = sample_heads(24, seed=7, first_identity=BENCHMARK_IDENTITY, yaw_range=(-35.0, 35.0))


@pytest.fixture(scope="module")
def detector() -> LandmarkDetector:
    return LandmarkDetector()


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (40, 3), (9, 11), (60, 60), (178, 218)])
def test_an_image_without_a_face_has_no_pose_to_trust(
    detector: LandmarkDetector, size: tuple[int, int]
) -> None:
    poses = detector.estimate([Image.new("RGB", size, (90, 90, 90))])
    assert poses.confidence[0] < 0.01


def in_a_corner(picture: np.ndarray) -> Image.Image:
    """A picture of CelebA's shape with an aligned one in its upper left corner."""
    whole = Image.new("RGB", (356, 436), (120, 120, 120))
    whole.paste(Image.fromarray(picture), (0, 0))
    return whole


def test_a_face_elsewhere_is_found_although_the_shape_is_celebas(
    detector: LandmarkDetector,
) -> None:
    pictures = render_view(HEADS[:4], CELEBA_VIEW)
    aligned = detector.estimate([Image.fromarray(picture) for picture in pictures])
    elsewhere = detector.estimate([in_a_corner(picture) for picture in pictures])
    np.testing.assert_allclose(elsewhere.yaw_deg, aligned.yaw_deg, atol=8)
    assert elsewhere.is_trusted.all()


def test_the_crop_follows_the_face_and_not_the_shape(detector: LandmarkDetector) -> None:
    picture = render_view(HEADS[:1], CELEBA_VIEW)[0]
    assert detector.face_crop_box(Image.fromarray(picture)) == CROP_BOX
    assert detector.face_crop_box(in_a_corner(picture)) == (0, 40, 356, 396)
    # Without any face the shape is all that is known.
    assert detector.face_crop_box(Image.new("RGB", (178, 218), (90, 90, 90))) == CROP_BOX
    assert detector.face_crop_box(Image.fromarray(picture[:150])) == (14, 0, 164, 150)


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


def test_large_photographs_are_reduced_before_faces_are_looked_for(
    detector: LandmarkDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_faces(tmp_path, 1, None)
    (path,) = (tmp_path / "img_align_celeba").glob("*.jpg")
    face = Image.open(path).convert("RGB").resize((256, 256))
    large = face.resize((5120, 5120))
    seen: list[int] = []
    detect = MTCNN.detect

    def look(self: MTCNN, image: Image.Image, landmarks: bool = False) -> object:
        seen.append(image.width * image.height)
        return detect(self, image, landmarks)

    points, _ = detector.detect_by_cascade(face)
    monkeypatch.setattr(MTCNN, "detect", look)
    found, score = detector.detect_by_cascade(large)
    assert score > 0.9
    np.testing.assert_allclose(found / 20, points, atol=6)
    assert detector.count_faces(large) == 1
    assert len(seen) == 2
    assert max(seen) <= MOST_PIXELS
