"""The address of an image file, which changes with the content of the file."""

from __future__ import annotations

from flask import url_for

HASH_DIGITS = 16  # hexadecimal digits of the SHA-256 in an address


def image_address(image_id: int, sha256: str) -> str:
    """Return the address of an image. It changes with the content of the file."""
    return url_for("images.image_file", image_id=image_id, sha_prefix=sha256[:HASH_DIGITS])
