"""A real store for tests: a server of S3 in a process of its own, behind a line that can be cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._s3_server import Line
from rotation.data.image_source import ImageSource

BUCKET = "faces"


@dataclass(frozen=True)
class Store:
    """A bucket `faces`.

    Attributes:
        line: between this process and the server.
        environment: what names server and credentials to clients.
    """

    line: Line
    environment: Mapping[str, str]

    @property
    def client(self) -> Any:
        """A client of this process, with the environment of a moment."""
        import s3fs

        return s3fs.S3FileSystem()

    def put(self, place: str, path: Path) -> str:
        """Copy a file or folder to a place in the bucket; its URL."""
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        for file in files:
            inner = "" if path.is_file() else f"/{file.relative_to(path).as_posix()}"
            self.client.pipe_file(f"{BUCKET}/{place}{inner}", file.read_bytes())
        return f"s3://{BUCKET}/{place}"

    def write(self, key: str, data: bytes) -> None:
        """Write an object with any key."""
        self.client.pipe_file(f"{BUCKET}/{key}", data)


def sizes_of(source: ImageSource, names: Sequence[str]) -> list[int]:
    """Bytes of images; here, so that a process that reads them loads little else."""
    return [len(source.read(name)) for name in names]
