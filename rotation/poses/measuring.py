"""Measuring the poses of many images by MTCNN: the worker of a pass (`rotation.passes`)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from rotation.data.decoding import decode
from rotation.data.image_source import ImageSource, fingerprint_of
from rotation.errors import ImageError
from rotation.passes.needs import Needs
from rotation.passes.running import Runner
from rotation.poses.estimation import PoseRow
from rotation.poses.pose_csv import NO_FACE

if TYPE_CHECKING:
    from rotation.poses.mtcnn import LandmarkDetector

BATCH = 128
LOG = logging.getLogger(__name__)


class MeasuredPoses(NamedTuple):
    """The poses of a batch of images.

    Attributes:
        poses: one for each name; an image that cannot be decoded has none.
        contents: the fingerprints of the images (`ImageSource.fingerprint`).
        unreadable: why images could not be decoded.
    """

    names: Sequence[str]
    poses: Sequence[PoseRow]
    contents: Sequence[str]
    unreadable: Sequence[str]


class PoseWorker:
    """Reads, decodes and measures batches of images. The pose of one depends on no other image.

    MTCNN is loaded when the first image is measured.

    Parameters:
        device: where MTCNN runs.
    """

    def __init__(self, source: ImageSource, device: Any = "cpu") -> None:
        self._source = source
        self.device = str(device)

    @cached_property
    def _detector(self) -> LandmarkDetector:
        from rotation.poses.mtcnn import LandmarkDetector

        return LandmarkDetector(self.device, fill_batches=True)

    def __reduce__(self) -> tuple[type[PoseWorker], tuple[ImageSource, str]]:
        return PoseWorker, (self._source, self._device_type)

    @property
    def _device_type(self) -> str:
        """The device for another process, which sees no more than one GPU."""
        return self.device.partition(":")[0]

    def find_needs(self) -> Needs:
        """What another process needs to measure the same images."""
        return Needs.of(self._source, device=self._device_type)

    def __call__(self, names: Sequence[str]) -> MeasuredPoses:
        """The poses of the named images."""
        poses, contents = [NO_FACE] * len(names), [""] * len(names)
        images: dict[int, Image.Image] = {}
        unreadable = []
        self._source.read_ahead(names)
        for row, name in enumerate(names):
            try:
                data = self._source.read(name)
                contents[row] = fingerprint_of(data)
                images[row] = decode(data, name)
            except ImageError as error:
                contents[row] = contents[row] or self._source.fingerprint(name)
                unreadable.append(str(error))
        if images:
            found = self._detector.estimate(list(images.values())).columns
            for row, *pose in zip(images, *(column.tolist() for column in found), strict=True):
                yaw, pitch, roll, confidence = pose
                poses[row] = yaw, pitch, roll, confidence
        return MeasuredPoses(names, poses, contents, unreadable)


def measure_poses(
    worker: PoseWorker, runner: Runner, names: Sequence[str]
) -> Iterator[MeasuredPoses]:
    """Yield the poses of images, batch by batch, in order.

    An image that cannot be decoded is logged with its reason. It does not stop the others.
    """
    batches = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
    for measured in runner(worker, batches, worker.find_needs):
        for reason in measured.unreadable:
            LOG.warning("No pose: %s", reason)
        yield measured
