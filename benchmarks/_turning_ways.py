"""Ways of turning photographs by name, each behind one small interface.

A way turns a whole photograph: it gives back frames of the photograph's own size. Ways that know
the standard crop alone have their frames pasted back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from _photographs import Photograph
from PIL import Image

from rotation.data.celeba import read_tables
from rotation.data.crop import Pixels, standard_crop
from rotation.data.labels_csv import read_labels
from rotation.data.sources import open_source
from rotation.diffusion.latent_model import LatentModel
from rotation.diffusion.model_folder import find_model
from rotation.directions.direction import Direction
from rotation.editing.method import EditRequest, editing_method
from rotation.editing.pipeline import Data, rotate
from rotation.errors import ImageError
from rotation.geometry.photograph import Photograph as HeadPhotograph
from rotation.imaging.paste_back import paste_back
from rotation.latents.encoders import DiffusionCodec
from rotation.options import (
    ClusterOptions,
    EditingOptions,
    EncoderName,
    ModelOptions,
    TurnOptions,
)
from rotation.poses.mtcnn import LandmarkDetector
from rotation.poses.source import pose_cache_path, poses_from_images
from rotation.run import open_cluster_store, open_codec

YAWS = tuple(float(yaw) for yaw in range(-30, 31, 10))
SIDE = 64


class Way(Protocol):
    """Turns the head in a photograph."""

    def yaw(self, photograph: Photograph) -> float:
        """The yaw in degrees that the way takes the photograph to have."""

    def turn(self, photograph: Photograph, yaws_deg: Sequence[float]) -> Pixels:
        """Frames (K, H, W, 3) of a photograph (H, W, 3), one for each absolute yaw."""


@dataclass(frozen=True)
class Setting:
    """What ways by clusters work with.

    Attributes:
        images: CelebA's folder.
        labels: the labels of its images.
        pool: as many first images may be in clusters.
        excluded: names that may not, since their people are judged.
        largest: the largest cluster.
        cache: keeps latents and poses.
        model: the model's folder or name.
    """

    images: Path
    labels: Path
    pool: int
    excluded: frozenset[str]
    largest: int
    cache: Path
    model: str


class ClusterWay:
    """An editing method of the engine that works on the standard crop.

    Clusters and direction are made once for each light; judged people are in none of them.
    """

    def __init__(
        self,
        setting: Setting,
        editing: EditingOptions,
        light_filter: bool = True,
        refine: bool = True,
        embedding: EncoderName = "network",
    ) -> None:
        self._setting, self._editing, self._light_filter = setting, editing, light_filter
        self._refine, self._embedding = refine, embedding
        self._directions: dict[str, Direction] = {}

    @cached_property
    def _codec(self) -> DiffusionCodec:
        model = ModelOptions(
            Path(self._setting.model),
            embedding=self._embedding,
            iterations=0,
            refine=self._refine,
        )
        return open_codec(model)

    @cached_property
    def _detector(self) -> LandmarkDetector:
        return LandmarkDetector()

    def yaw(self, photograph: Photograph) -> float:
        """By MTCNN on the standard crop; by the face mesh for geometry."""
        if self._editing.method == "geometry":
            try:
                return HeadPhotograph(Image.fromarray(photograph.pixels)).yaw_deg
            except ImageError:  # the engine falls back to the flow
                pass
        yaw = float(self._detector.estimate_crops(_crop(photograph)[None]).yaw_deg[0])
        return yaw if np.isfinite(yaw) else 0.0

    def turn(self, photograph: Photograph, yaws_deg: Sequence[float]) -> Pixels:
        """See `Way`."""
        method = editing_method(self._editing.method)
        request = EditRequest(
            model=self._codec,
            crop=_crop(photograph),
            yaw_deg=self.yaw(photograph),
            yaws_deg=tuple(yaws_deg),
            direction=self._direction(photograph.light),
            options=self._editing,
            device="cpu",
            photograph=Image.fromarray(photograph.pixels),
        )
        edited = method.edit(request)
        if edited.photographs is not None:
            return np.stack(list(edited.photographs))
        return np.stack([_paste(photograph, frame) for frame in edited.frames])

    def _direction(self, light: str) -> Direction:
        light = light if self._light_filter else "any"
        if light not in self._directions:
            self._directions[light] = self._fit(light)
        return self._directions[light]

    def _fit(self, light: str) -> Direction:
        """The direction by clusters of a light, fitted with one of their members as the source."""
        setting = self._setting
        clusters = ClusterOptions(
            attributes=(), maximum=setting.largest, light_filter=self._light_filter
        )
        options = TurnOptions(YAWS, clusters=clusters, editing=self._editing)
        with open_source(setting.images) as images:
            allowed = set(images.names()[: setting.pool]) - setting.excluded
            labels = {n: x for n, x in read_labels(setting.labels).items() if n in allowed}
            cache = pose_cache_path(setting.cache, setting.images)
            source = next(name for name, label in labels.items() if light in (label, "any"))
            data = Data(
                images,
                read_tables(setting.images),
                labels,
                poses_from_images(images, cache, "cpu"),
                source,
            )
            store = open_cluster_store(setting.cache, self._codec)
            return rotate(data, self._codec, store, options).fit.direction


@dataclass(frozen=True)
class UnturnedWay:
    """The photograph itself at every yaw: what a judge says of it is a check of the judge."""

    def yaw(self, photograph: Photograph) -> float:
        """Not known."""
        return 0.0

    def turn(self, photograph: Photograph, yaws_deg: Sequence[float]) -> Pixels:
        """See `Way`."""
        return np.repeat(photograph.pixels[None], len(yaws_deg), axis=0)


def _crop(photograph: Photograph) -> Pixels:
    return standard_crop(_aligned(photograph), SIDE)


def _aligned(photograph: Photograph) -> Image.Image:
    left, top, right, bottom = (round(edge) for edge in photograph.window)
    return Image.fromarray(np.ascontiguousarray(photograph.pixels[top:bottom, left:right]))


def _paste(photograph: Photograph, frame: Pixels) -> Pixels:
    left, top, right, bottom = (round(edge) for edge in photograph.window)
    whole = photograph.pixels.copy()
    whole[top:bottom, left:right] = np.asarray(paste_back(_aligned(photograph), frame))
    return whole


def _flow(setting: Setting) -> Way:
    return ClusterWay(setting, EditingOptions("flow"))


def _line(setting: Setting) -> Way:
    return ClusterWay(setting, EditingOptions("line", gain=1.5))


def _flow_no_light(setting: Setting) -> Way:
    return ClusterWay(setting, EditingOptions("flow"), light_filter=False)


class GeometryWay:
    """The geometry of the head without clusters, at the photograph's own size.

    Parameters:
        model: draws hidden parts; None: they are filled from their surroundings.
    """

    def __init__(self, model: LatentModel | None = None) -> None:
        self._model = model

    def yaw(self, photograph: Photograph) -> float:
        """By the face mesh."""
        return self._open(photograph).yaw_deg

    def turn(self, photograph: Photograph, yaws_deg: Sequence[float]) -> Pixels:
        """See `Way`."""
        opened = self._open(photograph)
        return np.stack([opened.turn_to(yaw, self._model).pixels for yaw in yaws_deg])

    def _open(self, photograph: Photograph) -> HeadPhotograph:
        return HeadPhotograph(Image.fromarray(photograph.pixels))


WAYS: dict[str, Callable[[Setting], Way]] = {
    "flow": _flow,
    "flow-no-light": _flow_no_light,
    "line": _line,
    "geometry": lambda setting: ClusterWay(setting, EditingOptions("geometry")),
    "geometry-unrefined": lambda setting: ClusterWay(
        setting, EditingOptions("geometry"), refine=False
    ),
    "geometry-smooth": lambda setting: ClusterWay(
        setting, EditingOptions("geometry"), embedding="smooth"
    ),
    "geometry-no-light": lambda setting: ClusterWay(setting, EditingOptions("geometry"), False),
    "geometry-model": lambda setting: GeometryWay(
        LatentModel.load(find_model(setting.model), "cpu")
    ),
    "geometry-alone": lambda setting: GeometryWay(),
    "unturned": lambda setting: UnturnedWay(),
}
