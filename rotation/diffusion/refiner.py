"""The refiner: a diffusion network that sees a damaged picture and draws a sound one.

It takes eight planes: the noisy image (3), and four guides: the damaged image (3), which of its
pixels are known (1), and the yaw of the head (1, the same everywhere). Pixel blocks of all planes
are stacked as channels, as in other networks. It is taught by heads that were turned forth and back
(`rotation.geometry.return_trip`), so it draws what a turn could not show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import interpolate

from rotation.diffusion.ddim import Denoiser
from rotation.diffusion.denoising import Denoising, build_denoising, load_denoising
from rotation.diffusion.devices import choose_device
from rotation.diffusion.inpainting import InpaintingPlan, inpaint_images
from rotation.diffusion.model_folder import find_model

PLANES = 8
FOLDER = "refiner"
"""Its folder in the folder of the model that it belongs to."""

MOST_NOISE = 0.85
"""The share of the schedule that it is trained for: sampling starts from a first guess."""
STEPS = 14
"""Of the sampler, over the whole schedule."""


@dataclass(frozen=True)
class Refiner:
    """A refiner, ready to draw.

    Attributes:
        denoising: its network, which takes `PLANES` planes.
    """

    denoising: Denoising

    @classmethod
    def load(
        cls, model: Path | str | None, device: str = "auto", bf16: bool = False
    ) -> Refiner | None:
        """The refiner in the folder `refiner/` of a model; None if the model has none.

        Raises:
            ModelError: there is no such model, or its refiner is damaged.
        """
        folder = find_model(model) / FOLDER
        if not folder.is_dir():
            return None
        return cls(load_denoising(folder, choose_device(device), bf16, PLANES))

    @property
    def image_size(self) -> int:
        """The side S of its images."""
        return self.denoising.image_size

    def guided(self, guides: torch.Tensor) -> Denoiser:
        """The noise in images (N, 3, S, S) at a timestep, for the guides (N, 5, S, S) of each."""

        def eps(x: torch.Tensor, time: int) -> torch.Tensor:
            output = self.denoising.predict_at(torch.cat([x, guides], dim=1), time)
            return self.denoising.to_noise(x, output, time)

        return eps

    def draw(
        self,
        images: torch.Tensor,
        known: torch.Tensor,
        yaws_deg: torch.Tensor,
        guesses: torch.Tensor | None = None,
        start: float = MOST_NOISE,
        seed: int = 0,
    ) -> torch.Tensor:
        """Images with their unknown pixels drawn, (N, 3, S, S) in [0, 1], on the CPU.

        Parameters:
            images: (N, 3, S, S), damaged, 0 to 1.
            known: (N, 1, S, S), 1 where pixels are held, 0 where they are drawn.
            yaws_deg: (N,), of the heads.
            guesses: (N, 3, S, S), 0 to 1, what sampling starts from; None: `images`.
            start: the share of the schedule to start at. The less, the more of a guess is kept.
            seed: of the noise, which is the same for all images.
        """
        first = images if guesses is None else known * images + (1 - known) * guesses
        guides = stack_guides(images, known, yaws_deg).to(self.denoising.device)
        return inpaint_images(
            lambda rows: self.guided(guides[rows]),
            first,
            known,
            self.denoising.schedule,
            InpaintingPlan(start, STEPS),
            self.denoising.device,
            seed,
        )


def stack_guides(images: torch.Tensor, known: torch.Tensor, yaws_deg: torch.Tensor) -> torch.Tensor:
    """The guides (N, 5, S, S) of images.

    Parameters:
        images: (N, 3, S, S), damaged, 0 to 1.
        known: (N, 1, S, S), 1 where pixels are known, 0 where not.
        yaws_deg: (N,), of the heads.
    """
    yaw = (yaws_deg / 90).clamp(-1, 1)[:, None, None, None].expand_as(known)
    return torch.cat([images * 2 - 1, known * 2 - 1, yaw.to(known)], dim=1)


def begin_refiner(
    start: Denoising, config: Mapping[str, Any], scheduler: Mapping[str, Any]
) -> Denoising:
    """A refiner's network that knows what a smaller diffusion network knows of faces.

    Only the first and last layers differ in shape. At first the network gives what `start` gives
    for the image at the resolution of `start`, and ignores the guides. A network that predicts
    velocities is negated if the refiner predicts images: v = a eps - sigma x_0 is -x_0 where noise
    prevails. Training has to correct the rest.

    Parameters:
        start: a network with the same layers.
        config, scheduler: the diffusers configs of the refiner.
    """
    new = build_denoising(dict(config), dict(scheduler))
    weights, known = new.unet.state_dict(), start.unet.state_dict()
    old, side = start.patch, new.patch
    coarse = side // old
    with torch.no_grad():
        first = known["conv_in.weight"]  # (C, 3 old^2, 3, 3)
        wide = _spread(first.transpose(0, 1), old, side).transpose(0, 1) / coarse**2
        weights["conv_in.weight"].zero_()
        weights["conv_in.weight"][:, : wide.shape[1]] = wide
        negated = (start.prediction, new.prediction) == ("v_prediction", "sample")
        for name in ("conv_out.weight", "conv_out.bias"):
            last = _spread(known[name], old, side)
            weights[name].copy_(-last if negated else last)
    same = {k: v for k, v in known.items() if k.partition(".")[0] != "conv_out"}
    same.pop("conv_in.weight")
    new.unet.load_state_dict(weights | same)
    return new


def _spread(values: torch.Tensor, old: int, side: int) -> torch.Tensor:
    """Values (3 old^2, ...) of stacked pixel blocks, for blocks that are `side` pixels wide."""
    blocks = values.reshape(3, old, old, -1).permute(0, 3, 1, 2)
    larger = interpolate(blocks, (side, side), mode="nearest")
    return larger.permute(0, 2, 3, 1).reshape(3 * side**2, *values.shape[1:])
