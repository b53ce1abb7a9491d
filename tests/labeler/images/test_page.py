"""The pictures: whose, which, and how a browser may keep them."""

from __future__ import annotations

from sqlalchemy import update

from labeler.database.engine import Database
from labeler.models.images import Image
from tests.labeler.conftest import Visit, lease


def test_a_picture_is_kept_by_the_browser(visit: Visit, dataset_id: int) -> None:
    ann = visit("annotator")
    [image] = lease(ann)
    answer = ann.get(image["url"])
    assert (answer.status_code, answer.mimetype) == (200, "image/jpeg")
    assert answer.data[:2] == b"\xff\xd8"
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    again = ann.get(image["url"], headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert ann.get(image["url"], headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_wrong_hash_is_not_found(visit: Visit, dataset_id: int) -> None:
    ann = visit("annotator")
    url = lease(ann)[0]["url"]
    assert ann.get(url[:-1] + ("0" if url[-1] != "0" else "1")).status_code == 404
    assert ann.get(url[:-1]).status_code == 404


def test_nobody_sees_pictures_without_an_account(visit: Visit, dataset_id: int) -> None:
    url = lease(visit("annotator"))[0]["url"]
    assert visit(None).get(url).status_code == 401


def test_a_broken_file_is_not_shown(visit: Visit, db: Database, dataset_id: int) -> None:
    ann = visit("annotator")
    [image] = lease(ann)
    with db.write() as session:
        session.execute(
            update(Image).where(Image.id == image["image_id"]).values(status="broken", problem="x")
        )
    assert ann.get(image["url"]).status_code == 404
