"""Leased pictures as the pages and their scripts know them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from labeler.models import Image, utc_now
from labeler.services.viewing import LeasedImage
from labeler.web.pictures import address_of

# Without scripts a page cannot know the window: a picture is scaled to fit a phone.
PLAIN_WIDTH, PLAIN_HEIGHT = 356, 436


@dataclass(frozen=True, slots=True)
class Hint:
    """The label beside a picture as the person sees it; `probability` None: the votes', a wrong
    one, or one of the grid."""

    label: str
    probability: float | None


@dataclass(frozen=True, slots=True)
class Picture:
    """A leased image; `shown` is in the view of who sees it."""

    image_id: int
    url: str
    width: int
    height: int
    mirrored: bool
    shown: Hint | None
    expires_in_s: int


def picture_of(leased: LeasedImage) -> Picture:
    """A leased image for a page."""
    label = leased.shown_as_seen
    return Picture(
        image_id=leased.image_id,
        url=address_of(leased.image_id, leased.sha256),
        width=leased.width,
        height=leased.height,
        mirrored=leased.view.mirrored,
        shown=Hint(label, leased.view.shown_probability) if label else None,
        expires_in_s=max(0, int((leased.expires_at - utc_now()).total_seconds())),
    )


def answered_picture(image: Image, mirrored: bool) -> Picture:
    """An image that the person has answered, without what was shown beside it."""
    address = address_of(image.id, image.sha256)
    return Picture(image.id, address, image.width or 0, image.height or 0, mirrored, None, 0)


def whole_size(
    width: int, height: int, room: tuple[int, int] = (PLAIN_WIDTH, PLAIN_HEIGHT)
) -> tuple[int, int]:
    """The largest whole multiple (or, of a large picture, whole fraction) that fits the room.

    With another factor some rows of pixels would be doubled and their neighbours not.
    """
    if not width or not height:
        return 0, 0
    fit = min(room[0] / width, room[1] / height)
    factor = int(fit) if fit >= 1 else 1 / math.ceil(1 / fit)
    return round(width * factor), round(height * factor)
