"""Linear editing: the latent of the source moves along the linear direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rotation.directions.direction import Direction
from rotation.editing.method import EditingMethod, EditRequest, MovedLatents, TurnPath, along_path
from rotation.latents.encoders import Latents, decode_pixels
from rotation.options import AUTO

Floats = NDArray[np.floating]


class LinearEditing(EditingMethod):
    """Moves the latent by a given gain, or by steps calibrated on trial frames."""

    def move(self, request: EditRequest) -> MovedLatents:
        """See `EditingMethod`."""
        latent, keep = request.source_latent(), request.options.keep_norm
        path = self._path(request, latent)
        moved = trajectory(latent, request.direction, request.yaw_deg, path.path_deg, keep)
        return MovedLatents(latent, moved, path)

    def _path(self, request: EditRequest, latent: Latents) -> TurnPath:
        """The places on the path that show the target yaws, by trial frames or by a gain."""
        gain = self.choose_gain(request.options.gain)
        if gain != AUTO:
            return TurnPath(along_path(request.yaw_deg, request.yaws_deg, gain), None)
        return _by_trial_frames(request, latent)


def _by_trial_frames(request: EditRequest, latent: Latents) -> TurnPath:
    """Decode trial steps and measure their yaws; gain 1 if no yaw can be measured."""
    # Late: loads MTCNN, which only this gain needs.
    from rotation.editing.step_calibration import calibrate, trial_steps
    from rotation.poses.mtcnn import LandmarkDetector

    yaw, steps = request.yaw_deg, trial_steps()
    places = (yaw + steps).tolist()
    trials = trajectory(latent, request.direction, yaw, places, request.options.keep_norm)
    detector = LandmarkDetector(request.device)
    read = detector.estimate_crops(decode_pixels(request.model, trials))
    calibration = calibrate(steps.tolist(), read.yaw_deg, read.confidence)
    if calibration is None:
        return TurnPath(along_path(yaw, request.yaws_deg, 1.0), None)
    found, reached = calibration.steps(np.array(request.yaws_deg) - yaw)
    return TurnPath(tuple((yaw + found).tolist()), tuple(reached.tolist()))


def trajectory(
    latent: Floats,
    direction: Direction,
    from_deg: float,
    to_deg: Sequence[float],
    keep_norm: bool = True,
) -> Floats:
    """Move the latent of a source to each of K yaws, (K, ...); see `Direction.move`."""
    return np.stack([direction.move(latent, from_deg, yaw, keep_norm) for yaw in to_deg])
