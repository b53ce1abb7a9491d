"""Measures of frames, on pictures for which the answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from _picture_measures import (
    best_shift,
    face_mask,
    flicker,
    gradient_energy,
    head_mask,
    masked_psnr,
    rendered_source,
    rendered_truth,
    shifted,
)
from scipy.ndimage import gaussian_filter

from rotation.synthetic_heads.sampling import sample_heads


def texture(side: int = 80, seed: int = 0) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 2)
    grey = np.clip(128 + 50 * noise / noise.std(), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


WHOLE = np.ones((80, 80), dtype=bool)


def test_a_blurred_picture_has_less_gradient_energy_and_a_sharpened_one_more() -> None:
    picture = texture()
    soft = gaussian_filter(picture.astype(float), (1, 1, 0))
    sharp = np.clip(2 * picture - soft, 0, 255).astype(np.uint8)
    plain = gradient_energy(picture, WHOLE)
    assert gradient_energy(soft.astype(np.uint8), WHOLE) < 0.8 * plain
    assert gradient_energy(sharp, WHOLE) > 1.1 * plain
    assert gradient_energy((picture // 2 + 60).astype(np.uint8), WHOLE) == pytest.approx(
        plain / 4, rel=0.1
    )


def test_the_mask_of_a_face_keeps_its_rim_out() -> None:
    square = np.array([[10.0, 10.0], [50.0, 10.0], [50.0, 50.0], [10.0, 50.0], [30.0, 30.0]])
    whole, inside = face_mask(square, (80, 80)), face_mask(square, (80, 80), 0.5)
    assert whole.sum() == pytest.approx(41**2, rel=0.03)
    assert inside.sum() == pytest.approx(21**2, rel=0.05)
    assert not (inside & ~whole).any()
    head = head_mask(square, (80, 80))
    assert head.sum() > whole.sum()
    assert head[:10].any(), "hair lies above the face"


def test_psnr_counts_within_the_mask_alone() -> None:
    picture, other = texture(), texture()
    other[:40] = 0
    assert masked_psnr(picture, picture, WHOLE) == 100
    lower = WHOLE.copy()
    lower[:40] = False
    assert masked_psnr(picture, other, lower) == 100
    assert masked_psnr(picture, other, WHOLE) < 12
    assert np.isnan(masked_psnr(picture, other, ~WHOLE))
    assert masked_psnr(picture, picture - 10 * (picture > 9), WHOLE) == pytest.approx(28.1, abs=0.1)


def test_the_best_shift_undoes_a_shift() -> None:
    picture = texture()
    middle = np.zeros_like(WHOLE)
    middle[15:65, 15:65] = True
    assert best_shift(shifted(picture, (-1, 4)), picture, middle) == (1, -4)


def test_motion_does_not_flicker_and_changes_of_brightness_do() -> None:
    picture = texture(96)
    inner = np.zeros((96, 96), dtype=bool)
    inner[20:76, 20:76] = True
    still = np.stack([picture] * 4)
    moving = np.stack([shifted(picture, (0, step)) for step in range(4)])
    rng = np.random.default_rng(0)
    noisy = np.clip(still + rng.normal(0, 8, still.shape), 0, 255).astype(np.uint8)
    unwarped = np.abs(moving[1:].astype(float) - moving[:-1])[:, inner].mean()
    assert flicker(still, inner) == 0
    assert flicker(moving, inner) < 0.25 * unwarped
    assert flicker(noisy, inner) > 3


def test_nothing_is_newly_visible_in_a_head_that_did_not_turn() -> None:
    head = replace(sample_heads(1, seed=3)[0], yaw_deg=0.0)
    picture, shown, new = rendered_truth(head, 0.0)
    np.testing.assert_array_equal(picture, rendered_source(head))
    assert 0.1 < shown.mean() < 0.9
    assert new.sum() == 0


def test_a_head_that_turns_right_shows_more_of_its_left_side() -> None:
    """Positive yaw looks towards the viewer's right: the cheek at the left comes into view."""
    head = replace(sample_heads(1, seed=3)[0], yaw_deg=0.0)
    rows, columns = np.nonzero(rendered_truth(head, 30.0)[2])
    other = np.nonzero(rendered_truth(head, -30.0)[2])[1]
    assert len(rows) > 100
    assert np.median(columns) < 80
    assert np.median(other) > 96
