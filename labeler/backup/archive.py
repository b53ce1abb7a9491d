"""The archive of a backup: a tar file, compressed with gzip, that ends with `manifest.json`.

The manifest names every file with its size and SHA-256. It comes last, so that a cut archive has
none. What an archive says is never trusted: names and sums are checked before a file is written.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from labeler.errors import BrokenData
from labeler.private_files import PRIVATE_FILE, PRIVATE_FOLDER

FORMAT = 1
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 256 * 2**20
COMPRESSION = 5
_CHUNK = 2**20
Progress = Callable[[int], None]  # called with the bytes that were just worked on


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A file of an archive. `name`: its posix path in the archive."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ArchivedDataset:
    """A data set at the time of a backup.

    `place`: where its images are: in the `home` folder, which the backup contains; in the
    `archive` under `images/ID`; or `outside` at `path`, not copied. `digest`: the SHA-256 of the
    lines "file name, tab, SHA-256", by image number.
    """

    id: int
    name: str
    path: str
    images: int
    digest: str
    place: str = "outside"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    `database`: `sqlite` or `postgresql`. `revision`: that of the tables. `home`: the folder that
    was backed up. `rows`: the number of rows by table. `content`: `all`, or `database` for the
    backup before an upgrade, which holds the database and the secret key only.
    """

    program: str
    made_at: str
    database: str
    revision: str
    home: str
    content: str
    rows: Mapping[str, int]
    datasets: Sequence[ArchivedDataset]
    files: Sequence[ArchivedFile]

    def to_json(self) -> bytes:
        """The text of `manifest.json`."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1).encode()

    @property
    def size(self) -> int:
        """The bytes of all files together, unpacked."""
        return sum(each.size for each in self.files)


class ArchiveWriter:
    """Writes an archive into an open file."""

    def __init__(self, file: BinaryIO, progress: Progress | None = None) -> None:
        self._gzip = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=COMPRESSION)
        # `finish` closes both.
        self._tar = tarfile.open(fileobj=self._gzip, mode="w")  # noqa: SIM115
        self._progress = progress or (lambda _bytes: None)
        self.files: list[ArchivedFile] = []

    def add(self, name: str, path: Path) -> None:
        """Add a file as it is now. A file that has just been deleted is left out."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return
        with file:
            found = os.fstat(file.fileno())
            reader = _HashingReader(file, self._progress)
            self._tar.addfile(_header(name, found.st_size, int(found.st_mtime)), reader)
        self.files.append(ArchivedFile(name, found.st_size, reader.digest.hexdigest()))

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest and end the archive. The file stays open."""
        text = manifest.to_json()
        self._tar.addfile(_header(MANIFEST, len(text), 0), io.BytesIO(text))
        self._tar.close()
        self._gzip.close()


class _HashingReader:
    """Reads a file for `tarfile` and hashes what was read."""

    def __init__(self, file: BinaryIO, progress: Progress) -> None:
        self._file = file
        self._progress = progress
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        self._progress(len(data))
        return data


def _header(name: str, size: int, modified: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mtime, header.mode = size, modified, PRIVATE_FILE
    return header


def verify_archive(path: Path, progress: Progress | None = None) -> Manifest:
    """Read a whole archive and compare it with its manifest.

    Raises:
        BrokenData: it is damaged, incomplete, no backup, or holds a name that leaves its folder.
        OSError: the file cannot be read.
    """
    with _telling_damage(path):
        return _verify(path, progress)


def _verify(path: Path, progress: Progress | None) -> Manifest:
    found: dict[str, ArchivedFile] = {}
    text: bytes | None = None
    for header, file in _members(path):
        if text is not None or header.name in found:
            raise BrokenData(f"{path}: {header.name!r} is there twice or after the manifest.")
        if header.name == MANIFEST:
            if header.size > MAX_MANIFEST_BYTES:
                raise BrokenData(f"{path}: its manifest is too large.")
            text = file.read()
            continue
        digest = hashlib.sha256()
        for chunk in _chunks(file, progress):
            digest.update(chunk)
        found[header.name] = ArchivedFile(header.name, header.size, digest.hexdigest())
    if text is None:
        raise BrokenData(
            f"{path} is no complete backup of Sidelight: it has no {MANIFEST}. Use another backup."
        )
    manifest = _parse(path, text)
    _compare(path, manifest, found)
    return manifest


def extract_archive(
    path: Path,
    manifest: Manifest,
    target: Callable[[str], Path | None],
    progress: Progress | None = None,
) -> None:
    """Write the files of a verified archive, each with mode 0600, in folders of mode 0700.

    Parameters:
        manifest: what `verify_archive` returned. Each file is compared with it once more.
        target: where a file goes by its name in the archive, None for nowhere.

    Raises:
        BrokenData: the archive has changed since it was verified.
        OSError: a file cannot be written.
    """
    with _telling_damage(path):
        _extract(path, manifest, target, progress)


def _extract(
    path: Path,
    manifest: Manifest,
    target: Callable[[str], Path | None],
    progress: Progress | None,
) -> None:
    expected = {each.name: each for each in manifest.files}
    for header, file in _members(path):
        place = target(header.name) if header.name in expected else None
        if place is None:
            continue
        place.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        digest = hashlib.sha256()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(place, flags, PRIVATE_FILE), "wb") as out:
            for chunk in _chunks(file, progress):
                digest.update(chunk)
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != expected.pop(header.name).sha256:
            raise BrokenData(f"{path} has changed while it was read. Start again.")
    if any(target(name) is not None for name in expected):
        raise BrokenData(f"{path} has changed while it was read. Start again.")


def _members(path: Path) -> Iterator[tuple[tarfile.TarInfo, BinaryIO]]:
    """The plain files of an archive in their order. Anything else is an error."""
    with path.open("rb") as raw:
        unpacked = gzip.GzipFile(fileobj=raw, mode="rb")
        with unpacked, tarfile.open(fileobj=unpacked, mode="r|") as tar:
            for header in tar:
                if not header.isreg() or not _is_safe(header.name):
                    raise BrokenData(
                        f"{path}: {header.name!r} is no plain file inside the archive's folder. "
                        "This was not written by `backup`; do not restore it."
                    )
                file: Any = tar.extractfile(header)
                yield header, file
            while unpacked.read(_CHUNK):  # to the sum at the end
                pass


@contextmanager
def _telling_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BrokenData(
            f"{path} is damaged or no backup of Sidelight ({error}). Use another backup."
        ) from None


def _is_safe(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and "\0" not in name


def _chunks(file: BinaryIO, progress: Progress | None) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        if progress is not None:
            progress(len(chunk))
        yield chunk


def _parse(path: Path, text: bytes) -> Manifest:
    try:
        content = json.loads(text)
        number = content.pop("format")
        if number == FORMAT:
            content["files"] = [ArchivedFile(**each) for each in content["files"]]
            content["datasets"] = [ArchivedDataset(**each) for each in content["datasets"]]
            return Manifest(**content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BrokenData(f"{path}: its manifest cannot be understood ({error!r}).") from None
    raise BrokenData(
        f"{path} has the format {number!r}, and this program knows {FORMAT}. A newer version has "
        "written it. Use that version."
    )


def _compare(path: Path, manifest: Manifest, found: Mapping[str, ArchivedFile]) -> None:
    expected = {each.name: each for each in manifest.files}
    wrong = sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    )
    if wrong:
        shown = ", ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        raise BrokenData(
            f"{path} is damaged: it does not agree with its manifest about {shown}. Use another "
            "backup."
        )
