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
from classifier_yaleb import load
from PIL import Image

from labeler.light_classifier.active_learning import margin_uncertainty
from labeler.light_classifier.augmentation import features_with_variants
from labeler.light_classifier.features import N_ODD, light_features
from labeler.light_classifier.mirror_logistic import CENTER, LEFT, RIGHT
from labeler.light_classifier.training import train
from rotation.data.crop import standard_crop
from rotation.data.decoding import decode
from rotation.data.labels import LABELS
from rotation.data.sources import open_source

SHOWN, COLUMNS, TILE = 48, 12, 128
POOL = 2000


class Watch:
    """Wall and processor seconds since the last look."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def look(self, what: str, count: int) -> None:
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        print(f"{what}: {count:,} images, {cpu:.2f} s of one processor, {wall:.2f} s by the clock")
        self.__init__()  # type: ignore[misc]


def read_crops(path: str) -> np.ndarray:
    with open_source(path) as source:
        return np.stack([standard_crop(decode(source.read(n), n)) for n in source.names()])


def write_sheet(crops: np.ndarray, path: Path) -> None:
    rows = -(-len(crops) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * TILE, rows * TILE), (128, 128, 128))
    for place, crop in enumerate(crops):
        tile = Image.fromarray(crop).resize((TILE - 2, TILE - 2), Image.Resampling.BICUBIC)
        sheet.paste(tile, (place % COLUMNS * TILE, place // COLUMNS * TILE))
    sheet.save(path)


def report(probabilities: np.ndarray, mirrored: np.ndarray, crops: np.ndarray) -> None:
    proposed = probabilities.argmax(axis=1)
    shares = np.bincount(proposed, minlength=3) / len(proposed)
    print("proposed: " + ", ".join(f"{s:.1%} {n}" for s, n in zip(shares, LABELS, strict=True)))
    print(f"at 0.95 or more: {(probabilities.max(axis=1) >= 0.95).mean():.1%}")
    print(f"largest difference to the mirror: {np.abs(mirrored[:, ::-1] - probabilities).max():g}")
    grey = crops.mean(axis=3)
    for label in (LEFT, CENTER, RIGHT):
        mean = grey[proposed == label].mean(axis=0)
        contrast = mean[16:56, 14:32].mean() - mean[16:56, 32:50].mean()
        print(f"{LABELS[label]}: left less right half of the mean face {contrast:+.1f} grey levels")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("yaleb", help="the zip or folder of Extended Yale B")
    parser.add_argument("celeba", help="the folder of CelebA")
    parser.add_argument("--out", type=Path, required=True, help="folder of the sheets")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    faces = load(arguments.yaleb)
    watch = Watch()
    crops = read_crops(arguments.celeba)
    features = light_features(crops)
    watch.look("first pass (read, decode, crop, features)", len(crops))
    drawn = np.random.default_rng(0).permutation(len(crops))[:POOL]
    pool = features_with_variants(crops[drawn])
    watch.look("variants of the pool", len(drawn))
    known = np.flatnonzero(faces.labels >= 0)
    model = train(
        faces.features[0, known],
        faces.labels[known],
        np.ones(len(known)),
        faces.subjects[known],
        pool,
    ).model
    watch.look("training with five-fold cross-validation", len(known))
    probabilities = model.predict(features)
    watch.look("proposals", len(crops))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB, {crops.nbytes / 2**20:.0f} of them crops kept for sheets")
    report(probabilities, model.predict(light_features(crops[:, :, ::-1])), crops)
    rng = np.random.default_rng(1)
    for label, name in enumerate(LABELS):
        members = np.flatnonzero(probabilities.argmax(axis=1) == label)
        write_sheet(crops[rng.permutation(members)[:SHOWN]], arguments.out / f"{name}.png")
    doubtful = np.argsort(-margin_uncertainty(probabilities))[:SHOWN]
    write_sheet(crops[doubtful], arguments.out / "doubtful.png")
    side = features[:, N_ODD - 1]
    print(f"sheets in {arguments.out}; side of the rendered heads: sd {side.std():.1f}")


if __name__ == "__main__":
    main()
