"""The images of a cluster that a turn would use, and their mean face, before anything is turned.

A turn draws its images by chance, up to the largest size of a cluster. Here the first ones by their
number stand for them, so that what is shown comes at once and stays the same.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from sqlalchemy import ColumnElement, and_, or_, true
from sqlalchemy.orm import Session

from labeler.errors import BrokenData, NotFound
from labeler.images.serving import read_file
from labeler.languages.texts import gettext as _
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.studio.candidates import Candidates, PreviewSource, select_candidates
from labeler.studio.choices import TurnChoices
from rotation.data.labels import MIRRORED_LABEL

MEAN_OF = 24
MEAN_SIDE = 128
"""Side of a mean face in pixels: that of the standard crop in a photograph of CelebA."""
MOST_PIXELS = 12_000_000  # that are decoded for one mean face
KEPT_MEANS = 256  # of some 15 kilobytes each


@dataclass(frozen=True, slots=True)
class ClusterPlace:
    """Where a cluster is: its angle and the half width of its window, in whole degrees."""

    angle_deg: int
    half_width_deg: int


@dataclass(frozen=True, slots=True)
class Member:
    """An image of a cluster, as it is or as its mirror image."""

    image: Image
    mirrored: bool


def find_members(
    session: Session,
    campaign: Campaign,
    source: PreviewSource,
    choices: TurnChoices,
    place: ClusterPlace,
    subset_id: int | None = None,
    most: int = MEAN_OF,
) -> list[Member]:
    """Return the first members of a cluster by the numbers of their images.

    Parameters:
        choices: `light` is that of the members, and `attributes` those that all of them share.
        most: how many at most.

    Raises:
        NotFound, Conflict, InvalidInput: there is no such subset, or it cannot be used.
    """
    kept = choices.attributes
    found = select_candidates(session, campaign, source, choices, kept, subset_id)
    light = choices.light if choices.light_filter else ""
    plain, mirrored = _is_inside(found, place, light), _is_inside(found, place, light, -1)
    statement = (
        found.statement.with_only_columns(Image, plain, mirrored)
        .where(found.matching >= len(kept), or_(plain, mirrored))
        .order_by(Consensus.image_id)
        .limit(most)
    )
    members = []
    for image, as_it_is, as_mirror in session.execute(statement):
        members += [Member(image, False)] * bool(as_it_is)
        members += [Member(image, True)] * bool(as_mirror)
    return members[:most]


def _is_inside(
    found: Candidates, place: ClusterPlace, light: str, sign: int = 1
) -> ColumnElement[bool]:
    """Whether an image, or its mirror image for the sign -1, is in a cluster.

    A mirror image negates the yaw and swaps sides.
    """
    middle, half = 2 * sign * place.angle_deg, 2 * place.half_width_deg
    wanted = light if sign > 0 or not light else MIRRORED_LABEL[light]
    has_light = found.label == wanted if light else true()
    return and_(found.place.between(middle - half, middle + half), has_light)


def draw_mean(path: str, members: Sequence[Member]) -> bytes:
    """Return the mean of the standard crops of members as a PNG; those that are large count less.

    It is kept by the contents of the files. Images that cannot be read are left out.

    Parameters:
        path: the folder or zip file of their data set.

    Raises:
        NotFound: there is no member, or none can be read.
    """
    sizes = accumulate((one.image.width or 0) * (one.image.height or 0) for one in members)
    few = [one for one, size in zip(members, sizes, strict=True) if size <= MOST_PIXELS]
    chosen = [(one.image.filename, one.image.sha256, one.mirrored) for one in few or members[:1]]
    return _draw(path, tuple(chosen))


@lru_cache(KEPT_MEANS)
def _draw(path: str, members: Sequence[tuple[str, str, bool]]) -> bytes:
    import numpy as np  # late: most pages need neither
    from PIL import Image as Picture

    from rotation.data.crop import standard_crop
    from rotation.data.decoding import decode
    from rotation.errors import ImageError

    total, count = np.zeros((MEAN_SIDE, MEAN_SIDE, 3)), 0
    for name, _sha256, mirrored in members:
        try:
            crop = standard_crop(decode(read_file(path, name), name), MEAN_SIDE)
        except (BrokenData, ImageError):
            continue
        total += crop[:, ::-1] if mirrored else crop
        count += 1
    if not count:
        raise NotFound(_("There is no picture of which a mean face could be drawn."))
    target = io.BytesIO()
    Picture.fromarray(np.rint(total / count).astype(np.uint8)).save(target, "PNG")
    return target.getvalue()
