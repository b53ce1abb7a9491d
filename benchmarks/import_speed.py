#!/usr/bin/env python3
"""Time the registration of a data set of CelebA's size, and its repetition.

Example:
    python benchmarks/import_speed.py --images 202599
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from pathlib import Path

import click
from _project import ROOT
from fake_celeba import CELEBA_IMAGES, write_fake_celeba

from labeler.database.engine import Database
from labeler.database.migrate import upgrade
from labeler.images.registration import register_dataset


@click.command(epilog="Example: python benchmarks/import_speed.py --images 202599")
@click.option("--images", default=CELEBA_IMAGES, show_default=True, type=click.IntRange(min=1))
@click.option("--data", type=click.Path(path_type=Path), help="Default: build/fake_celeba_N.")
@click.option("--database", help="SQLAlchemy address; default: a new SQLite file.")
def main(images: int, data: Path | None, database: str | None) -> None:
    """Print the seconds as JSON; the fake data set is made first where it is not there."""
    folder = data or ROOT / "build" / f"fake_celeba_{images}"
    if not folder.exists():
        write_fake_celeba(folder, images)
    with tempfile.TemporaryDirectory() as scratch:
        db = Database(database or f"sqlite:///{scratch}/speed.sqlite3")
        upgrade(db)
        figures = {
            "images": images,
            "database": db.engine.dialect.name,
            "first_s": _time_registration(db, folder),
            "again_s": _time_registration(db, folder),
            "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        db.dispose()
    click.echo(json.dumps(figures))


def _time_registration(db: Database, folder: Path) -> float:
    start = time.perf_counter()
    register_dataset(db, folder)
    return round(time.perf_counter() - start, 1)


if __name__ == "__main__":
    main()
