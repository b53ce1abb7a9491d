"""Refuse a zip file that no import should open: a bomb, links, names that lead out of it.

Only its directory is read. Whether each image can be decoded is checked after the registration,
image by image, as for every data set.
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from labeler.errors import BrokenData
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from rotation.data.file_names import is_image_name
from rotation.data.image_source import safe_name
from rotation.data.sources import open_source
from rotation.data.zip_files import ZipError, entry_name, open_zip
from rotation.errors import DatasetError

MAX_RATIO = 200  # images are compressed already; a larger ratio is a bomb
BOMB_BYTES = 256 * 2**20  # smaller contents may have any ratio
MAX_DIRECTORY_BYTES = 512  # for each image that is allowed
OTHER_ENTRIES = 1_000  # folders, text files, and files of the system
_UNIX = 3


def check_images_at(path: Path, max_images: int) -> None:
    """Check the zip file or the folder of an import.

    Parameters:
        max_images: the largest number of images.

    Raises:
        BrokenData: it must not be opened. The message says why.
        DatasetError: the folder cannot be opened or holds no image.
    """
    if path.is_file():
        _check_zip(path, max_images)
        return
    with open_source(path) as source:
        _check_count(len(source.names()), max_images)


def _check_zip(path: Path, max_images: int) -> None:
    size = path.stat().st_size
    if _directory_bytes(path) > MAX_DIRECTORY_BYTES * (max_images + OTHER_ENTRIES):
        raise BrokenData(_too_many(_("far more"), max_images))
    try:
        with open_zip(path) as archive:
            entries = archive.infolist()
    except ZipError as error:
        raise BrokenData(
            _(
                "This is not a zip file, or it is cut off (%(reason)s). Make it again, and check "
                "that it opens on your computer.",
                reason=error,
            )
        ) from None
    _check_count(sum(is_image_name(entry_name(entry)) for entry in entries), max_images)
    if len(entries) > 2 * max_images + OTHER_ENTRIES:
        raise BrokenData(
            _too_many(_("%(count)s entries", count=write_number(len(entries))), max_images)
        )
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > max(BOMB_BYTES, MAX_RATIO * size):
        raise BrokenData(
            _(
                "The zip file has %(size)s bytes and would unpack to %(unpacked)s. Images do not "
                "compress so well, so it looks like a zip bomb. Make a new zip file of the "
                "images.",
                size=write_number(size),
                unpacked=write_number(unpacked),
            )
        )
    for problem in _entry_problems(entries):
        raise BrokenData(_("%(problem)s Make a new zip file of the images.", problem=problem))


def _entry_problems(entries: list[zipfile.ZipInfo]) -> Iterator[str]:
    seen: set[str] = set()
    for entry in entries:
        name = entry_name(entry)
        try:
            safe_name(name)
        except DatasetError:
            yield _("The zip file holds %(name)r, which leads out of it.", name=name)
        if entry.create_system == _UNIX and stat.S_ISLNK(entry.external_attr >> 16):
            yield _("The zip file holds the link %(name)r. Links are not followed.", name=name)
        if name in seen:
            yield _("The zip file holds %(name)r twice.", name=name)
        seen.add(name)


def _check_count(images: int, max_images: int) -> None:
    if images > max_images:
        raise BrokenData(_too_many(_("%(count)s images", count=write_number(images)), max_images))


def _too_many(found: str, max_images: int) -> str:
    return _(
        "There are %(found)s; %(limit)s images are allowed (SIDELIGHT_UPLOAD_IMAGES). Add them as "
        "several data sets, or raise the setting.",
        found=found,
        limit=write_number(max_images),
    )


def _directory_bytes(path: Path) -> int:
    """The size of the directory of a zip, as its end tells it; 0 if it has no end."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 66_000))
        tail = file.read()
    here = tail.rfind(b"PK\5\6")
    told = int.from_bytes(tail[here + 12 : here + 16], "little") if here >= 0 else 0
    large = tail.rfind(b"PK\6\6")  # the end of a zip of more than 65,535 entries or 4 GB
    if large >= 0:
        told = int.from_bytes(tail[large + 40 : large + 48], "little")
    return told
