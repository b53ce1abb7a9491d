"""Folders and zip files on the server that an admin may choose, under `SIDELIGHT_IMAGE_ROOTS`.

The parts of an address are never joined without a check. A link that leads out of its root is not
shown and cannot be chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from labeler.errors import NotFound
from labeler.languages.texts import gettext as _
from labeler.languages.texts import pgettext
from rotation.data.file_names import is_hidden, is_image_name
from rotation.reading import real_path

SHOWN = 500  # entries of a folder
COUNTED = 10_000  # images of a folder


@dataclass(frozen=True, slots=True)
class ServerEntry:
    """A folder or zip file that can be opened or chosen. `path`: the whole path."""

    name: str
    path: Path
    is_folder: bool


@dataclass(frozen=True, slots=True)
class ServerFolder:
    """A folder under a root.

    Attributes:
        path: the whole path.
        above: the folder above it; None for a root.
        entries: its folders and zip files, by name.
        more: whether there are others.
        images: the number of images directly in it, `COUNTED` at most.
    """

    path: Path
    above: Path | None
    entries: Sequence[ServerEntry]
    more: bool
    images: int


def find_place(roots: Sequence[Path], text: str) -> Path:
    """Return the folder or zip file of that path.

    Raises:
        NotFound: it is not under a root, not even by a link, or does not exist.
    """
    path = real_path(text) if "\0" not in text else Path()
    inside = any(path.is_relative_to(real_path(root)) for root in roots)
    if not text.startswith("/") or not inside or not (path.is_dir() or _is_zip(path)):
        raise NotFound(
            _(
                "%(given)r is not a folder or zip file under the folders that are allowed: "
                "%(allowed)s. SIDELIGHT_IMAGE_ROOTS names these folders.",
                given=text,
                allowed=", ".join(map(str, roots)) or pgettext("folders", "none"),
            )
        )
    return path


def list_folder(roots: Sequence[Path], text: str) -> ServerFolder:
    """Return what a folder holds.

    Raises:
        NotFound: it is not a folder under a root, or it cannot be read.
    """
    path = find_place(roots, text)
    try:
        found = sorted(islice(path.iterdir(), COUNTED)) if path.is_dir() else None
    except OSError as error:
        raise NotFound(
            _("%(path)s cannot be read (%(reason)s).", path=path, reason=error.strerror)
        ) from None
    if found is None:
        raise NotFound(_("%(path)s is a zip file, not a folder.", path=path))
    shown = list(islice(_entries(roots, found), SHOWN + 1))
    return ServerFolder(
        path,
        None if path in map(real_path, roots) else path.parent,
        shown[:SHOWN],
        len(shown) > SHOWN,
        sum(is_image_name(each.name) for each in found),
    )


def _entries(roots: Sequence[Path], found: Sequence[Path]) -> Iterator[ServerEntry]:
    for each in found:
        real = real_path(each)
        inside = any(real.is_relative_to(real_path(root)) for root in roots)
        if is_hidden(each.name) or not inside:
            continue
        if real.is_dir() or _is_zip(real):
            yield ServerEntry(each.name, real, real.is_dir())


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and path.is_file()
