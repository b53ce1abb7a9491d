"""Principal components of images: the subspace of a latent that decides the decoded image.

A DDIM latent is nearly white noise. The first decoding steps use little more than its projection
onto the leading principal components of the images. At signal level a and noise level sigma, the
best linear estimate of x_0 keeps component k, of variance lambda_k, with the factor

    lambda_k a^2 / (lambda_k a^2 + sigma^2)

On the bundled model, a latent reduced to 400 of 12,288 components still decodes to its image
(docs/experiments/closed-loop.md). The remaining components hold texture. The noise of a fitted
slope is equal in all dimensions, so projection onto the components removes most of it.
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
    """Compute orthonormal leading components of images and of their mirror images.

    Mirror-even and mirror-odd parts of the images get separate components. The covariance of
    images together with their mirror images has the same eigenvectors. So projection commutes
    with mirroring.

    Parameters:
        crops: images (n, S, S, 3), uint8.
        count: the number of components.
        seed: seed of the randomised decomposition.

    Returns:
        Rows (K, D), float32, with D = 3 S S in the order of a flattened latent (3, S, S). K is
        `count`, or less if there are few images.
    """
    images = crops.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    images -= (images.mean(axis=0) + images.mean(axis=0)[..., ::-1]) / 2
    found = []
    for sign in (1, -1):
        part = ((images + sign * images[..., ::-1]) / 2).reshape(len(images), -1)
        most = min(count, len(part))
        _, size, components = randomized_svd(part, most, n_iter=3, random_state=seed)
        rows = components.reshape(-1, *images.shape[1:])
        even = (rows + sign * rows[..., ::-1]).reshape(most, -1)  # removes rounding errors
        found.append((size, even / np.linalg.norm(even, axis=1, keepdims=True)))
    sizes, components = (np.concatenate(parts) for parts in zip(*found, strict=True))
    largest = np.argsort(-sizes, kind="stable")
    kept = largest[sizes[largest] > 1e-4 * sizes.max()][:count]
    return np.asarray(components[kept], dtype=np.float32)
