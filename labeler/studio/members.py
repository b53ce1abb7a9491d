"""The images of a cluster that a turn would use, and their mean face, before anything is turned.

A turn draws its images by chance, up to the largest size of a cluster. Here the first ones by their
number stand for them, so that what is shown comes at once and stays the same.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, true
from sqlalchemy.orm import Session

from labeler.errors import BrokenData, NotFound, StillPreparing
from labeler.images.serving import read_file
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.studio.candidates import Candidates, PreviewSource, select_candidates
from labeler.studio.choices import TurnChoices
from rotation.data.labels import MIRRORED_LABEL

MEAN_OF = 24
MEAN_SIDE = 128
"""Side of a mean face in pixels: that of the standard crop in a photograph of CelebA."""
LEAST_SIDE = 2 * MEAN_SIDE  # in pixels, of a photograph that is read reduced
MOST_PIXELS = 4_000_000  # of an image, after reducing; a larger one takes too long
MAX_PIXELS = 50_000_000  # of the only image that there is
FIRST_STRETCH = 4_000  # images
KEPT_MEANS = 256  # of some 15 kilobytes each
WAIT_S = 10.0
BUSY = mark("Mean faces are being drawn. Try again in a moment.")
_Wanted = tuple[str, tuple[tuple[str, str | None, bool], ...]]
"""A data set, and its members by name and content, each as it is or mirrored."""


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
    members: list[Member] = []
    for first, last in _stretches(session, campaign):
        stretch = statement.where(Consensus.image_id.between(first, last))
        for image, as_it_is, as_mirror in session.execute(stretch):
            members += [Member(image, False)] * bool(as_it_is)
            members += [Member(image, True)] * bool(as_mirror)
        if len(members) >= most:
            break
    return members[:most]


def _stretches(session: Session, campaign: Campaign) -> Iterator[tuple[int, int]]:
    """The numbers of a campaign's images in stretches, each twice as long as the one before.

    Most clusters are full after the first one. PostgreSQL would not know, and sort all images.
    """
    ends = func.min(Consensus.image_id), func.max(Consensus.image_id)
    # SQLite looks up each by itself, and reads all rows for both at once.
    first, last = (
        session.scalar(select(end).where(Consensus.campaign_id == campaign.id)) for end in ends
    )
    length = FIRST_STRETCH
    while first is not None and last is not None and first <= last:
        yield first, first + length - 1
        first, length = first + length, 2 * length


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


class MeanFaces:
    """Draws mean faces, and keeps the last ones by the contents of their files.

    A cold one takes up to a second. So a process draws one at a time, and only one more thread
    waits for it. All others are told to come back.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[_Wanted, bytes] = OrderedDict()
        self._one_at_a_time = threading.Lock()
        self._places = threading.BoundedSemaphore(2)  # for one that draws and one that waits

    def draw(self, path: str, members: Sequence[Member]) -> bytes:
        """Return the mean of the standard crops of members as a PNG.

        Images that cannot be read are left out, and those that are too large to be decoded quickly.
        Large photographs in JPEG files are read reduced, and count like all others.

        Parameters:
            path: the folder or zip file of their data set.

        Raises:
            NotFound: there is no member, or none can be read.
            StillPreparing: other mean faces are being drawn.
        """
        wanted = (
            path,
            tuple((one.image.filename, one.image.sha256, one.mirrored) for one in members),
        )
        kept = self._kept.get(wanted)
        if kept is not None:
            return kept
        if not self._places.acquire(blocking=False):
            raise StillPreparing(_(BUSY))
        try:
            if not self._one_at_a_time.acquire(timeout=WAIT_S):
                raise StillPreparing(_(BUSY))
            try:
                return self._draw_once(wanted)
            finally:
                self._one_at_a_time.release()
        finally:
            self._places.release()

    def _draw_once(self, wanted: _Wanted) -> bytes:
        drawn = self._kept.get(wanted)  # by the thread that was before this one
        if drawn is None:
            drawn = self._kept[wanted] = _draw(*wanted)
            if len(self._kept) > KEPT_MEANS:
                self._kept.popitem(last=False)
        return drawn


MEAN_FACES = MeanFaces()


def _draw(path: str, members: Sequence[tuple[str, str | None, bool]]) -> bytes:
    import numpy as np  # late: most pages need neither
    from PIL import Image as Picture

    crops = [crop for name, _sha256, flip in members for crop in _crop(path, name, flip)]
    for name, _sha256, flip in members if not crops else ():  # only large ones: the first stands
        crops = _crop(path, name, flip, MAX_PIXELS)
        if crops:
            break
    if not crops:
        raise NotFound(_("There is no picture of which a mean face could be drawn."))
    mean = np.rint(np.mean(crops, axis=0)).astype(np.uint8)
    target = io.BytesIO()
    Picture.fromarray(mean).save(target, "PNG")
    return target.getvalue()


def _crop(path: str, name: str, flip: bool, most_pixels: int = MOST_PIXELS) -> list[Any]:
    """Return the standard crop of an image; nothing if it cannot be read or is too large."""
    from rotation.data.crop import standard_crop
    from rotation.data.decoding import decode
    from rotation.errors import ImageError

    try:
        picture = decode(read_file(path, name), name, most_pixels, least_side=LEAST_SIDE)
        crop = standard_crop(picture, MEAN_SIDE)
    except (BrokenData, ImageError):
        return []
    return [crop[:, ::-1] if flip else crop]
