"""The kinds of features that models were fitted to, and what they have in common.

Features are (N, 2 K): first K odd numbers, which a mirror negates, then K even ones, which a mirror
does not change. A row of NaN is an image without a face.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labeler.light_classifier import crop_features, face_features

Features = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FeatureKind:
    """A kind of features.

    Attributes:
        name: `crop`, `cells` or `face`.
        n_odd: odd numbers K, and as many even ones.
        typical: returns features (3, 2 K) of average rendered heads lit from left, front, right.
    """

    name: str
    n_odd: int
    typical: Callable[[], Features]

    @property
    def n_features(self) -> int:
        """The length 2 K of a row."""
        return 2 * self.n_odd


CROP = FeatureKind("crop", crop_features.N_ODD, crop_features.typical_features)
FACE = FeatureKind("face", face_features.N_ODD, face_features.typical_features)


def without_contrast(features: Features) -> Features:
    """Return features of a face (N, 2 K) as models of `CELLS` know them."""
    contrast = face_features.N_PLAIN
    return np.delete(features, (contrast, FACE.n_odd + contrast), axis=-1)


CELLS = FeatureKind(
    "cells", FACE.n_odd - 1, lambda: without_contrast(face_features.typical_features())
)
"""Features of a face without the contrast of its halves, of the method `mirror-logistic-3`."""
KINDS = (CROP, CELLS, FACE)


def kind_of(features: Features) -> FeatureKind:
    """Return the kind of features (N, 2 K), which their length tells.

    Raises:
        ValueError: they are of no kind.
    """
    for kind in KINDS:
        if features.ndim == 2 and features.shape[1] == kind.n_features:
            return kind
    lengths = " or ".join(str(kind.n_features) for kind in KINDS)
    raise ValueError(f"features of shape (N, {lengths}) are needed, not {features.shape}")


def as_kind(features: Features, n_features: int) -> Features:
    """Return features of a face as a model of so many features knows them.

    Features of `FACE` hold those of `CELLS`. All others are returned unchanged.
    """
    wants_cells = n_features == CELLS.n_features
    if wants_cells and features.ndim == 2 and features.shape[1] == FACE.n_features:
        return without_contrast(features)
    return features


def mirror_features(features: Features) -> Features:
    """Return the features (N, 2 K) of the mirrored images."""
    half = features.shape[1] // 2
    return np.concatenate([-features[:, :half], features[:, half:]], axis=1)
