"""The source of a turn: an image of the data set by its name or number, or an uploaded picture."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.errors import BrokenData, InvalidInput, NotFound
from labeler.languages.texts import gettext as _
from labeler.models.base import MAX_ID
from labeler.models.images import Image
from labeler.rules.validation import read_whole
from rotation.data.decoding import decode
from rotation.data.file_names import is_image_name
from rotation.errors import ImageError

LEAST_SIDE = 48  # pixels; the engine finds no face in less


def find_source(session: Session, dataset_id: int, text: str) -> Image:
    """Return the image of a data set with a file name or a number. It may be broken.

    A name without its ending is enough if only one image has it.

    Raises:
        NotFound: there is none.
        InvalidInput: several images begin so.
    """
    return _find(session, dataset_id, text.strip())


def check_upload(data: bytes, name: str) -> bytes:
    """Return the bytes of a picture if it can be decoded, under the limits of every image.

    Raises:
        InvalidInput: the name does not end as that of an image.
        BrokenData: it is no image, is damaged or too small, or has too many pixels.
    """
    if not is_image_name(name):
        raise InvalidInput(
            _("%(name)s: choose a picture, such as a JPEG or PNG file.", name=name[:60])
        )
    try:
        picture = decode(data, name)
    except ImageError as error:
        raise BrokenData(f"{error}.") from None
    if min(picture.size) < LEAST_SIDE:
        width, height = picture.size
        raise BrokenData(
            _(
                "%(name)s has %(width)s × %(height)s pixels. It needs at least %(least)s on each "
                "side.",
                name=name,
                width=width,
                height=height,
                least=LEAST_SIDE,
            )
        )
    return data


def _find(session: Session, dataset_id: int, text: str) -> Image:
    own = Image.dataset_id == dataset_id
    named = session.scalars(select(Image).where(own, Image.filename == text)).first()
    if named is not None:
        return named
    number = read_whole(text)
    if number is not None and 0 < number <= MAX_ID:
        found = session.get(Image, number)
        if found is not None and found.dataset_id == dataset_id:
            return found
    begun = Image.filename.startswith(f"{text}.", autoescape=True)
    several = session.scalars(select(Image).where(own, begun).limit(2)).all() if text else []
    if len(several) == 1:
        return several[0]
    if several:
        raise InvalidInput(
            _("Several images are called %(name)r. Enter the name with its ending.", name=text)
        )
    raise NotFound(
        _("The data set has no image %(name)r. Enter its file name or its number.", name=text[:60])
    )
