"""What can go wrong in the engine. The message says what was given and what to do."""

from __future__ import annotations


class RotationError(Exception):
    """An expected error; the command line prints it and exits with 1."""


class DatasetError(RotationError):
    """A folder, zip or text file cannot be used as it is."""


class ImageError(DatasetError):
    """One image cannot be decoded; the rest of the set can go on."""


class ModelError(RotationError):
    """A folder holds no usable model."""


class SelectionError(RotationError):
    """Too few images for a cluster, or none for the source."""


class MissingExtraError(RotationError):
    """A package that only some pictures need is not installed."""

    def __init__(self, need: str, error: ImportError) -> None:
        super().__init__(
            f"{need}, which is not here ({error}). Install the extras: "
            "pip install -r requirements/pictures.txt"
        )
