"""When a store fails for one image after another."""

from __future__ import annotations

from rotation.errors import DatasetError, FetchError, StoreError, UnreachableError

MOST_FAILED = 16  # images in a row; each has been asked for several times


class Patience:
    """Knows how many images in a row could not be fetched, and when it is no use to go on."""

    def __init__(self) -> None:
        self._failed = 0

    def note_fetched(self) -> None:
        """An image was fetched."""
        self._failed = 0

    def judge(self, name: str, error: StoreError) -> DatasetError:
        """What to raise for an image: an error of this image, or one that ends the work."""
        self._failed += isinstance(error, UnreachableError)
        if self._failed >= MOST_FAILED:
            return StoreError(
                f"{error}. {self._failed} images in a row could not be fetched, so the work has "
                "stopped. What was written is kept: the same command goes on from there"
            )
        return FetchError(f"{name}: {error}")
