"""Measure reconstruction by smoothed inversion (`--embedding smooth`), and tune it.

It varies where between the times of a step the network is evaluated, and how far latents are
sharpened. It uses the last images of the set, which the bundled model of real faces has not seen.
Errors are mean squares in [0, 1], as decoded, and with the colours of the source restored.

Example:
    python benchmarks/smooth_latents.py $CELEBA --count 12
"""

from __future__ import annotations

import argparse
from pathlib import Path

import _project  # noqa: F401
import numpy as np
import torch

from rotation.diffusion.devices import bf16_is_faster, choose_device
from rotation.diffusion.latent_model import LatentModel
from rotation.imaging.colours import restore_colours
from rotation.imaging.images import to_pixels
from rotation.imaging.metrics import mean_square_error
from rotation.latents.encoders import InterpolatedInversionEncoder, SmoothedInversionEncoder
from rotation.training.images import last_crops

SHARES = (0.0, 0.25, 0.5, 0.7, 0.75, 1.0)
SHARPNESS = (0.0, 0.25, 0.5, 0.75, 1.0)


def row(name: str, model: LatentModel, images: torch.Tensor, z: torch.Tensor) -> str:
    """A line of the table: errors as decoded and recoloured, size of the latents."""
    wanted, again = to_pixels(images.numpy()), to_pixels(model.decode(z).numpy())
    pairs = zip(again, wanted, strict=True)
    coloured = np.concatenate([restore_colours(one[None], one, goal) for one, goal in pairs])
    errors = [mean_square_error(seen, wanted).mean() for seen in (again, coloured)]
    size = z.square().mean(dim=(1, 2, 3)).sqrt().mean()
    return f"| {name} | {errors[0]:.5f} | {errors[1]:.5f} | {size:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, help="CelebA's folder")
    parser.add_argument("--model", default="celeba-64", help="model folder or bundled name")
    parser.add_argument("--count", type=int, default=12)
    options = parser.parse_args()
    bf16 = bf16_is_faster(choose_device())
    model = LatentModel.load(options.model, bf16=bf16)
    images = last_crops(options.images, options.count, model.image_size)
    print("| latents | MSE | with colours | size |\n|---|---|---|---|")
    for share in SHARES:
        print(
            row(
                f"asked at {share:g}", model, images, SmoothedInversionEncoder(model, share)(images)
            ),
            flush=True,
        )
    for part in SHARPNESS:
        z = InterpolatedInversionEncoder(model, part)(images)
        print(row(f"{part:g} of the way to exact", model, images, z), flush=True)


if __name__ == "__main__":
    main()
