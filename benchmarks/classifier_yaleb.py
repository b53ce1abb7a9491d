#!/usr/bin/env python3
"""Measure the light classifier on people it never saw, in Extended Yale B, whose lamps are known.

Ten people drawn at random teach, and the ten others judge; people and labels are drawn anew each
time. The truth is the azimuth in the file name: <= -35 right, >= 35 left, within 10 center. Other
images have no label. The other images of the ten who teach are unlabelled. Each model is judged on
aligned pictures, and on the same faces pasted into scenes (`_scenes.py`). Two kinds of features are
compared: the fixed crop of earlier versions, and the face, which is looked for first. A picture in
which no face was found counts as wrong.

Reading the features takes minutes; --features keeps them.

Examples:
    python benchmarks/classifier_yaleb.py $YALEB --features build/yaleb.npz --json
    python benchmarks/classifier_yaleb.py $YALEB --features build/yaleb.npz --table
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import _project  # noqa: F401
import numpy as np
import torch
from _crop_variants import crop_features_with_variants
from _scenes import Pictures, paste_into_scenes, read_yale
from PIL import Image
from tqdm import tqdm

from labeler.light_classifier.active_learning import next_to_ask
from labeler.light_classifier.evaluation import expected_calibration_error
from labeler.light_classifier.face_features import face_features
from labeler.light_classifier.mirror_logistic import fit
from labeler.light_classifier.semi_supervised import VARIANTS
from labeler.light_classifier.training import train
from rotation.data.crop import standard_crop
from rotation.faces.face_pairs import find_pairs, read_pair, read_variant

TEACHERS = 10
BATCH = 16
FIRST_ASKED, ASKED_AT_ONCE = 3, 6  # of the active order: one of each label, then so many at a time
PLACES = ("aligned", "scenes")
KINDS = ("crop", "face")

Table = dict[str, np.ndarray]
Learner = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], Callable]


def read_batch(pictures: list[np.ndarray], first: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of fixed crops and of faces, with variants: (1 + V, N, F) each."""
    torch.set_num_threads(1)
    images = [Image.fromarray(picture) for picture in pictures]
    numbers = range(first, first + len(images))
    crops = crop_features_with_variants(
        np.stack([standard_crop(image) for image in images]), numbers
    )
    pairs = find_pairs(images)
    rngs = [np.random.default_rng((0, number)) for number in numbers]
    seen = [[read_pair(pair) for pair in pairs]]
    seen += [
        [read_variant(pair, rng) for pair, rng in zip(pairs, rngs, strict=True)]
        for _ in range(VARIANTS)
    ]
    return crops, np.stack([face_features(each) for each in seen])


def read_all(path: str) -> Table:
    """All features and the facts about the pictures."""
    faces = read_yale(path)
    table = facts(faces)
    for place, pictures in zip(PLACES, (faces.pixels, paste_into_scenes(faces)), strict=True):
        starts = range(0, len(pictures), BATCH)
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            parts = [pictures[start : start + BATCH] for start in starts]
            found = list(tqdm(pool.map(read_batch, parts, starts), total=len(parts), disable=None))
        for kind, features in zip(KINDS, zip(*found, strict=True), strict=True):
            table[f"{place} {kind}"] = np.concatenate(features, axis=1)
    return table


def facts(faces: Pictures) -> Table:
    return {
        "labels": faces.labels,
        "people": faces.people,
        "azimuths": faces.azimuths,
        "elevations": faces.elevations,
    }


def draw(labels: np.ndarray, pool: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of `count` pictures of the pool, as many of each label."""
    shuffled = [rng.permutation(pool[labels[pool] == label]) for label in range(3)]
    return np.concatenate([each[: count // 3] for each in shuffled])


def ask(
    features: np.ndarray,
    labels: np.ndarray,
    pool: np.ndarray,
    count: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Rows of `count` pictures of the pool in the active order, after one of each label."""
    asked = draw(labels, pool, FIRST_ASKED, rng)
    while len(asked) < count:
        left = np.setdiff1d(pool, asked)
        model = fit(features[asked], labels[asked], np.ones(len(asked)))
        wanted = min(ASKED_AT_ONCE if len(asked) < 60 else 30, count - len(asked))
        chances = model.predict(features[left])
        asked = np.concatenate([asked, left[next_to_ask(features[left], chances, wanted)]])
    return asked


def learn(features: np.ndarray, labels: np.ndarray, rows: np.ndarray, pool: np.ndarray) -> tuple:
    """The model from labels alone, and the one that also learns from the pool."""
    ones = np.ones(len(rows))
    alone = fit(features[0, rows], labels[rows], ones)
    both = train(features[0, rows], labels[rows], ones, np.arange(len(rows)), features[:, pool])
    return alone, both.model


def compare(table: Table, counts: list[int], draws: int, asked: bool) -> dict[str, dict]:
    """Figures by kind of features, method, place and number of labels."""
    labels, people = table["labels"], table["people"]
    results: dict[str, list] = {}
    wrong: dict[str, np.ndarray] = {}
    for seed in tqdm(range(draws), unit=" draws", disable=None):
        rng = np.random.default_rng(seed)
        teachers = rng.permutation(np.unique(people))[:TEACHERS]
        teaching = np.flatnonzero(np.isin(people, teachers))
        judging = np.flatnonzero(~np.isin(people, teachers) & (labels >= 0))
        for kind in KINDS:
            features = table[f"aligned {kind}"]
            usable = np.isfinite(features).all(axis=(0, 2))
            pool = teaching[usable[teaching]]
            known = pool[labels[pool] >= 0]
            for count in counts:
                chosen = {"": draw(labels, known, count, np.random.default_rng(seed))}
                if asked:
                    order = ask(features[0], labels, known, count, np.random.default_rng(seed))
                    chosen[", asked"] = order
                for suffix, rows in chosen.items():
                    models = learn(features, labels, rows, np.setdiff1d(pool, rows))
                    for method, model in zip(
                        ("labels alone", "with unlabelled"), models, strict=True
                    ):
                        for place in PLACES:
                            seen = table[f"{place} {kind}"][0, judging]
                            chances = model.predict(seen)
                            right = chances.argmax(axis=1) == labels[judging]
                            right &= np.isfinite(seen).all(axis=1)
                            key = f"{kind}, {method}{suffix} | {place} | {count}"
                            ece = expected_calibration_error(chances, labels[judging])
                            results.setdefault(key, []).append((right.mean(), ece))
                            missed = wrong.setdefault(key, np.zeros((2, len(labels))))
                            missed[0, judging] += ~right
                            missed[1, judging] += 1
    return {key: summarise(each, wrong[key]) for key, each in results.items()}


def summarise(results: list, wrong: np.ndarray) -> dict:
    accuracy, ece = np.array(results).T
    return {
        "mean": round(float(accuracy.mean()), 4),
        "worst": round(float(accuracy.min()), 4),
        "ece": round(float(ece.mean()), 4),
        "wrong": wrong,
    }


def tables(table: Table, wrong: np.ndarray) -> None:
    """Print the share of wrong pictures by lamp and by person, where there are any."""
    lamps = [
        f"A{a:+04d}E{e:+03d}" for a, e in zip(table["azimuths"], table["elevations"], strict=True)
    ]
    for title, groups in (("lamp", np.array(lamps)), ("person", table["people"])):
        print(f"| {title} | wrong | of |")
        print("|---|---|---|")
        for group in np.unique(groups):
            here = (groups == group) & (wrong[1] > 0)
            if here.any() and wrong[0, here].sum():
                share = wrong[0, here].sum() / wrong[1, here].sum()
                print(f"| {group} | {share:.1%} | {here.sum()} pictures |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", help="the zip or folder of Yale B")
    parser.add_argument("--features", type=Path, help="file that keeps the features")
    parser.add_argument("--labels", type=int, nargs="+", default=[15, 30, 60, 120, 300])
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--asked", action="store_true", help="the active order too, which is slow")
    parser.add_argument("--table", action="store_true", help="wrong pictures by lamp and person")
    parser.add_argument("--json", action="store_true", help="write JSON")
    arguments = parser.parse_args()
    if arguments.features is not None and arguments.features.exists():
        with np.load(arguments.features) as stored:
            table = dict(stored)
    else:
        table = read_all(arguments.path)
        if arguments.features is not None:
            arguments.features.parent.mkdir(parents=True, exist_ok=True)
            np.savez(arguments.features, **table)
    found = {
        place: float(np.isfinite(table[f"{place} face"][0]).all(axis=1).mean()) for place in PLACES
    }
    report = compare(table, arguments.labels, arguments.draws, arguments.asked)
    if arguments.json:
        shown = {k: {n: v for n, v in row.items() if n != "wrong"} for k, row in report.items()}
        print(json.dumps({"face_found": found, "results": shown}, indent=2))
        return
    print(f"A face was found in {found['aligned']:.1%} aligned, {found['scenes']:.1%} in scenes.")
    for key, row in report.items():
        print(f"{key}: mean {row['mean']:.2%}, worst {row['worst']:.2%}, ECE {row['ece']:.3f}")
        if arguments.table and key.startswith("face, with unlabelled |"):
            tables(table, row["wrong"])


if __name__ == "__main__":
    main()
