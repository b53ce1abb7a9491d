"""The errors of the engine. Each message says what was given and what to do."""

from __future__ import annotations


class RotationError(Exception):
    """An expected error. The command line prints its message and exits with code 1."""


class DatasetError(RotationError):
    """A folder, zip or text file cannot be used."""


class ImageError(DatasetError):
    """One image cannot be decoded. The other images can still be used."""


class StoreError(DatasetError):
    """An object store cannot be reached, or does not give what it was asked for.

    It ends the work: an image that could not be fetched must not be taken for an unreadable one.
    """


class UnreachableError(StoreError):
    """A store does not answer, or the connection to it is lost, also when it is asked again.

    What was written is kept, so the same command goes on from there.
    """


class ModelError(RotationError):
    """A model, its settings or its inputs cannot be used."""


class SelectionError(RotationError):
    """A cluster has too few images, or the source or an option does not fit."""


class MissingExtraError(RotationError):
    """A package that only some options need is not installed.

    Parameters:
        need: what needs which package.
        extra: of pyproject.toml, which has a requirements file of its name.
    """

    def __init__(self, need: str, error: ImportError, extra: str = "pictures") -> None:
        self._given = need, error, extra
        super().__init__(
            f"{need}, which is not here ({error}). Install the extra sidelight[{extra}]: "
            f"pip install -r requirements/{extra}.txt"
        )

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, ImportError, str]]:
        return MissingExtraError, self._given


class PassError(RotationError):
    """A pass on a cluster cannot begin or go on."""
