"""Measure how turns look in the latents of the bundled model, and why one line is not enough.

The renderer turns heads, and each true render is encoded. Reported are the similarity of two
people's turns, the part of a latent that decides the decoded image, and the distance between the
latents of two nearly equal images.

Example:
    python benchmarks/latent_geometry.py --heads 24 --json
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import combinations

import _project  # noqa: F401
import numpy as np
import torch

from rotation.diffusion.latent_model import LatentModel
from rotation.directions.principal_components import principal_components
from rotation.evaluation.ground_truth import benchmark_heads
from rotation.imaging.images import from_pixels
from rotation.synthetic_heads.renderer import render
from rotation.synthetic_heads.sampling import sample_heads

TURN_DEG = 30.0
GALLERY = 2_400_000  # people whose pictures give the components


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", type=int, default=24)
    parser.add_argument("--pictures", type=int, default=1500, help="For the components.")
    parser.add_argument("--iterations", type=int, default=5, help="Corrections a step.")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    model = LatentModel.load(None, iterations=given.iterations, bf16=True)
    heads = benchmark_heads(given.heads, 1)
    images = {
        yaw: render([replace(head, yaw_deg=yaw) for head in heads], model.image_size)
        for yaw in (0.0, TURN_DEG)
    }
    latents = {yaw: encode(model, pixels) for yaw, pixels in images.items()}
    turns = latents[TURN_DEG] - latents[0.0]
    pictures = render(sample_heads(given.pictures, 77, GALLERY), model.image_size)
    found = {
        "heads": given.heads,
        "norm_of_a_latent": float(np.linalg.norm(latents[0.0], axis=1).mean()),
        "norm_of_a_turn_by_30": float(np.linalg.norm(turns, axis=1).mean()),
        "cosine_of_two_peoples_turns": mean_cosine(turns),
        "cosine_in_pixels": mean_cosine(rows(images[TURN_DEG]) - rows(images[0.0])),
        "cosine_after_noise_of_0.05": noise_cosine(model, images[0.0]),
        "mse_of_components_alone": components_alone(model, latents[0.0], images[0.0], pictures),
    }
    print(
        json.dumps(found, indent=2)
        if given.json
        else "\n".join(f"{k}: {v}" for k, v in found.items())
    )


def encode(model: LatentModel, pixels: np.ndarray) -> np.ndarray:
    return model.encode(torch.from_numpy(from_pixels(pixels))).numpy().reshape(len(pixels), -1)


def rows(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(len(pixels), -1).astype(np.float64)


def mean_cosine(vectors: np.ndarray) -> float:
    """Over all pairs."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return float(np.mean([unit[a] @ unit[b] for a, b in combinations(range(len(unit)), 2)]))


def noise_cosine(model: LatentModel, pixels: np.ndarray) -> float:
    """Between the latents of one picture with two draws of noise of 0.05 in [-1, 1]."""
    rng = np.random.default_rng(0)
    images = from_pixels(pixels)
    two = [
        model.encode(
            torch.from_numpy((images + rng.normal(0, 0.025, images.shape)).astype(np.float32))
        ).flatten(1)
        for _ in range(2)
    ]
    return float(torch.nn.functional.cosine_similarity(*two).mean())


def components_alone(
    model: LatentModel, latents: np.ndarray, pixels: np.ndarray, pictures: np.ndarray
) -> dict[str, float]:
    """Error of the picture in [0, 1] decoded from its latent's leading components alone."""
    components = principal_components(pictures, 400)
    target = from_pixels(pixels)
    errors = {}
    for count in (50, 100, 400, latents.shape[1]):
        kept = latents if count > len(components) else project(latents, components[:count])
        z = torch.from_numpy(np.ascontiguousarray(kept, np.float32)).view(target.shape)
        errors[str(count)] = float(np.square(model.decode(z).numpy() - target).mean())
    return errors


def project(vectors: np.ndarray, components: np.ndarray) -> np.ndarray:
    """The part of vectors (..., D) within the span of orthonormal components (K, D)."""
    return np.asarray((vectors @ components.T) @ components, dtype=np.float64)


if __name__ == "__main__":
    main()
