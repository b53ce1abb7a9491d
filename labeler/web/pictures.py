"""The pictures themselves, by number and the head of their content hash."""

from __future__ import annotations

from flask import Blueprint, Response, request, url_for

from labeler.errors import NotFound
from labeler.models import Image
from labeler.services.serving import read_image
from labeler.web import access
from labeler.web.state import db

bp = Blueprint("pictures", __name__)

PREFIX = 16  # hexadecimal digits of the hash in the address


def address_of(image_id: int, sha256: str) -> str:
    """Where a browser gets the picture. Other content has another address."""
    return url_for("pictures.picture", image_id=image_id, sha_prefix=sha256[:PREFIX])


@bp.get("/images/<id:image_id>/<sha_prefix>")
@access.signed_in
def picture(image_id: int, sha_prefix: str) -> Response:
    """An image of the data set, for people who have an account."""
    with db().read() as session:
        image = session.get(Image, image_id)
        if image is None or image.status == "broken" or image.sha256[:PREFIX] != sha_prefix:
            raise NotFound("This image does not exist.")
        known = request.if_none_match.contains(image.sha256)
        content, mime, _ = (b"", "", None) if known else read_image(session, image_id)
    response = Response(content, 304 if known else 200, mimetype=mime or None)
    response.set_etag(image.sha256)
    # The browser of this person may keep it for ever: the address names the content.
    response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    return response
