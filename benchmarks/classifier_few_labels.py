#!/usr/bin/env python3
"""Measure how fast the light classifier learns to label CelebA as annotators do.

The annotators are the scripts of `end_to_end.py`, which name the brighter half of the face. In each
draw half of the people teach by a few labelled images, and the images of all others judge. Two
kinds of features are compared: `face`, and `cells`, which has no contrast of the face's halves.

Reading the features takes some minutes; --features keeps them.

Example:
    python benchmarks/classifier_few_labels.py $CELEBA --features build/celeba.npz
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import _project  # noqa: F401
import numpy as np
import torch
from end_to_end import brighter_half
from tqdm import tqdm

from labeler.light_classifier.face_features import N_FEATURES, face_features
from labeler.light_classifier.features import without_contrast
from labeler.light_classifier.mirror_logistic import CENTER, fit
from rotation.data.celeba import read_tables
from rotation.data.decoding import decode
from rotation.data.labels import LABELS
from rotation.data.sources import open_source
from rotation.faces.face_pairs import find_pairs, read_pair

BATCH = 32
TURNED_DEG = 25.0
Table = dict[str, np.ndarray]


def read_batch(path: Path, names: list[str]) -> tuple[np.ndarray, list[float], list[int]]:
    """Features, yaws in degrees and the annotators' labels of some images."""
    torch.set_num_threads(1)
    with open_source(path) as source:
        files = [source.read(name) for name in names]
    images = [decode(data, name).convert("RGB") for name, data in zip(names, files, strict=True)]
    pairs = find_pairs(images)
    labels = [LABELS.index(brighter_half(data)) for data in files]
    return face_features([read_pair(pair) for pair in pairs]), [p.yaw_deg for p in pairs], labels


def read_all(path: Path) -> Table:
    """Features, yaws, labels and people of all images in which a face was found."""
    with open_source(path) as source:
        names = list(source.names())
    batches = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        read = pool.map(partial(read_batch, path), batches)
        found = list(tqdm(read, total=len(batches), disable=None))
    people = identities(path, names)
    features, yaws, labels = (np.concatenate(part) for part in zip(*found, strict=True))
    shown = np.isfinite(features).all(axis=1)
    table = {"features": features, "yaws": yaws, "labels": labels, "people": people}
    return {name: values[shown] for name, values in table.items()}


def identities(path: Path, names: list[str]) -> np.ndarray:
    """The number of the person on each image."""
    table = read_tables(path).identities
    if table is None:
        raise SystemExit(f"{path} has no identity_CelebA.txt, which this needs")
    return np.array([table.values[table.index[name], 0] for name in names])


def judge(table: Table, count: int, draws: int) -> dict[str, dict[str, float]]:
    """Shares labelled as by annotators by kind of features, from `count` labels; means of draws."""
    labels, people, turned = table["labels"], table["people"], abs(table["yaws"]) >= TURNED_DEG
    kinds = {"cells": without_contrast(table["features"]), "face": table["features"]}
    shares: dict[str, list[tuple[float, ...]]] = {kind: [] for kind in kinds}
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        names = rng.permutation(np.unique(people))
        teaching = np.isin(people, names[: len(names) // 2])
        rows, others = rng.permutation(np.flatnonzero(teaching))[:count], ~teaching
        for kind, features in kinds.items():
            model = fit(features[rows], labels[rows], np.ones(count))
            said = model.predict(features).argmax(axis=1)
            right, even = said == labels, others & (labels == CENTER) & turned
            shares[kind].append((right[others].mean(), (said == CENTER)[even].mean()))
    return {
        kind: {
            "mean": float(np.mean(each, axis=0)[0]),
            "worst": float(np.min(each, axis=0)[0]),
            "evenly_lit_and_turned_called_center": float(np.mean(each, axis=0)[1]),
        }
        for kind, each in shares.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, help="CelebA's folder")
    parser.add_argument("--features", type=Path, help="file that keeps the features")
    parser.add_argument("--labels", type=int, nargs="+", default=[15, 30, 60, 120, 300, 1500])
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="write JSON")
    given = parser.parse_args()
    if given.features is not None and given.features.exists():
        with np.load(given.features) as stored:
            table = dict(stored)
        if table["features"].shape[1] != N_FEATURES:
            raise SystemExit(f"{given.features} has features of another version: remove it")
    else:
        table = read_all(given.images)
        if given.features is not None:
            given.features.parent.mkdir(parents=True, exist_ok=True)
            np.savez(given.features, **table)
    report = {count: judge(table, count, given.draws) for count in given.labels}
    if given.json:
        print(json.dumps(report, indent=2))
        return
    print("| labels | kind | mean | worst draw | turned by 25° and evenly lit: called center |")
    print("|---|---|---|---|---|")
    for count, kinds in report.items():
        for kind, figures in kinds.items():
            print(f"| {count} | {kind} | {' | '.join(f'{v:.3f}' for v in figures.values())} |")


if __name__ == "__main__":
    main()
