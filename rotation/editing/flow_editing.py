"""Flow editing: warp the image along the flow, and move the latent of the remainder.

A linear direction moves all heads alike. It fades a head's own eyes out in one place, and average
eyes in at another. The places of points are geometry, and the flow between the clusters' mean
images describes them (`rotation.directions.flow`). A flow cannot show parts that turn into view,
or light that stays while the face turns. This remainder is fitted in latents, by the same lines:

    z(yaw) = E(warp(source, yaw)) + path(yaw) - path(source's yaw),
    path fitted to E(member) - warp(mean E of the frontal members, member's yaw)

E is the encoder. Smoothed latents are local, so a mean latent can be warped like an image.
Encoding loses fine detail, which is restored from the warped image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from rotation.clusters.selection import ClusterMembers, Selection
from rotation.data.crop import Pixels
from rotation.directions.direction import Direction
from rotation.directions.flow import SIDE, Flow, fit_flow
from rotation.editing.method import (
    ClusterImages,
    EditedFrames,
    EditingMethod,
    EditRequest,
    MovedLatents,
    RelaxedMeans,
    TurnPath,
    along_path,
)
from rotation.errors import SelectionError
from rotation.imaging.colours import restore_colours
from rotation.imaging.images import from_pixels, to_pixels
from rotation.latents.encoders import Latents, decode_pixels
from rotation.options import AUTO, Gain

Floats = NDArray[np.floating]

FLOW_GAIN = 0.5
"""Share of the mean remainder that a head gets. More keeps the light better, less keeps the person
better (docs/experiments/real-faces.md)."""

SCALE_HEADS = 32
SCALE_TRIALS_DEG = tuple(float(yaw) for yaw in range(-45, 46, 5))
LEAST_SCALE = 0.5  # an estimator that measures less than half of each yaw sees no faces
LEAST_READINGS = 6
YAW_SCALES = (0.7, 2.0)
"""Range of plausible yaw scales. Values outside it come from bad images."""


class FlowEditing(EditingMethod):
    """Warps the image along the flow, and moves the latent of the warped image."""

    def choose_gain(self, gain: Gain | None, easily_edited: bool = False) -> Gain:
        """See `EditingMethod`. The gain is a share of the remainder, so `AUTO` is refused."""
        if gain == AUTO:
            raise SelectionError(
                f"The gain {AUTO!r} measures steps along the line alone. Turn by line "
                "(--editing line), or give a number above 0."
            )
        return FLOW_GAIN if gain is None else gain

    def prepare(
        self,
        clusters: ClusterImages,
        latents: Latents,
        relaxed_means: RelaxedMeans,
        device: torch.device | str,
    ) -> tuple[Latents, Flow | None]:
        """See `EditingMethod`. Returns the remainder of the latents, and the flow."""
        selection = clusters.selection
        flow = scale_yaw(fit_clusters(*relaxed_means(SIDE)), selection, clusters.crops, device)
        return leave_remainder(latents, selection, flow), flow

    def move(self, request: EditRequest) -> MovedLatents:
        """See `EditingMethod`.

        The latent of each warped image has a norm of its own, and the step added is small. So the
        norm is not restored.
        """
        start, to_deg = request.yaw_deg, request.yaws_deg
        flow = flow_of(request.direction)
        gain = self.choose_gain(request.options.gain)
        path = along_path(start, to_deg, float(gain))
        image = torch.from_numpy(from_pixels(request.crop[None]))
        several = image.expand(len(to_deg), -1, -1, -1)
        warped = flow.warp(several, [start] * len(to_deg), to_deg).clamp(0, 1)
        latents = request.model.encode(torch.cat([image, warped])).numpy()
        moved = move_remainders(request.direction, latents[1:], start, path)
        pixels = to_pixels(warped.numpy())
        return MovedLatents(latents[0], moved, TurnPath(path, None), pixels, latents[1:])

    def show(self, request: EditRequest, moved: MovedLatents) -> EditedFrames:
        """See `EditingMethod`.

        `EditingOptions.detail` is the share of the encoding loss that is restored. 0: the frame is
        decoded. 1: the warped image changes only as much as its latent does.
        """
        assert moved.warped is not None
        assert moved.warped_latents is not None
        crop, count = request.crop, len(moved.frames)
        latents = np.concatenate([moved.source[None], moved.warped_latents, moved.frames])
        plain = decode_pixels(request.model, latents)
        shown = restore_colours(plain, plain[0], crop) / 255.0
        images = np.concatenate([crop[None], moved.warped])
        lost = request.options.detail * (images / 255.0 - shown[: count + 1])
        frames = np.concatenate([shown[:1], shown[count + 1 :]]) + lost
        frames = np.rint(frames.clip(0, 1) * 255).astype(np.uint8)
        return EditedFrames(frames[1:], frames[0], moved)


def flow_of(direction: Direction) -> Flow:
    """The flow that a direction was fitted with; `SelectionError` if there is none."""
    if direction.flow is None:
        raise SelectionError("The direction goes with no flow; turn by line.")
    return Flow.of(direction.flow)


def move_remainders(
    direction: Direction, latents: Latents, yaw_deg: float, places_deg: Sequence[float]
) -> Latents:
    """Latents (K, C, H, W) of turned images, each moved from `yaw_deg` to its place on the path."""
    moved = [
        direction.move(z, yaw_deg, place, keep_norm=False)
        for z, place in zip(latents, places_deg, strict=True)
    ]
    return np.stack(moved)


def fit_clusters(selection: Selection, means: Pixels) -> Flow:
    """Fit the flow between the clusters' mean images (K, S, S, 3), without empty clusters."""
    filled = [k for k, size in enumerate(selection.sizes) if size]
    yaws = [selection.mean_yaws_deg[k] for k in filled]
    sizes = [selection.clusters[k].effective_size for k in filled]
    return fit_flow(means[filled], yaws, sizes)


def leave_remainder(latents: Latents, selection: Selection, flow: Flow) -> Latents:
    """Subtract the warped frontal centroid from the members' latents (n, C, H, W), as used."""
    parts = np.cumsum((0, *selection.sizes))
    frontal = _frontal(selection)
    weights = selection.clusters[frontal].weights
    centroid = np.average(latents[parts[frontal] : parts[frontal + 1]], axis=0, weights=weights)
    # Yaws are rounded to degrees, so that at most a hundred latents are warped.
    yaws, which = np.unique(np.rint(selection.members.yaw_deg), return_inverse=True)
    start = [selection.mean_yaws_deg[frontal]] * len(yaws)
    middle = torch.from_numpy(centroid.astype(np.float32))[None].expand(len(yaws), -1, -1, -1)
    warped = flow.warp(middle, start, yaws.tolist()).numpy()
    return np.asarray(latents - warped[which.reshape(-1)], dtype=np.float32)


def scale_yaw(
    flow: Flow, selection: Selection, crops: dict[int, Pixels], device: torch.device | str
) -> Flow:
    """Give a flow its yaw scale, so that heads turn as far as asked; see `fit_yaw_scale`.

    Up to `SCALE_HEADS` members of the frontal cluster are warped to `SCALE_TRIALS_DEG`. Their yaws
    are measured by landmarks. Unwarped members of all clusters are measured too, so that the
    scale of the pose estimator cancels.

    Parameters:
        flow: the flow.
        selection: the clusters.
        crops: the crops (S, S, 3) of the members, by row.
        device: where landmarks are found.

    Returns:
        The flow with its yaw scale; unchanged if too few yaws can be measured.
    """
    from rotation.poses.mtcnn import LandmarkDetector  # late: loads MTCNN

    detector = LandmarkDetector(device)
    known = [_some(cluster, SCALE_HEADS) for cluster in selection.clusters if len(cluster)]
    yaws = np.concatenate([members.yaw_deg for members in known])
    seen = detector.estimate_crops(np.concatenate([_images(m, crops) for m in known])).yaw_deg
    good = np.isfinite(seen)
    scale = float(seen[good] @ yaws[good]) / max(float(yaws[good] @ yaws[good]), 1e-9)
    if scale < LEAST_SCALE:
        return flow
    heads = _some(selection.clusters[_frontal(selection)], SCALE_HEADS)
    images = torch.from_numpy(from_pixels(_images(heads, crops)))
    start, means = heads.yaw_deg.tolist(), []
    for yaw in SCALE_TRIALS_DEG:
        warped = flow.warp(images, start, [yaw] * len(heads)).clamp(0, 1)
        read = detector.estimate_crops(to_pixels(warped.numpy())).yaw_deg
        means.append(read[np.isfinite(read)].mean() if np.isfinite(read).any() else np.nan)
    reach = float(np.nanmax(np.abs(selection.mean_yaws_deg)))
    found = fit_yaw_scale(np.array(SCALE_TRIALS_DEG), np.array(means) / scale, reach)
    return flow if found is None else replace(flow, yaw_scale=torch.tensor([found]))


def fit_yaw_scale(warped_deg: Floats, read_deg: Floats, reach_deg: float) -> float | None:
    """Fit the factor by which the turn along a flow must be multiplied.

    The least squares fit is scale * read = warped. One factor serves both sides.

    Parameters:
        warped_deg: yaws (n,) that frontal images were warped to.
        read_deg: yaws (n,) measured on the warped images; NaN if not measured.
        reach_deg: measurements beyond it do not count. There, warped images tear, and their
            measured yaw saturates.

    Returns:
        The factor. None if too few measurements count, or if it lies outside `YAW_SCALES`.
    """
    good = np.abs(read_deg) <= reach_deg  # False for NaN
    if good.sum() < LEAST_READINGS or not np.any(read_deg[good]):
        return None
    read = np.asarray(read_deg, dtype=np.float64)[good]
    scale = float(read @ np.asarray(warped_deg)[good] / (read @ read))
    return scale if YAW_SCALES[0] <= scale <= YAW_SCALES[1] else None


def _frontal(selection: Selection) -> int:
    """The number of the non-empty cluster nearest to yaw 0."""
    filled = [k for k, size in enumerate(selection.sizes) if size]
    return min(filled, key=lambda k: abs(selection.angles_deg[k]))


def _some(members: ClusterMembers, most: int) -> ClusterMembers:
    """At most `most` members, taken at even intervals."""
    chosen = np.unique(np.linspace(0, len(members) - 1, min(most, len(members))).round())
    return members.take(chosen.astype(np.intp))


def _images(members: ClusterMembers, crops: dict[int, Pixels]) -> Pixels:
    """The crops (n, S, S, 3) of members, mirrored as they are used."""
    found = np.stack([crops[row] for row in members.rows.tolist()])
    found[members.mirrored] = found[members.mirrored][:, :, ::-1]
    return found
