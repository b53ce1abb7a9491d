"""Disks that are full or read-only, and commands run as processes on them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def manage(home: Path, *arguments: str, database: str = "", **more: str) -> tuple[int, str]:
    """Run `manage.py` on a home; returns its exit code and all that it said."""
    environ = {name: value for name, value in os.environ.items() if "SIDELIGHT" not in name}
    if database:
        environ["SIDELIGHT_DATABASE_URL"] = database
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=environ | {"SIDELIGHT_HOME": str(home)} | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A disk of its own in memory; skips where this user may not mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    mount(folder, "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


def mount(folder: Path, *options: str) -> None:
    """Run `mount`; skips where this user may not."""
    command = ["mount", *options, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")


def fill(folder: Path) -> None:
    """Leave no free byte."""
    with suppress_full(), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


@contextmanager
def suppress_full() -> Iterator[None]:
    """Go on when the disk is full."""
    try:
        yield
    except OSError:
        return
