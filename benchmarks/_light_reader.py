"""Features of the light for the benchmarks: the face is looked for in each picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from labeler.light_classifier.face_features import Features, face_features
from labeler.light_classifier.mirror_logistic import MirrorLogistic
from rotation.faces.face_pairs import find_pairs, read_pair, read_variant

BATCH = 32
NO_FACE = -1


def light_features(pictures: Sequence[np.ndarray]) -> Features:
    """Features (N, N_FEATURES) of pictures (H, W, 3) uint8; NaN where no face was found."""
    parts = [
        face_features([read_pair(pair) for pair in find_pairs(images)])
        for images in _batches(pictures)
    ]
    return np.concatenate(parts)


def light_classes(model: MirrorLogistic, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """The label (N,) that a model gives each picture: 0, 1 or 2; `NO_FACE` where none was found."""
    features = light_features(pictures)
    found = np.isfinite(features).all(axis=1)
    return np.where(found, model.predict(features).argmax(axis=1), NO_FACE)


def features_with_variants(pictures: Sequence[np.ndarray], variants: int) -> Features:
    """Features (1 + variants, N, N_FEATURES) of pictures and of variants with the same light."""
    parts = []
    for start, images in enumerate(_batches(pictures)):
        pairs = find_pairs(images)
        rngs = [np.random.default_rng((0, start * BATCH + row)) for row in range(len(pairs))]
        rows = [face_features([read_pair(pair) for pair in pairs])]
        rows += [
            face_features([read_variant(pair, rng) for pair, rng in zip(pairs, rngs, strict=True)])
            for _ in range(variants)
        ]
        parts.append(np.stack(rows))
    return np.concatenate(parts, axis=1)


def _batches(pictures: Sequence[np.ndarray]) -> list[list[Image.Image]]:
    images = [Image.fromarray(picture) for picture in pictures]
    return [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
