"""Editing along a flow: the image is warped, and what the flow leaves is moved in latent space.

A linear direction moves all heads alike: it knows where noses go on average, and fades a head's own
eyes out in one place and the average's in at another. Where the points of this head go is geometry,
and the flow between the clusters' mean images tells it (`rotation.directions.flow`). What flow
cannot tell - the ear and cheek that turn into view, light that stays while the face turns
under it - is still how latents change, and the same lines are fitted to that remainder:

    z(yaw) = E(warp(source, yaw)) + path(yaw) - path(source's yaw),
    path fitted to E(member) - warp(mean E of the frontal members, member's yaw)

Smooth latents are local, so that a mean latent is warped as an image is. The frames' fine detail,
which embedding loses, is given back from the warped image.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from rotation.clusters.selection import ClusterMembers, Selection
from rotation.data.crop import Pixels
from rotation.directions.flow import SIDE, Flow, fit_flow
from rotation.editing.method import (
    ClusterImages,
    EditedFrames,
    EditingMethod,
    EditRequest,
    MovedLatents,
    TurnPath,
    WideMeans,
    along_path,
)
from rotation.errors import SelectionError
from rotation.imaging.colours import restore_colours
from rotation.imaging.images import from_pixels, to_pixels
from rotation.latents.encoders import Latents, decode_pixels
from rotation.options import AUTO, Gain

Floats = NDArray[np.floating]

FLOW_GAIN = 0.5
"""How much of the others' mean remainder a head gets: with more the light stays better, with less
the person does (docs/experiments/real-faces.md has both)."""

SCALE_HEADS = 32
SCALE_TRIALS_DEG = tuple(float(yaw) for yaw in range(-45, 46, 5))
LEAST_SCALE = 0.5  # a pose estimator that sees less than half of a turn sees no faces
LEAST_READINGS = 6
YAW_SCALES = (0.7, 2.0)
"""A smaller or greater yaw scale was read off bad images."""


class FlowEditing(EditingMethod):
    """Warps the image along the flow between the clusters' means, and moves the latent of that."""

    def choose_gain(self, gain: Gain | None, smooth: bool = False) -> Gain:
        """See `EditingMethod`: a share of the remainder, which no trial frames can tell."""
        if gain == AUTO:
            raise SelectionError(
                "--gain auto reads steps along the line alone: give --no-carry as well, or a "
                "number."
            )
        return FLOW_GAIN if gain is None else gain

    def prepare(
        self,
        clusters: ClusterImages,
        latents: Latents,
        wide: WideMeans,
        device: torch.device | str,
    ) -> tuple[Latents, Flow | None]:
        """See `EditingMethod`: what the flow leaves of the latents, and the flow."""
        selection = clusters.selection
        flow = scale_yaw(fit_clusters(*wide(SIDE)), selection, clusters.crops, device)
        return leave_remainder(latents, selection, flow), flow

    def move(self, request: EditRequest) -> MovedLatents:
        """See `EditingMethod`.

        Each warped image's latent has its own norm, and what is added is small: no norm is kept.
        """
        direction, start, to_deg = request.direction, request.yaw_deg, request.yaws_deg
        if direction.flow is None:
            raise SelectionError("The direction goes with no flow; turn by line.")
        gain = self.choose_gain(request.options.gain)
        path = along_path(start, to_deg, float(gain))
        image = torch.from_numpy(from_pixels(request.crop[None]))
        several = image.expand(len(to_deg), -1, -1, -1)
        flow = Flow.of(direction.flow)
        warped = flow.warp(several, [start] * len(to_deg), to_deg).clamp(0, 1)
        latents = request.model.encode(torch.cat([image, warped])).numpy()
        moved = np.stack(
            [
                direction.move(z, start, place, keep_norm=False)
                for z, place in zip(latents[1:], path, strict=True)
            ]
        )
        pixels = to_pixels(warped.numpy())
        return MovedLatents(latents[0], moved, TurnPath(path, None), pixels, latents[1:])

    def show(self, request: EditRequest, moved: MovedLatents) -> EditedFrames:
        """See `EditingMethod`.

        `detail` is the share of what embedding the warped image loses that is given back: 0
        leaves the frame to the model, 1 changes the warped image only as the latents change.
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


def fit_clusters(selection: Selection, means: Pixels) -> Flow:
    """The flow between the mean images (K, S, S, 3) of clusters; empty ones are left out."""
    filled = [k for k, size in enumerate(selection.sizes) if size]
    yaws = [selection.mean_yaws_deg[k] for k in filled]
    sizes = [selection.clusters[k].effective_size for k in filled]
    return fit_flow(means[filled], yaws, sizes)


def leave_remainder(latents: Latents, selection: Selection, flow: Flow) -> Latents:
    """Latents (n, C, H, W) of the members as used, less what the flow makes of the frontal ones."""
    parts = np.cumsum((0, *selection.sizes))
    frontal = _frontal(selection)
    weights = selection.clusters[frontal].weights
    centroid = np.average(latents[parts[frontal] : parts[frontal + 1]], axis=0, weights=weights)
    # Whole degrees: a hundred images are warped, however many members there are.
    yaws, which = np.unique(np.rint(selection.members.yaw_deg), return_inverse=True)
    start = [selection.mean_yaws_deg[frontal]] * len(yaws)
    middle = torch.from_numpy(centroid.astype(np.float32))[None].expand(len(yaws), -1, -1, -1)
    warped = flow.warp(middle, start, yaws.tolist()).numpy()
    return np.asarray(latents - warped[which.reshape(-1)], dtype=np.float32)


def scale_yaw(
    flow: Flow, selection: Selection, crops: dict[int, Pixels], device: torch.device | str
) -> Flow:
    """The flow with a yaw scale, so that heads turn as far as asked: see `fit_yaw_scale`.

    Members of the cluster next to the front, `SCALE_HEADS` at most, are warped to
    `SCALE_TRIALS_DEG` and measured by their landmarks, found on `device`. Members as they are
    are measured alike, so that the estimator's own scale cancels. The flow as it is where
    nothing can be measured.
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
    wide = torch.from_numpy(from_pixels(_images(heads, crops)))
    start, means = heads.yaw_deg.tolist(), []
    for yaw in SCALE_TRIALS_DEG:
        warped = flow.warp(wide, start, [yaw] * len(heads)).clamp(0, 1)
        read = detector.estimate_crops(to_pixels(warped.numpy())).yaw_deg
        means.append(read[np.isfinite(read)].mean() if np.isfinite(read).any() else np.nan)
    reach = float(np.nanmax(np.abs(selection.mean_yaws_deg)))
    found = fit_yaw_scale(np.array(SCALE_TRIALS_DEG), np.array(means) / scale, reach)
    return flow if found is None else replace(flow, yaw_scale=torch.tensor([found]))


def fit_yaw_scale(warped_deg: Floats, read_deg: Floats, reach_deg: float) -> float | None:
    """For how many times the turn asked for a flow must be followed.

    By least squares from images at 0 that were warped to `warped_deg` (n,) and then read as at
    `read_deg` (n,): scale * read = warped. One number, so left and right run alike. Readings
    beyond `reach_deg` do not count: there, what is warped tears, and readings stay where they
    are. None where too few readings are left or the scale would leave `YAW_SCALES`.
    """
    good = np.abs(read_deg) <= reach_deg  # False where nothing was read
    if good.sum() < LEAST_READINGS or not np.any(read_deg[good]):
        return None
    read = np.asarray(read_deg, dtype=np.float64)[good]
    scale = float(read @ np.asarray(warped_deg)[good] / (read @ read))
    return scale if YAW_SCALES[0] <= scale <= YAW_SCALES[1] else None


def _frontal(selection: Selection) -> int:
    """The cluster with members that is next to the front."""
    filled = [k for k, size in enumerate(selection.sizes) if size]
    return min(filled, key=lambda k: abs(selection.angles_deg[k]))


def _some(members: ClusterMembers, most: int) -> ClusterMembers:
    """At most so many members, evenly taken."""
    chosen = np.unique(np.linspace(0, len(members) - 1, min(most, len(members))).round())
    return members.take(chosen.astype(np.intp))


def _images(members: ClusterMembers, crops: dict[int, Pixels]) -> Pixels:
    """The crops (n, S, S, 3) of members, mirrored ones mirrored."""
    found = np.stack([crops[row] for row in members.rows.tolist()])
    found[members.mirrored] = found[members.mirrored][:, :, ::-1]
    return found
