"""Pose estimators for frames in the closed loop: networks taught by the image set, or MTCNN.

What is pushed along an estimator's gradient may satisfy that estimator alone, so another one
measures. Networks are taught once for an image set and kept in the cache.

A landmark network asked once is easily fooled by a latent that follows its gradient, so MTCNN's
last network reads each image several times, in crops moved and scaled at random, as it is and
mirrored. That makes the reading of a mirrored image the negated one in expectation, exactly with
the same crops.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import grid_sample

from rotation.data.crop import Pixels, read_crop
from rotation.data.sources import ImageSource
from rotation.editing.pose_network import STEPS, PoseNetwork, teach, vary
from rotation.errors import ImageError
from rotation.imaging.images import save_atomically, to_pixels
from rotation.poses.estimation import Poses
from rotation.poses.source import PoseSource
from rotation.progress import Progress

Read = Callable[[torch.Tensor], torch.Tensor]
"""Images (N, 3, S, S) in [-1, 1] to yaw and pitch (N, 2) in degrees, with a gradient."""
Measure = Callable[[torch.Tensor], NDArray[np.float64]]
"""The same by another way than `Read`, without a gradient; NaN where it fails."""

SIDE = 48  # pixels of the network's input
CENTRE, HALF = (0.5, 0.539), 0.445
"""Middle and half side of the face in a standard crop, as shares of its side."""

SHIFT, SCALE = 0.04, 0.1  # how far crops move, as a share of the side, and are scaled
DEGREES = 91.0
"""Degrees for each unit of (nose - middle of eyes and mouth) / distance of the eyes, fitted to
true renders within +-30 degrees; mean error 2.3 degrees there."""

FEWEST, MOST = 300, 6000
"""Images with a known pose: with fewer, MTCNN reads and measures; of more, so many teach."""

YAW_LIMIT_DEG = 60.0
SEEDS = (1, 2)  # of the network that gives the gradient, and of the one that measures
VIEWS, VIEW_STRENGTH = 8, 0.6  # random views in which a frame is read, and how random
_VERSION = 1

TAUGHT = "two networks taught by the poses of the image set"
LANDMARKS = "MTCNN's landmarks"


@dataclass(frozen=True)
class PoseEstimators:
    """One estimator to follow and another to measure by; `about` says in words what they are."""

    read: Read
    measure: Measure
    about: str


class TaughtEstimators:
    """Estimators taught by the poses of an image set, made when they are first asked for.

    Parameters:
        images, poses: what teaches. cache: the folder that keeps networks; None: none is kept.
        device: where MTCNN runs, which serves where too few images teach.
        steps: updates in which each network is taught.
    """

    def __init__(
        self,
        images: ImageSource,
        poses: PoseSource,
        cache: Path | None,
        device: torch.device | str,
        steps: int = STEPS,
    ) -> None:
        self._images, self._poses, self._cache, self._steps = images, poses, cache, steps
        self._device = device
        self._made: dict[int, nn.ModuleList | None] = {}

    def __call__(self, size: int, seed: int, progress: Progress | None = None) -> PoseEstimators:
        """Estimators for images of a side of `size`; `seed` is that of the random views."""
        if size not in self._made:
            self._made[size] = self._networks(size, progress)
        networks = self._made[size]
        if networks is None:
            return by_landmarks(seed, self._device)
        followed, measuring = networks
        return PoseEstimators(
            VariedEstimator(followed, seed), VariedMeasure(measuring, seed), TAUGHT
        )

    def _networks(self, size: int, progress: Progress | None) -> nn.ModuleList | None:
        """The networks for `SEEDS`, from the cache or newly taught; None: too few images."""
        names, poses = self._teachers(progress)
        if len(names) < FEWEST:
            return None
        path = self._path(names, poses, size)
        kept = _load(path)
        if kept is not None:
            return kept
        crops, rows = self._crops(names, size, progress)
        known = poses.yaw_deg[rows], poses.pitch_deg[rows]
        networks = nn.ModuleList()
        for before, seed in enumerate(SEEDS):
            said = _share(progress, before)
            networks.append(teach(crops, *known, seed, self._steps, said))
        if path is not None:
            save_atomically(path, lambda target: save_file(networks.state_dict(), target))
        return networks

    def _teachers(self, progress: Progress | None) -> tuple[list[str], Poses]:
        """Names and poses of the images that teach: chosen at random where there are many."""
        names = np.array(self._images.names())
        few = np.sort(np.random.default_rng(0).permutation(len(names))[:MOST])
        chosen = names[few].tolist()
        poses = self._poses.find_poses(chosen, progress)
        good = np.isfinite(poses.pitch_deg) & (np.abs(poses.yaw_deg) <= YAW_LIMIT_DEG)
        columns = (column[good] for column in poses.columns)
        return [name for name, one in zip(chosen, good, strict=True) if one], Poses(*columns)

    def _crops(
        self, names: Sequence[str], size: int, progress: Progress | None
    ) -> tuple[Pixels, list[int]]:
        """The crops (n, S, S, 3) of the images that can be read, and their places in `names`."""
        crops, rows = [], []
        for row, name in enumerate(names):
            with suppress(ImageError):
                crops.append(read_crop(self._images, name, size))
                rows.append(row)
            if progress is not None:
                progress("read", row + 1, len(names))
        return np.stack(crops), rows

    def _path(self, names: Sequence[str], poses: Poses, size: int) -> Path | None:
        """The cache file of networks trained on these images and poses."""
        if self._cache is None:
            return None
        angles = np.stack([poses.yaw_deg, poses.pitch_deg]).round(2).tolist()
        contents = [self._images.fingerprint(name) for name in names]
        key = json.dumps([_VERSION, size, self._steps, list(names), contents, angles])
        return self._cache / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"


class VariedEstimator:
    """Reads poses off several random views of each image: harder to fool than one look."""

    def __init__(self, network: nn.Module, seed: int = 0, views: int = VIEWS) -> None:
        self._network, self._views = network, views
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """See `Read`; new random views at each call."""
        views = [vary(images, self._generator, VIEW_STRENGTH) for _ in range(self._views)]
        read: torch.Tensor = self._network(torch.cat(views))
        return read.view(self._views, len(images), 2).mean(dim=0)


class VariedMeasure:
    """Measures poses by a network, in the same random views each time."""

    def __init__(self, network: nn.Module, seed: int = 0) -> None:
        self._network, self._seed = network, seed

    def __call__(self, images: torch.Tensor) -> NDArray[np.float64]:
        """See `Measure`."""
        with torch.no_grad():
            poses = VariedEstimator(self._network, self._seed)(images)
        return poses.double().cpu().numpy()


class YawEstimator:
    """MTCNN's last network: yaw in degrees of standard crops, positive to the viewer's right."""

    def __init__(self, device: torch.device | str = "cpu", crops: int = 8, seed: int = 0) -> None:
        from facenet_pytorch.models.mtcnn import ONet  # late: loads torchvision

        self.device = torch.device(device)
        self._network = ONet().eval().requires_grad_(False).to(self.device)
        self._crops = crops
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Yaw and pitch (N, 2) of images (N, 3, S, S) in [-1, 1]; new random crops at each call.

        Pitch is not read: it is 0.
        """
        readings = []
        home, images = images.device, images.to(self.device)
        for grid in self._grids(images):
            plain, mirrored = (self._offset(picture, grid) for picture in (images, images.flip(-1)))
            readings.append((plain - mirrored) / 2)
        yaws = DEGREES * torch.stack(readings).mean(dim=0)
        return torch.stack([yaws, torch.zeros_like(yaws)], dim=1).to(home)

    def _grids(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Where in the picture, in [-1, 1], each input pixel of each crop lies, (1, 48, 48, 2)."""
        steps = (torch.arange(SIDE) + 0.5) / SIDE * 2 - 1
        rows, columns = torch.meshgrid(steps, steps, indexing="ij")
        square = torch.stack([columns, rows], dim=-1)[None] * HALF * 2
        centre = torch.tensor(CENTRE) * 2 - 1
        chance = torch.rand(self._crops, 3, generator=self._generator) * 2 - 1
        places = square * (1 + SCALE * chance[:, :1, None, None]) + centre
        moved = places + 2 * SHIFT * chance[:, None, None, 1:]
        return list(moved.to(images).split(1))

    def _offset(self, images: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        """The nose's offset (N,) from the middle of eyes and mouth, by the distance of the eyes."""
        patch = grid_sample(
            images, grid.expand(len(images), -1, -1, -1), padding_mode="border", align_corners=False
        )
        _, points, _ = self._network(patch * (127.5 / 128))
        x = points[:, :5]
        middle = (x[:, 0] + x[:, 1] + x[:, 3] + x[:, 4]) / 4
        return (x[:, 2] - middle) / (x[:, 1] - x[:, 0]).clamp(min=0.1)


class LandmarkMeasure:
    """Measures poses by all of MTCNN."""

    def __init__(self, device: torch.device | str) -> None:
        from rotation.poses.mtcnn import LandmarkDetector  # late: loads MTCNN

        self._detector = LandmarkDetector(device)

    def __call__(self, images: torch.Tensor) -> NDArray[np.float64]:
        """See `Measure`."""
        pixels = to_pixels(((images + 1) / 2).clamp(0, 1).cpu().numpy())
        poses = self._detector.estimate_crops(pixels)
        return np.stack([poses.yaw_deg, poses.pitch_deg], axis=1)


def by_landmarks(seed: int, device: torch.device | str) -> PoseEstimators:
    """MTCNN's last network to follow, and all of MTCNN to measure by, both on `device`."""
    return PoseEstimators(YawEstimator(device, seed=seed), LandmarkMeasure(device), LANDMARKS)


def _share(progress: Progress | None, before: int) -> Callable[[int, int], None]:
    """The progress of one network of `SEEDS` as a share of all."""

    def said(done: int, total: int) -> None:
        if progress is not None:
            progress("teach", before * total + done, len(SEEDS) * total)

    return said


def _load(path: Path | None) -> nn.ModuleList | None:
    """Networks from the cache; None where there is no whole file."""
    if path is None or not path.is_file():
        return None
    networks = nn.ModuleList(PoseNetwork() for _ in SEEDS)
    try:
        networks.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError):
        return None
    return networks.eval().requires_grad_(False)
