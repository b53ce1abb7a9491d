"""A folder of images in an object store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from rotation.data.file_names import is_archive_name, is_image_name
from rotation.data.image_source import CELEBA_FOLDER, MAX_IMAGE_BYTES, ImageSource, safe_name
from rotation.errors import DatasetError, ImageError, StoreError, UnreachableError
from rotation.remote_paths import RemotePath

AT_ONCE = 8  # requests, where it is known what is read next


class RemoteFolderSource(ImageSource):
    """A folder in a store, listed once with all folders in it.

    A pickled source has its list with it, so that other processes do not list the store again.
    What `opening` gives does list it.

    Parameters:
        path: the folder with the images.
        sizes: the list: bytes by name; None asks the store.
    """

    path: RemotePath

    def __init__(self, path: RemotePath, sizes: Mapping[str, int] | None = None) -> None:
        self.path = path
        self._listed = path.find() if sizes is None else sizes
        prefix = f"{CELEBA_FOLDER}/"
        strip = prefix if any(name.startswith(prefix) for name in self._listed) else ""
        self._base = path / CELEBA_FOLDER if strip else path
        here = [name.removeprefix(strip) for name in self._listed if name.startswith(strip)]
        self.archives = sorted(filter(is_archive_name, here))
        images = list(filter(is_image_name, here))
        self._sizes = {name: self._listed[strip + name] for name in images if _is_safe(name)}
        self._names = sorted(self._sizes)
        self._threads, self._owner = ThreadPoolExecutor(AT_ONCE), os.getpid()
        self._ahead: dict[str, Future[bytes]] = {}
        self.notes = tuple(_notes([name for name in images if name not in self._sizes]))

    def __reduce__(
        self,
    ) -> tuple[type[RemoteFolderSource], tuple[RemotePath, Mapping[str, int]]]:
        return RemoteFolderSource, (self.path, self._listed)

    def opening(self) -> Callable[[], ImageSource]:
        """What lists the same folder anew, in another process too."""
        return partial(RemoteFolderSource, self.path)

    def names(self) -> Sequence[str]:
        return self._names

    def read(self, name: str) -> bytes:
        name = safe_name(name)
        asked = self._ahead.pop(name, None) if self._owner == os.getpid() else None
        return self._fetch(name) if asked is None else asked.result()

    def read_ahead(self, names: Sequence[str]) -> None:
        if self._owner != os.getpid():  # a fork has no threads
            self._owner, self._threads = os.getpid(), ThreadPoolExecutor(AT_ONCE)
            self._ahead = {}
        asked = self._ahead  # what another thread has named is dropped, and fetched by `read`
        self._ahead = {
            name: asked.get(name) or self._threads.submit(self._fetch, name) for name in names
        }

    def _fetch(self, name: str) -> bytes:
        if name not in self._sizes:
            raise self._absent(name, self._base)
        if self._sizes[name] > MAX_IMAGE_BYTES:
            raise ImageError(f"{name}: larger than {MAX_IMAGE_BYTES >> 20} MiB")
        store, folder = self._base.connect()
        try:
            found: bytes = (self._base / name).ask(lambda: store.cat_file(f"{folder}/{name}"))
        except UnreachableError:
            raise
        except StoreError as error:  # this one was deleted, or must not be read
            raise ImageError(f"{name}: {error}") from None
        return found

    def close(self) -> None:
        """End what is still fetched."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _is_safe(name: str) -> bool:
    """Whether a name stays what it is, and within the data set, on every system."""
    try:
        return safe_name(name) == name
    except DatasetError:
        return False


def _notes(left_out: Sequence[str]) -> Iterator[str]:
    if left_out:
        yield (
            f"{len(left_out):,} images are left out, because their names would lead out of the "
            f"data set on some system (such as {left_out[0]!r}); rename them"
        )
