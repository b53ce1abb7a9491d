"""Files and folders in object stores, by their URL: read through fsspec.

A `RemotePath` has those operations of `pathlib.Path` that image sets need, so one code finds CelebA
in a folder and in a bucket. fsspec and the package of a store are imported when a store is asked.

Credentials are those that fsspec finds in the environment. They are never part of a message: the
user and the query of a URL, which may be signed, are left out.
"""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from rotation.errors import MissingExtraError, StoreError, UnreachableError

T = TypeVar("T")

CONNECT_S = 5.0
READ_S = 10.0  # without a byte; a store that is silent is given up after a minute
PAUSES_S = (0.5, 1.5)  # before each further try
BLOCK_BYTES = 2**20  # of a zip: some hundred small pictures with one request
BLOCKS = 32  # of a zip, in memory
S3, WEB = ("s3", "s3a"), ("http", "https")
PROBES = 16  # requests at once whether files are there
_SCHEME = re.compile(r"(?:[a-z][a-z0-9+.-]*::)*([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_URL_IN_TEXT = re.compile(r"[a-z][a-z0-9+.-]+://[^\s'\"<>]+", re.IGNORECASE)
_QUERY = re.compile(r"[?#]")
_OF_THE_EXTRA = (*S3, *WEB)
_ABSENT = (404, 410)
_REFUSED = (401, 403, *_ABSENT)
_TIMEOUTS = {"ConnectTimeoutError", "ReadTimeoutError"}  # of botocore
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"}


def is_url(text: object) -> bool:
    """Whether a text is a URL, such as `s3://bucket/faces`, and no path."""
    return isinstance(text, str) and _SCHEME.match(text) is not None


def redact(text: str) -> str:
    """The text, with URLs that tell neither user nor query.

    A text that is a URL as a whole may have any character in it.
    """
    if is_url(text):
        return _describe(text)
    return _URL_IN_TEXT.sub(lambda found: _describe(found[0]), text)


def _describe(url: str) -> str:
    try:
        return str(RemotePath(url))
    except StoreError:  # it cannot be parted, so none of it is told
        return "(a URL)"


@dataclass(frozen=True, repr=False)
class RemotePath:
    """A file or folder in a store. Making one asks nothing.

    Its text is the URL without user and query.

    Attributes:
        url: as fsspec reads it, without a `/` at its end.
    """

    url: str

    def __post_init__(self) -> None:
        head, place, query = self._split()
        if "://" in place:  # users and queries of both would be in messages
            raise StoreError("A URL within a URL cannot be read. Give that of one folder or zip.")
        object.__setattr__(self, "url", head + place.rstrip("/") + query)

    def _split(self) -> tuple[str, str, str]:
        """Schemes, place and query. Only the web has queries: a key may have any character."""
        found = _SCHEME.match(self.url)
        if found is None:
            raise ValueError(f"{self.url!r} is not a URL")
        rest = self.url[found.end() :]
        parted = _QUERY.search(rest) if found[1].lower() in WEB else None
        end = len(rest) if parted is None else parted.start()
        return self.url[: found.end()], rest[:end], rest[end:]

    def __str__(self) -> str:
        head, place, _query = self._split()
        host, slash, rest = place.partition("/")
        if ":" in host and "@" in rest and self._protocol not in WEB:  # a key may have a slash
            return head + place.rpartition("@")[2]
        return head + host.rpartition("@")[2] + slash + rest

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __truediv__(self, name: str | PurePosixPath) -> RemotePath:
        head, place, query = self._split()
        return RemotePath(f"{head}{place}/{name}{query}")

    @property
    def name(self) -> str:
        """The last part."""
        return self._split()[1].rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def parent(self) -> RemotePath:
        """The folder of it; that of a bucket or server is itself."""
        head, place, query = self._split()
        return RemotePath(head + (place.rpartition("/")[0] or place) + query)

    @property
    def parents(self) -> Iterator[RemotePath]:
        """The folders above it, up to its bucket or server."""
        below, above = self, self.parent
        while above != below:
            yield above
            below, above = above, above.parent

    def relative_to(self, folder: RemotePath) -> PurePosixPath:
        """The path within a folder of `parents`."""
        return PurePosixPath(self._split()[1].removeprefix(f"{folder._split()[1]}/"))

    def absolute(self) -> RemotePath:
        """The same: a URL is absolute."""
        return self

    def is_dir(self) -> bool:
        """Whether it is meant as a folder: neither a zip, nor on the web, which cannot list.

        The store is not asked.
        """
        return not self.is_zip() and self._protocol not in WEB

    def is_zip(self) -> bool:
        """Whether its name is that of a zip."""
        return self.name.lower().endswith(".zip")

    def is_file(self) -> bool:
        """Whether the store has a file there. One that must not be read does not count.

        Raises:
            StoreError: the store cannot be asked.
        """
        found = self._info()
        return found is not None and found["type"] == "file"

    def exists(self) -> bool:
        """Whether the store has a file or folder there, as `is_file`."""
        return self._info() is not None

    def check(self) -> None:
        """Ask the store for it.

        Raises:
            StoreError: it does not exist, must not be read, or the store cannot be reached.
        """
        store, path = self.connect()
        self.ask(lambda: store.info(path))

    def find(self) -> dict[str, int]:
        """The size in bytes of each file below this folder, by its path relative to it.

        Raises:
            StoreError: it cannot be listed.
        """
        store, path = self.connect()
        found = self.ask(lambda: store.find(path, detail=True))
        return {
            name.removeprefix(f"{path}/"): info.get("size") or 0
            for name, info in found.items()
            if info["type"] == "file" and name.startswith(f"{path}/")
        }

    def read_bytes(self, most: int) -> bytes:
        """The bytes of this file.

        Raises:
            StoreError: it cannot be read, or has more than `most` bytes.
        """
        store, path = self.connect()
        size = self.ask(lambda: store.info(path)).get("size")  # some web servers do not tell
        if size is None or size <= most:
            end = most + 1 if size is None else None
            found: bytes = self.ask(lambda: store.cat_file(path, end=end))
            if len(found) <= most:
                return found
        raise StoreError(f"{self}: it has more than {most:,} bytes")

    def open(self) -> RemoteFile:
        """This file, open for reading, as a file that can be read from any place.

        Raises:
            StoreError: it cannot be opened.
        """
        return RemoteFile(self)

    def connect(self) -> tuple[Any, str]:
        """The file system of fsspec, and the path in it. After a fork it is another one.

        Raises:
            MissingExtraError: a package of the extra is not installed.
            StoreError: the URL is of a kind that fsspec does not know.
        """
        head, place, _query = self._split()
        try:
            store = _connect(head + place.partition("/")[0], os.getpid())
        except ImportError as error:
            if self._protocol in _OF_THE_EXTRA or not find_spec("fsspec"):
                need = f"Reading {self} needs fsspec with s3fs or aiohttp"
                raise MissingExtraError(need, error, "remote") from None
            raise StoreError(f"{self}: {error}") from None
        except Exception as error:  # noqa: BLE001 - stores have errors of their own
            raise StoreError(f"{self}: {_explain(error)[0]}") from None
        return store, store._strip_protocol(self.url.rpartition("::")[2])

    @property
    def _protocol(self) -> str:
        return self._split()[0].removesuffix("://").rpartition("::")[2].lower()

    def ask(self, question: Callable[[], T]) -> T:
        """The answer of the store, which is asked again if the connection fails.

        Raises:
            StoreError: it has not answered, or says no.
        """
        for pause in (*PAUSES_S, None):
            try:
                return question()
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - stores have errors of their own
                reason, is_final = _explain(error)
                if is_final or pause is None:
                    kind = StoreError if is_final else UnreachableError
                    raise kind(f"{self}: {reason}") from None
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _info(self) -> dict[str, Any] | None:
        store, path = self.connect()

        def look() -> dict[str, Any] | None:
            try:
                found: dict[str, Any] = store.info(path)
            except Exception as error:
                if _is_no(_cause(error)):
                    return None
                raise
            return found

        return self.ask(look)


class RemoteFile(io.RawIOBase):
    """A file in a store, open for reading in blocks, which are kept a while.

    It is opened anew after a fork.

    Raises:
        StoreError: by all operations, if the store does not answer or cannot give parts of a file.
    """

    def __init__(self, path: RemotePath) -> None:
        self._path, self._at = path, 0
        self._process = 0  # none that has a file to close
        self._open()

    def _open(self) -> None:
        store, path = self._path.connect()
        settings = {
            "block_size": BLOCK_BYTES,
            "cache_type": "blockcache",
            "cache_options": {"maxblocks": BLOCKS},
        }
        self._file = self._path.ask(lambda: store.open(path, "rb", **settings))
        self._process = os.getpid()
        with self._parts_wanted():
            self._size = self._file.seek(0, os.SEEK_END)

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The offset of what is read next."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset; the store is not asked."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError(22, os.strerror(22))  # as files of the system say it
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read as much as fits, or is left."""
        if self._process != os.getpid():
            self._open()
        wanted = len(buffer)

        def read() -> bytes:
            with self._parts_wanted():
                self._file.seek(self._at)
                found: bytes = self._file.read(wanted)
            return found

        data = self._path.ask(read)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    @contextmanager
    def _parts_wanted(self) -> Iterator[None]:
        """Tell of a server that cannot give parts; fsspec says so by a `ValueError`."""
        try:
            yield
        except ValueError:
            raise StoreError(
                f"{self._path}: the server gives whole files only; download the zip first"
            ) from None

    def close(self) -> None:
        """Close it."""
        if not self.closed and self._process == os.getpid():
            self._file.close()
        super().close()


ImagePlace = Path | RemotePath
"""Where an image set, or a file beside it, is."""


def existing_files(paths: Sequence[ImagePlace]) -> set[ImagePlace]:
    """Those of the paths where there is a file, or a pipe in place of one.

    Raises:
        StoreError: a store cannot be asked.
    """
    found = {path for path in paths if isinstance(path, Path) and _is_no_folder(path)}
    remote = [path for path in paths if isinstance(path, RemotePath)]
    with ThreadPoolExecutor(PROBES) as threads:  # an answer may take as long as many of them
        there = threads.map(RemotePath.is_file, remote)
        return found | {path for path, is_there in zip(remote, there, strict=True) if is_there}


def _is_no_folder(path: Path) -> bool:
    return os.path.exists(path) and not path.is_dir()


@lru_cache(maxsize=64)
def _connect(root: str, _process: int) -> Any:
    """The file system of a bucket or server, one for all threads of a process."""
    from fsspec import core

    found = _SCHEME.match(root)
    assert found is not None  # a RemotePath has checked it
    protocol = found[1].lower()
    bounds = _bounds(protocol)
    store = core.url_to_fs(root, **({protocol: bounds} if bounds else {}))[0]
    if protocol in S3:
        # Of s3fs, at once; with its own number a silent store takes minutes.
        getattr(store, "fs", store).retries = 2
    return store


def _bounds(protocol: str) -> dict[str, Any]:
    """Settings that let no request wait for ever; those of fsspec's own configuration go first."""
    if protocol in WEB:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S)
        return {"client_kwargs": {"timeout": timeout} | _configured(protocol, "client_kwargs")}
    if protocol in S3:
        tries = {"total_max_attempts": 1, "mode": "standard"}  # `ask` and s3fs try again
        limits = {"connect_timeout": CONNECT_S, "read_timeout": READ_S, "retries": tries}
        return {"config_kwargs": limits | _configured(protocol, "config_kwargs")}
    return {}


def _configured(protocol: str, name: str) -> dict[str, Any]:
    from fsspec.config import conf

    found: dict[str, Any] = conf.get(protocol, {}).get(name, {})
    return found


def _explain(error: Exception) -> tuple[str, bool]:
    """Why a store has not answered, and whether it would say the same again."""
    error = _cause(error)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status in _ABSENT:
        return "there is no such bucket, folder or file", True
    if isinstance(error, PermissionError) or status in _REFUSED:
        return f"no permission to read it ({_reason(error)})", True
    if kinds & _NO_CREDENTIALS:
        return f"the environment has no credentials for it ({_reason(error)})", True
    if isinstance(error, TimeoutError) or kinds & _TIMEOUTS:
        return "the store does not answer in time", False
    return f"the store cannot be read ({_reason(error)})", isinstance(error, NotImplementedError)


def _is_no(error: Exception) -> bool:
    """Whether a store has said that there is nothing, or nothing for us."""
    refused = getattr(error, "status", None) in _REFUSED
    return refused or isinstance(error, (FileNotFoundError, PermissionError))


def _cause(error: Exception) -> Exception:
    """What has happened: for the web, fsspec says of every failure that there is no such file."""
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and isinstance(cause, Exception):
        is_of_web = type(cause).__module__.startswith("aiohttp")
        return cause if is_of_web or isinstance(cause, TimeoutError) else error
    return error


def _reason(error: Exception) -> str:
    return " ".join(redact(str(error) or type(error).__name__).split())
