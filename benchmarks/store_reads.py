#!/usr/bin/env python3
"""Count how many images a second are read from a store that speaks S3, beside the local folder.

The server (moto) runs on this machine. `--delay` makes it seem far away: each request waits so many
milliseconds. The images are read in the order of their names: from the folder, one after another
from the store, with eight requests at once (as the passes do), and from a zip in the store. The
bytes of all must be equal. Needs requirements/dev.txt.

Example:
    python benchmarks/store_reads.py faces.zip --images 2000 --delay 20 --json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import _project  # noqa: F401 - finds the packages below
from _s3_server import Line, environment_of, s3_server

from rotation.data.image_source import ImageSource, fingerprint_of
from rotation.data.sources import open_source
from rotation.remote_paths import RemotePath

BATCH = 128  # as the passes read them
BUCKET = "faces"
Reads = Callable[[ImageSource], dict[str, str]]


def read_singly(source: ImageSource) -> dict[str, str]:
    """The fingerprints of all images, read one after another."""
    return {name: fingerprint_of(source.read(name)) for name in source.names()}


def read_ahead(source: ImageSource) -> dict[str, str]:
    """The same, batch by batch, as the passes read."""
    found, names = {}, source.names()
    for start in range(0, len(names), BATCH):
        batch = names[start : start + BATCH]
        source.read_ahead(batch)
        found |= {name: fingerprint_of(source.read(name)) for name in batch}
    return found


def copy_images(images: Path, count: int, folder: Path, packed: Path) -> None:
    """The first images of a set in a folder and in a zip."""
    with open_source(images) as source, zipfile.ZipFile(packed, "w") as archive:
        for name in source.names()[:count]:
            place, data = folder / name, source.read(name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            archive.writestr(name, data)


def upload(folder: Path, packed: Path) -> None:
    """Put both into the store."""
    import s3fs

    client = s3fs.S3FileSystem()
    client.mkdir(BUCKET)
    client.put(f"{folder}/", f"{BUCKET}/images/", recursive=True)
    client.put_file(str(packed), f"{BUCKET}/images.zip")
    s3fs.S3FileSystem.clear_instance_cache()


def measure(place: Path | RemotePath, reads: Reads, repeats: int) -> tuple[dict[str, str], dict]:
    """What was read, and the medians of seconds to open and images a second."""
    opening, rates = [], []
    for _ in range(repeats):
        began = time.perf_counter()
        with open_source(place) as source:
            opening.append(time.perf_counter() - began)
            began = time.perf_counter()
            found = reads(source)
            rates.append(len(found) / (time.perf_counter() - began))
    return found, {
        "open_s": round(statistics.median(opening), 3),
        "images_per_s": round(statistics.median(rates), 1),
    }


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", type=Path, help="folder or zip of images")
    parser.add_argument("--images", type=int, default=1000, dest="count", help="how many of them")
    parser.add_argument("--delay", type=float, default=0.0, help="milliseconds a request waits")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, s3_server() as port:
        folder, packed = Path(place) / "images", Path(place) / "images.zip"
        copy_images(given.images, given.count, folder, packed)
        os.environ |= environment_of(f"http://127.0.0.1:{port}")
        upload(folder, packed)
        os.environ |= environment_of(Line(port, given.delay / 1000).url)
        url = RemotePath(f"s3://{BUCKET}/images")
        ways: dict[str, tuple[Path | RemotePath, Reads]] = {
            "local folder": (folder, read_singly),
            "local zip": (packed, read_singly),
            "folder in S3, one request at a time": (url, read_singly),
            "folder in S3, as passes read": (url, read_ahead),
            "zip in S3": (url.parent / "images.zip", read_singly),
        }
        found, rows = {}, {}
        for name, (where, reads) in ways.items():
            found[name], rows[name] = measure(where, reads, given.repeats)
            print(name, rows[name], file=sys.stderr)
        equal = all(each == found["local folder"] for each in found.values())
    if given.json:
        print(json.dumps({"images": given.count, "delay_ms": given.delay, "equal": equal} | rows))
        return
    for name, row in rows.items():
        print(f"{name}: {row['images_per_s']:,.0f} images a second, opened in {row['open_s']} s")
    print(f"the same bytes everywhere: {equal}")


if __name__ == "__main__":
    main()
