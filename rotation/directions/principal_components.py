"""The part of a latent that a decoder looks at: the principal components of its images.

A DDIM latent is nearly white, yet the first steps of decoding read little more than its
projections onto the leading principal components of the images: at signal a and noise sigma the
best linear guess of x_0 keeps component k, of variance lambda_k, to the share
lambda_k a^2 / (lambda_k a^2 + sigma^2). On the bundled model a latent cut down to 400 components
of 12,288 still decodes to its image (docs/experiments/closed-loop.md); the rest is texture. A
slope fitted to latents carries as much noise in each dimension, so keeping the components alone
keeps the signal and drops most of the noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from rotation.data.crop import Pixels

COMPONENTS = 400


def principal_components(
    crops: Pixels, count: int = COMPONENTS, seed: int = 0
) -> NDArray[np.float32]:
    """Orthonormal leading components (K, D) of images (n, S, S, 3) and their mirror images.

    Coordinates are those of latents, (3, S, S) in a row; K is `count` or, of few images, fewer.
    Mirror-even and mirror-odd parts of the images have components of their own, which is what the
    covariance of images and mirror images together has, so projection commutes with mirroring.
    """
    images = crops.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    images -= (images.mean(axis=0) + images.mean(axis=0)[..., ::-1]) / 2
    found = []
    for sign in (1, -1):
        part = ((images + sign * images[..., ::-1]) / 2).reshape(len(images), -1)
        most = min(count, len(part))
        _, size, components = randomized_svd(part, most, n_iter=3, random_state=seed)
        rows = components.reshape(-1, *images.shape[1:])
        even = (rows + sign * rows[..., ::-1]).reshape(most, -1)  # exactly, not but for rounding
        found.append((size, even / np.linalg.norm(even, axis=1, keepdims=True)))
    sizes, components = (np.concatenate(parts) for parts in zip(*found, strict=True))
    largest = np.argsort(-sizes, kind="stable")
    kept = largest[sizes[largest] > 1e-4 * sizes.max()][:count]
    return np.asarray(components[kept], dtype=np.float32)
