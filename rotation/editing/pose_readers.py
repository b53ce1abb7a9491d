"""What reads the poses of frames in the closed loop: networks taught by the image set, or MTCNN.

What is pushed along a reader's gradient may satisfy that reader alone, so another one measures.
Networks are taught once for an image set and kept in the cache.
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

from rotation.dataset.sources import ImageSource
from rotation.editing.closed_loop import Measure, Read
from rotation.editing.pose_network import STEPS, PoseNetwork, teach, vary
from rotation.embedding import Progress, read_crop
from rotation.errors import ImageError
from rotation.images import Pixels, save_whole, to_pixels
from rotation.poses import Poses
from rotation.posing import PoseBook

FEWEST, MOST = 300, 6000
"""Images with a known pose: with fewer, MTCNN reads and measures; of more, so many teach."""

YAW_LIMIT_DEG = 60.0
SEEDS = (1, 2)  # of the network that gives the gradient, and of the one that measures
VIEWS, VIEW_STRENGTH = 8, 0.6  # random views in which a frame is read, and how random
_VERSION = 1

READERS = "pose-readers"  # the folder of a cache that keeps networks
TAUGHT = "two networks taught by the poses of the image set"
LANDMARKS = "MTCNN's landmarks"


@dataclass(frozen=True)
class PoseReaders:
    """One reader to follow and another to measure by; `about` says in words what they are."""

    read: Read
    measure: Measure
    about: str


class TaughtReaders:
    """Readers taught by the poses of an image set, made when they are first asked for.

    Parameters:
        images, poses: what teaches. cache: the folder that keeps networks; None: none is kept.
        steps: updates in which each network is taught.
    """

    def __init__(
        self, images: ImageSource, poses: PoseBook, cache: Path | None, steps: int = STEPS
    ) -> None:
        self._images, self._poses, self._cache, self._steps = images, poses, cache, steps
        self._made: dict[int, nn.ModuleList | None] = {}

    def __call__(self, size: int, seed: int, progress: Progress | None = None) -> PoseReaders:
        """Readers for images of a side of `size`; `seed` is that of the random views."""
        if size not in self._made:
            self._made[size] = self._networks(size, progress)
        networks = self._made[size]
        if networks is None:
            return by_landmarks(seed)
        followed, measuring = networks
        return PoseReaders(VariedReader(followed, seed), VariedMeasure(measuring, seed), TAUGHT)

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
            save_whole(path, lambda target: save_file(networks.state_dict(), target))
        return networks

    def _teachers(self, progress: Progress | None) -> tuple[list[str], Poses]:
        """Names and poses of the images that teach: chosen at random where there are many."""
        names = np.array(self._images.names())
        few = np.sort(np.random.default_rng(0).permutation(len(names))[:MOST])
        chosen = names[few].tolist()
        poses = self._poses.poses(chosen, progress)
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
        """Where the cache keeps networks taught by these images and poses."""
        if self._cache is None:
            return None
        angles = np.stack([poses.yaw_deg, poses.pitch_deg]).round(2).tolist()
        said = json.dumps([_VERSION, size, self._steps, list(names), angles])
        return self._cache / f"{hashlib.sha256(said.encode()).hexdigest()[:16]}.safetensors"


class VariedReader:
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
            poses = VariedReader(self._network, self._seed)(images)
        return poses.double().cpu().numpy()


def by_landmarks(seed: int) -> PoseReaders:
    """MTCNN's last network to follow, and all of MTCNN to measure by."""
    from rotation.editing.yaw_reader import YawReader
    from rotation.landmarks import LandmarkDetector  # late: loads MTCNN

    detector = LandmarkDetector()

    def measure(images: torch.Tensor) -> NDArray[np.float64]:
        pixels = to_pixels(((images + 1) / 2).clamp(0, 1).cpu().numpy())
        poses = detector.crop_poses(pixels)
        return np.stack([poses.yaw_deg, poses.pitch_deg], axis=1)

    return PoseReaders(YawReader(seed=seed), measure, LANDMARKS)


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
