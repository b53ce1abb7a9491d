"""Files that commands write: complete, or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import click


def write_csv(chunks: Iterable[str], out: Path) -> None:
    """Write UTF-8 text to a file and print the number of rows.

    Parameters:
        chunks: the text; its first line is the header.
        out: the file, or `-` for standard output.

    Raises:
        click.ClickException: the file cannot be written, or standard output is closed. An older
            file stays as it was.
    """
    if str(out) == "-":
        if sys.stdout is None:
            raise click.ClickException("Standard output is closed; name a file with --out.")
        for chunk in chunks:
            sys.stdout.buffer.write(chunk.encode())
        sys.stdout.buffer.flush()
        return
    lines = 0

    def encoded() -> Iterable[bytes]:
        nonlocal lines
        for chunk in chunks:
            lines += chunk.count("\n")
            yield chunk.encode()

    replace_file(out, encoded())
    click.echo(f"{out}: {lines - 1:,} rows")


def replace_file(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file beside its final place, then rename it. A reader never sees half of it.

    Missing folders are made.

    Raises:
        click.ClickException: the file cannot be written. An older file stays as it was.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise click.ClickException(f"Cannot write {path}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            part.unlink()
