"""What the fault table breaks: a small disk, a PostgreSQL server, a clock that can be moved."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from _site import free_port

CLOCK_SOURCE = Path(__file__).with_name("_moved_clock.c")
POSTGRES_PROGRAMS = "/usr/lib/postgresql/*/bin"
SERVER = "SIDELIGHT_TEST_POSTGRES"  # names the server that `_site.new_site` uses


class MissingError(Exception):
    """This machine lacks what a row needs; the message says what."""


class Cluster:
    """A PostgreSQL server in its own folder. Who is root runs it as the user `postgres`."""

    def __init__(self, folder: Path) -> None:
        self._programs = _postgres_programs()
        self._folder = folder
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        self._run("initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust")
        port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        self._options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"

    def start(self) -> None:
        """Start it, unless it runs."""
        if not self.runs():
            log = str(self._folder / "server.log")
            self._control("start", "-w", "-t", "60", "-l", log, "-o", self._options)

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: `immediate` as in a crash, `fast` with a checkpoint."""
        if self.runs():
            self._control("stop", "-w", "-m", mode)

    def runs(self) -> bool:
        """Whether the server is there."""
        with suppress(subprocess.CalledProcessError):
            self._control("status")
            return True
        return False

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        subprocess.run(
            [*user, str(self._programs / program), *arguments],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )


def _postgres_programs() -> Path:
    for folder in sorted(Path("/").glob(POSTGRES_PROGRAMS.lstrip("/")), reverse=True):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    if found is None:
        raise MissingError("needs the programs initdb and pg_ctl of a PostgreSQL server")
    return Path(found).resolve().parent


@contextmanager
def own_postgres(wanted: bool) -> Iterator[Cluster | None]:
    """A new PostgreSQL server, which all sites of the block use.

    Raises:
        MissingError: its programs are not installed.
    """
    if not wanted:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="sidelight-postgres-"))
    before = os.environ.get(SERVER)
    try:
        cluster = Cluster(folder)
        cluster.start()
        os.environ[SERVER] = cluster.url
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        os.environ.pop(SERVER)
        if before is not None:
            os.environ[SERVER] = before
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def small_disk(megabytes: int | None) -> Iterator[Path | None]:
    """A small disk in memory, where all temporary folders of the block are; None: no such disk.

    Raises:
        MissingError: this user may not mount one.
    """
    if megabytes is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="sidelight-disk-"))
    folder.chmod(0o755)  # for the user `postgres`
    size = f"size={megabytes}m,mode=755"
    try:
        _mount("-t", "tmpfs", "-o", size, "tmpfs", str(folder))
        before, tempfile.tempdir = tempfile.tempdir, str(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = before
            subprocess.run(["umount", "--lazy", str(folder)], check=False)
    finally:
        folder.rmdir()


def set_writable(disk: Path, writable: bool) -> None:
    """Mount a disk again, writable or not. Processes that have just ended may still write there."""
    end = time.monotonic() + 10.0
    while True:
        try:
            _mount("-o", f"remount,{'rw' if writable else 'ro'}", str(disk))
            return
        except MissingError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"needs the right to mount a disk ({done.stderr.strip()})")


def fill(disk: Path, leave: int = 0) -> Path:
    """Fill a disk with one file, but for `leave` bytes; returns the file."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 65536)
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x")
    os.truncate(filler, max(0, filler.stat().st_size - leave))
    return filler


class Clock:
    """The wall clock of the processes that run with `environ`. The monotonic clock stays."""

    def __init__(self, folder: Path) -> None:
        """Build the library that moves it; raises `MissingError` without a C compiler."""
        compiler = shutil.which("cc")
        if compiler is None:
            raise MissingError("needs a C compiler (cc)")
        library, self._file = folder / "moved_clock.so", folder / "moved_clock"
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(CLOCK_SOURCE)]
        subprocess.run(command, check=True)
        self.move(0)
        self.environ = {"LD_PRELOAD": str(library), "MOVED_CLOCK": str(self._file)}

    def move(self, seconds: int) -> None:
        """Set the clock so many seconds before or behind the true time, at once."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(seconds.to_bytes(8, sys.byteorder, signed=True))
