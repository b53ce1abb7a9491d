"""What the names of files tell: images, archives, and files of the system."""

from __future__ import annotations

from pathlib import PurePosixPath

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
)
ARCHIVE_SUFFIXES = frozenset({".zip", ".7z", ".001", ".rar", ".tar", ".tgz", ".gz", ".xz"})


def is_image_name(name: str) -> bool:
    """Whether the name has the suffix of an image and is no hidden or system file."""
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not any(map(is_hidden, path.parts))


def is_utf8(name: str) -> bool:
    """Whether a name can be written into a file; the system gives other bytes as surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_archive_name(name: str) -> bool:
    """Whether the name has the suffix of an archive and is no hidden or system file."""
    suffix = f".{name.rpartition('.')[2].lower()}"
    return suffix in ARCHIVE_SUFFIXES and not any(map(is_hidden, name.split("/")))


def is_hidden(part: str) -> bool:
    """Whether a part of a path is that of a hidden or system file."""
    return part == "__MACOSX" or (part.startswith(".") and part != "..")
