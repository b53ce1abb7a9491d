"""Editors: functions that turn a benchmark source, for each variant and for the upper bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from rotation.data.records import UNKNOWN, Records
from rotation.diffusion.latent_model import LatentModel
from rotation.editing.pipeline import Data, Source, turn
from rotation.evaluation.ground_truth import TrueRenders, class_of
from rotation.evaluation.judge import JudgedFrames
from rotation.imaging.images import from_pixels
from rotation.latents.encoders import LatentCodec, decode_pixels
from rotation.latents.store import LatentStore
from rotation.options import TurnOptions
from rotation.synthetic_heads.attributes import attributes
from rotation.synthetic_heads.camera import CELEBA_VIEW
from rotation.synthetic_heads.parameters import Head
from rotation.synthetic_heads.renderer import render, render_view

Editor = Callable[[LatentCodec, Source, TrueRenders], JudgedFrames]
"""Turns a source; the true renders are for the upper bound alone."""


def source_of(head: Head, size: int) -> Source:
    """Render a head as the source of a rotation, with its true yaw and attributes."""
    known = attributes(head)
    record = Records(
        filenames=("",),
        labels=np.array([class_of(head)]),
        identities=np.array([UNKNOWN]),
        attribute_names=tuple(known),
        attributes=np.array([[int(value) for value in known.values()]]),
    )
    photograph = Image.fromarray(render_view([head], CELEBA_VIEW)[0])
    crop = render([head], size)[0]
    return Source(crop, record, class_of(head), head.yaw_deg, photograph)


def by_clusters(data: Data, store: LatentStore, options: TurnOptions) -> Editor:
    """An editor that runs the pipeline on clusters of `data`; `store` keeps their latents."""

    def turned(model: LatentCodec, source: Source, truth: TrueRenders) -> JudgedFrames:
        shown = source if options.clusters.light_filter else replace(source, light=None)
        result = turn(data, shown, model, store, options)
        return JudgedFrames(result.frames, result.reconstruction)

    return turned


def by_truth(yaws_deg: Sequence[float]) -> Editor:
    """The upper bound: true renders at `yaws_deg`, encoded as the source is and decoded."""

    def turned(model: LatentCodec, source: Source, truth: TrueRenders) -> JudgedFrames:
        crops = np.concatenate([source.crop[None], truth.turned(yaws_deg)])
        latents = model.encode_source(torch.from_numpy(from_pixels(crops)))
        shown = decode_pixels(model, latents.numpy())
        return JudgedFrames(shown[1:], shown[0])

    return turned


class CachedSourceEncoder:
    """An `LatentCodec` that encodes one source once, for all variants."""

    def __init__(self, model: LatentCodec, source: Source) -> None:
        self._model = model
        self._images = torch.from_numpy(from_pixels(source.crop[None]))
        self._latent = model.encode_source(self._images)

    @property
    def image_size(self) -> int:
        """S, the side of images and latents."""
        return self._model.image_size

    @property
    def denoiser(self) -> LatentModel:
        """See `LatentCodec`."""
        return self._model.denoiser

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """See `LatentCodec`."""
        return self._model.encode(images)

    def encode_source(self, images: torch.Tensor) -> torch.Tensor:
        """The cached latent of the source; other images are encoded."""
        if torch.equal(images, self._images):
            return self._latent.clone()
        return self._model.encode_source(images)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """See `LatentCodec`."""
        return self._model.decode(z)

    def decode_with_gradient(self, z: torch.Tensor) -> torch.Tensor:
        """See `LatentCodec`."""
        return self._model.decode_with_gradient(z)
