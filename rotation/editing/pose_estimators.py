"""Pose estimators of the closed loop: networks trained on the image set, or MTCNN.

A frame optimised along an estimator's gradient may satisfy this estimator alone. So another
estimator measures. Networks are trained once for an image set and kept in the cache.

If there are too few images to train on, MTCNN's last network gives the gradient. A single
evaluation is easily fooled, so it averages several crops of each image, moved and scaled at random.
Each crop is also mirrored. So the yaw of a mirrored image is the negated yaw in expectation, and
exactly for the same crops.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
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
from rotation.data.image_source import ImageSource
from rotation.editing.pose_network import STEPS, PoseNetwork, augment, train_pose_network
from rotation.errors import ImageError
from rotation.imaging.images import save_atomically, to_pixels
from rotation.poses.estimation import Poses
from rotation.poses.source import PoseSource
from rotation.progress import Progress

Read = Callable[[torch.Tensor], torch.Tensor]
"""A differentiable estimator: images (N, 3, S, S) in [-1, 1] to yaw and pitch (N, 2), degrees."""
Measure = Callable[[torch.Tensor], NDArray[np.float64]]
"""A measuring estimator: the same without a gradient; NaN where it fails."""

SIDE = 48  # pixels of the network's input
CENTRE, HALF = (0.5, 0.539), 0.445
"""Centre and half side of the face in a standard crop, as shares of the crop's side."""

SHIFT, SCALE = 0.04, 0.1  # largest random shift, as a share of the side, and scaling
DEGREES = 91.0
"""Degrees per unit of (nose - middle of eyes and mouth) / distance of the eyes. Fitted to rendered
heads within +-30 degrees, where the mean error is 2.3 degrees."""

MIN_IMAGES, MAX_IMAGES = 300, 6000
"""Images to train on. With fewer, MTCNN is used; of more, a random subset."""

YAW_LIMIT_DEG = 60.0
SEEDS = (1, 2)  # of the network that gives the gradient, and of the one that measures
AUGMENTATIONS, STRENGTH = 8, 0.6  # augmented copies that an estimate averages
_VERSION = 1

TRAINED = "two networks trained on the poses of the image set"
LANDMARKS = "MTCNN's landmarks"


@dataclass(frozen=True)
class PoseEstimators:
    """The estimator whose gradient is followed, another that measures, and a description."""

    read: Read
    measure: Measure
    about: str


@dataclass(frozen=True)
class MadeEstimators:
    """Estimators of networks that were trained before.

    Attributes:
        networks: two networks by side of the images; None where there were too few images.
        device: where MTCNN runs then.
    """

    networks: Mapping[int, nn.ModuleList | None]
    device: torch.device | str

    def __call__(self, size: int, seed: int, progress: Progress | None = None) -> PoseEstimators:
        """Estimators for images of side `size`; `seed` is that of random augmentations."""
        networks = self.networks[size]
        if networks is None:
            return by_landmarks(seed, self.device)
        guiding, measuring = networks
        return PoseEstimators(
            AugmentedEstimator(guiding, seed), AugmentedMeasurement(measuring, seed), TRAINED
        )


class TrainedEstimators:
    """Estimators trained on the poses of an image set when they are first used.

    Another process gets those that were trained before they were sent.

    Parameters:
        images, poses: the training data.
        cache: the folder that keeps networks; None: none is kept.
        device: where MTCNN runs if there are too few images to train on.
        steps: the number of updates for each network.
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
        """Estimators for images of side `size`; `seed` is that of random augmentations."""
        if size not in self._made:
            self._made[size] = self._networks(size, progress)
        return MadeEstimators(self._made, self._device)(size, seed)

    def __reduce__(
        self,
    ) -> tuple[type[MadeEstimators], tuple[dict[int, nn.ModuleList | None], str]]:
        # Another process sees no more than one GPU.
        return MadeEstimators, (self._made, str(self._device).partition(":")[0])

    def _networks(self, size: int, progress: Progress | None) -> nn.ModuleList | None:
        """The networks for `SEEDS`, cached or newly trained; None if there are too few images."""
        names, poses = self._training_images(progress)
        if len(names) < MIN_IMAGES:
            return None
        path = self._path(names, poses, size)
        kept = _load(path)
        if kept is not None:
            return kept
        crops, rows = self._crops(names, size, progress)
        known = poses.yaw_deg[rows], poses.pitch_deg[rows]
        networks = nn.ModuleList()
        for before, seed in enumerate(SEEDS):
            share = _progress_share(progress, before)
            networks.append(train_pose_network(crops, *known, seed, self._steps, share))
        if path is not None:
            save_atomically(path, lambda target: save_file(networks.state_dict(), target))
        return networks

    def _training_images(self, progress: Progress | None) -> tuple[list[str], Poses]:
        """Names and poses of the images to train on; a random subset of many."""
        names = np.array(self._images.names())
        few = np.sort(np.random.default_rng(0).permutation(len(names))[:MAX_IMAGES])
        chosen = names[few].tolist()
        poses = self._poses.find_poses(chosen, progress)
        good = np.isfinite(poses.pitch_deg) & (np.abs(poses.yaw_deg) <= YAW_LIMIT_DEG)
        columns = (column[good] for column in poses.columns)
        return [name for name, one in zip(chosen, good, strict=True) if one], Poses(*columns)

    def _crops(
        self, names: Sequence[str], size: int, progress: Progress | None
    ) -> tuple[Pixels, list[int]]:
        """The crops (n, S, S, 3) of the readable images, and their positions in `names`."""
        crops, rows = [], []
        for row, name in enumerate(names):
            with suppress(ImageError):
                crops.append(read_crop(self._images, name, size))
                rows.append(row)
            if progress is not None:
                progress("read", row + 1, len(names))
        return np.stack(crops), rows

    def _path(self, names: Sequence[str], poses: Poses, size: int) -> Path | None:
        """The cached file of networks trained on these images and poses."""
        if self._cache is None:
            return None
        angles = np.stack([poses.yaw_deg, poses.pitch_deg]).round(2).tolist()
        contents = [self._images.fingerprint(name) for name in names]
        key = json.dumps([_VERSION, size, self._steps, list(names), contents, angles])
        return self._cache / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"


class AugmentedEstimator:
    """Averages poses over random augmentations of each image, which are harder to fool."""

    def __init__(self, network: nn.Module, seed: int = 0, count: int = AUGMENTATIONS) -> None:
        self._network, self._count = network, count
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """See `Read`. Each call draws new augmentations."""
        copies = [augment(images, self._generator, STRENGTH) for _ in range(self._count)]
        poses: torch.Tensor = self._network(torch.cat(copies))
        return poses.view(self._count, len(images), 2).mean(dim=0)


class AugmentedMeasurement:
    """Measures poses by a network, with the same random augmentations at each call."""

    def __init__(self, network: nn.Module, seed: int = 0) -> None:
        self._network, self._seed = network, seed

    def __call__(self, images: torch.Tensor) -> NDArray[np.float64]:
        """See `Measure`."""
        with torch.no_grad():
            poses = AugmentedEstimator(self._network, self._seed)(images)
        return poses.double().cpu().numpy()


class YawEstimator:
    """Yaw by MTCNN's last network, in degrees, for standard crops."""

    def __init__(self, device: torch.device | str = "cpu", crops: int = 8, seed: int = 0) -> None:
        from facenet_pytorch.models.mtcnn import ONet  # late: loads torchvision

        self.device = torch.device(device)
        self._network = ONet().eval().requires_grad_(False).to(self.device)
        self._crops = crops
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """See `Read`. Each call draws new random crops. Pitch is not estimated: it is 0."""
        estimates = []
        home, images = images.device, images.to(self.device)
        for grid in self._grids(images):
            plain, mirrored = (self._offset(one, grid) for one in (images, images.flip(-1)))
            estimates.append((plain - mirrored) / 2)
        yaws = DEGREES * torch.stack(estimates).mean(dim=0)
        return torch.stack([yaws, torch.zeros_like(yaws)], dim=1).to(home)

    def _grids(self, images: torch.Tensor) -> list[torch.Tensor]:
        """For each crop, the places of its pixels in the image, (1, 48, 48, 2) in [-1, 1]."""
        steps = (torch.arange(SIDE) + 0.5) / SIDE * 2 - 1
        rows, columns = torch.meshgrid(steps, steps, indexing="ij")
        square = torch.stack([columns, rows], dim=-1)[None] * HALF * 2
        centre = torch.tensor(CENTRE) * 2 - 1
        chance = torch.rand(self._crops, 3, generator=self._generator) * 2 - 1
        places = square * (1 + SCALE * chance[:, :1, None, None]) + centre
        moved = places + 2 * SHIFT * chance[:, None, None, 1:]
        return list(moved.to(images).split(1))

    def _offset(self, images: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        """The nose's offset (N,) from the middle of eyes and mouth, in distances of the eyes."""
        patch = grid_sample(
            images, grid.expand(len(images), -1, -1, -1), padding_mode="border", align_corners=False
        )
        _, points, _ = self._network(patch * (127.5 / 128))
        x = points[:, :5]
        middle = (x[:, 0] + x[:, 1] + x[:, 3] + x[:, 4]) / 4
        return (x[:, 2] - middle) / (x[:, 1] - x[:, 0]).clamp(min=0.1)


class LandmarkMeasure:
    """Measures poses by the landmarks of the full MTCNN detector."""

    def __init__(self, device: torch.device | str) -> None:
        from rotation.poses.mtcnn import LandmarkDetector  # late: loads MTCNN

        self._detector = LandmarkDetector(device)

    def __call__(self, images: torch.Tensor) -> NDArray[np.float64]:
        """See `Measure`."""
        pixels = to_pixels(((images + 1) / 2).clamp(0, 1).cpu().numpy())
        poses = self._detector.estimate_crops(pixels)
        return np.stack([poses.yaw_deg, poses.pitch_deg], axis=1)


def by_landmarks(seed: int, device: torch.device | str) -> PoseEstimators:
    """MTCNN's last network gives the gradient, and full MTCNN measures, both on `device`."""
    return PoseEstimators(YawEstimator(device, seed=seed), LandmarkMeasure(device), LANDMARKS)


def _progress_share(progress: Progress | None, before: int) -> Callable[[int, int], None]:
    """Reports the progress of one network of `SEEDS` as a share of all."""

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress("teach", before * total + done, len(SEEDS) * total)

    return report


def _load(path: Path | None) -> nn.ModuleList | None:
    """The networks of a cached file; None if it is missing or damaged."""
    if path is None or not path.is_file():
        return None
    networks = nn.ModuleList(PoseNetwork() for _ in SEEDS)
    try:
        networks.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError):
        return None
    return networks.eval().requires_grad_(False)
