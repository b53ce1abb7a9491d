"""Yaw learned from the clusters themselves, for measuring frames that a gradient has shaped.

What `YawReader` reads is what the closed loop pushes, so it cannot be the judge of how far a frame
has turned. This measure shares nothing with it: a kernel ridge regression of the members' known
yaws on the leading components of their pictures.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.kernel_ridge import KernelRidge

from rotation.images import Pixels
from rotation.subspace import principal_components

COMPONENTS = 50
FEWEST = 100
"""Images from which on the measure is worth more than the landmark detector."""

_PENALTY, _WIDTH = 0.05, 0.3  # mean error on unseen true renders: 3.2 degrees with 300 images


class YawMeasure:
    """Measures yaws in degrees of images like those it was given.

    Parameters:
        crops: (n, S, S, 3), each taken as it is and mirrored. yaws_deg: their yaws (n,).
    """

    def __init__(self, crops: Pixels, yaws_deg: NDArray[np.floating]) -> None:
        self._components = principal_components(crops, COMPONENTS)
        both = np.concatenate([crops, crops[:, :, ::-1]]).transpose(0, 3, 1, 2)
        images = both.astype(np.float32) / 127.5 - 1
        features = self._project(images)
        # Half whitened: leading components are background and light, yaw sits further down.
        self._scale = np.sqrt(np.maximum(features.std(axis=0), 1e-6))
        self._mean = features.mean(axis=0)
        known = (features - self._mean) / self._scale
        width = _WIDTH / (known.var() * known.shape[1])
        self._fit = KernelRidge(alpha=_PENALTY, kernel="rbf", gamma=width)
        self._fit.fit(known, np.concatenate([yaws_deg, -np.asarray(yaws_deg)]))

    def __call__(self, images: torch.Tensor) -> NDArray[np.float64]:
        """Yaws (N,) of images (N, 3, S, S) in [-1, 1]."""
        pixels = images.detach().cpu().clamp(-1, 1).numpy()
        plain, mirrored = (
            self._fit.predict((self._project(view) - self._mean) / self._scale)
            for view in (pixels, pixels[..., ::-1])
        )
        return np.asarray((plain - mirrored) / 2, dtype=np.float64)

    def _project(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(images.reshape(len(images), -1) @ self._components.T, dtype=np.float32)
