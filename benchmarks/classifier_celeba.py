#!/usr/bin/env python3
"""Check the light classifier on CelebA, where the truth is unknown: balance, mirror, speed, sheets.

It learns from the lamps of Extended Yale B and, without labels, from CelebA. The sheets show real
people. Keep them out of version control and do not publish them.

Example:
    python benchmarks/classifier_celeba.py $YALEB $CELEBA --out build/celeba_sheets
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import _project  # noqa: F401
import numpy as np
from _light_reader import features_with_variants, light_features
from _scenes import read_yale
from PIL import Image

from labeler.light_classifier.active_learning import margin_uncertainty
from labeler.light_classifier.semi_supervised import VARIANTS
from labeler.light_classifier.training import train
from rotation.data.decoding import decode
from rotation.data.labels import LABELS
from rotation.data.sources import open_source

SHOWN, COLUMNS, TILE = 48, 12, 128
POOL, MIRRORED = 2000, 200


class Watch:
    """Wall and processor seconds since the last look."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def look(self, what: str, count: int) -> None:
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        print(f"{what}: {count:,} images, {cpu:.2f} s of one processor, {wall:.2f} s by the clock")
        self.__init__()  # type: ignore[misc]


def read_pictures(path: str, most: int) -> list[np.ndarray]:
    with open_source(path) as source:
        names = list(source.names())[:most]
        return [np.asarray(decode(source.read(name), name).convert("RGB")) for name in names]


def write_sheet(pictures: list[np.ndarray], path: Path) -> None:
    rows = max(1, -(-len(pictures) // COLUMNS))
    sheet = Image.new("RGB", (COLUMNS * TILE, rows * TILE), (128, 128, 128))
    for place, picture in enumerate(pictures):
        tile = Image.fromarray(picture)
        tile.thumbnail((TILE - 2, TILE - 2), Image.Resampling.BICUBIC)
        sheet.paste(tile, (place % COLUMNS * TILE, place // COLUMNS * TILE))
    sheet.save(path)


def report(probabilities: np.ndarray, mirrored: np.ndarray) -> None:
    proposed = probabilities.argmax(axis=1)
    shares = np.bincount(proposed, minlength=3) / len(proposed)
    print("proposed: " + ", ".join(f"{s:.1%} {n}" for s, n in zip(shares, LABELS, strict=True)))
    print(f"at 0.95 or more: {(probabilities.max(axis=1) >= 0.95).mean():.1%}")
    apart = np.abs(mirrored[:, ::-1] - probabilities[: len(mirrored)]).max()
    print(f"largest difference to the mirror: {apart:g}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("yaleb", help="the zip or folder of Extended Yale B")
    parser.add_argument("celeba", help="the folder of CelebA")
    parser.add_argument("--images", type=int, default=10_000, help="so many of CelebA")
    parser.add_argument("--out", type=Path, required=True, help="folder of the sheets")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    faces = read_yale(arguments.yaleb)
    known = np.flatnonzero(faces.labels >= 0)
    taught = light_features([faces.pixels[row] for row in known])
    watch = Watch()
    pictures = read_pictures(arguments.celeba, arguments.images)
    features = light_features(pictures)
    watch.look("first pass (read, decode, faces, features)", len(pictures))
    found = np.isfinite(features).all(axis=1)
    print(f"without a face: {len(found) - found.sum():,}")
    drawn = np.random.default_rng(0).permutation(len(pictures))[:POOL]
    pool = features_with_variants([pictures[row] for row in drawn], VARIANTS)
    pool = pool[:, np.isfinite(pool).all(axis=(0, 2))]
    watch.look("variants of the pool", len(drawn))
    shown = np.isfinite(taught).all(axis=1)
    labels, people = faces.labels[known][shown], faces.people[known][shown]
    model = train(taught[shown], labels, np.ones(len(labels)), people, pool).model
    watch.look("training with five-fold cross-validation", len(labels))
    probabilities = model.predict(features)
    watch.look("proposals", len(pictures))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB, with all pictures kept for the sheets")
    flipped = light_features([np.ascontiguousarray(p[:, ::-1]) for p in pictures[:MIRRORED]])
    report(probabilities, model.predict(flipped))
    rng = np.random.default_rng(1)
    for label, name in enumerate(LABELS):
        members = rng.permutation(np.flatnonzero(probabilities.argmax(axis=1) == label))
        write_sheet([pictures[row] for row in members[:SHOWN]], arguments.out / f"{name}.png")
    doubtful = np.argsort(-margin_uncertainty(probabilities))[:SHOWN]
    write_sheet([pictures[row] for row in doubtful], arguments.out / "doubtful.png")
    write_sheet([pictures[row] for row in np.flatnonzero(~found)], arguments.out / "faceless.png")
    print(f"sheets in {arguments.out}")


if __name__ == "__main__":
    main()
