#!/usr/bin/env python3
"""Compare methods of learning the light from few labels on Extended Yale B, whose lamps are known.

Methods learn from subjects 1-10, with the same number of labels per class, and are tested on
subjects 11-20. The truth is the azimuth in the file name: <= -35 right, >= 35 left, within 10
center. Other images have no label. All other images of subjects 1-10 are unlabelled. With
--transductive, the images of subjects 11-20 are unlabelled training images too. Results are the
mean, spread and worst of ten random draws.

Examples:
    python benchmarks/classifier_yaleb.py $YALEB --json
    python benchmarks/classifier_yaleb.py $YALEB --lamps
"""

from __future__ import annotations

import argparse
import json
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import _project  # noqa: F401
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.semi_supervised import LabelSpreading
from tqdm import tqdm

from labeler.light_classifier.active_learning import next_to_ask
from labeler.light_classifier.augmentation import features_with_variants
from labeler.light_classifier.evaluation import Evaluation, evaluate
from labeler.light_classifier.features import N_ODD, mirror_features
from labeler.light_classifier.mirror_logistic import CENTER, LEFT, RIGHT, fit
from labeler.light_classifier.semi_supervised import fit_with_unlabeled
from labeler.light_classifier.training import train
from rotation.data.crop import standard_crop
from rotation.data.decoding import decode
from rotation.data.sources import open_source

NAME = re.compile(r"yaleB(\d\d)_P00A([+-]\d{3})E([+-]\d\d)\.pgm$")
LAST_TRAINING_SUBJECT = 10
FIRST_ASKED, BATCH = 3, 6  # of the active order: one of each label, then so many at a time


@dataclass(frozen=True)
class Faces:
    """`features` (1 + V, N, K); `labels` (N,), -1 at the boundary; lamps in degrees."""

    features: np.ndarray
    labels: np.ndarray
    subjects: np.ndarray
    azimuths: np.ndarray
    elevations: np.ndarray


Method = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def label_of(azimuth: int) -> int:
    """The label of a lamp; in these files a negative azimuth is at the viewer's right."""
    if abs(azimuth) >= 35:
        return LEFT if azimuth > 0 else RIGHT
    return CENTER if abs(azimuth) <= 10 else -1


def load(path: str) -> Faces:
    rows, crops = [], []
    with open_source(path) as source:
        for name in source.names():
            if found := NAME.search(name):
                rows.append([int(group) for group in found.groups()])
                crops.append(standard_crop(decode(source.read(name), name)))
    subjects, azimuths, elevations = np.array(rows).T
    labels = np.array([label_of(azimuth) for azimuth in azimuths])
    return Faces(features_with_variants(np.stack(crops)), labels, subjects, azimuths, elevations)


def draw(labels: np.ndarray, pool: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices of `count` pictures of the pool, as many of each label as there are."""
    rng = np.random.default_rng(seed)
    shuffled = [rng.permutation(pool[labels[pool] == label]) for label in range(3)]
    return np.concatenate([each[: count // 3] for each in shuffled])


def ask(faces: Faces, pool: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices of `count` pictures of the pool in the active order, after one of each label."""
    asked = draw(faces.labels, pool, FIRST_ASKED, seed)
    while len(asked) < count:
        left = np.setdiff1d(pool, asked)
        model = fit(faces.features[0, asked], faces.labels[asked], np.ones(len(asked)))
        rows = faces.features[0, left]
        wanted = min(BATCH if len(asked) < 60 else 30, count - len(asked))
        chosen = next_to_ask(rows, model.predict(rows), wanted, faces.features[0, asked])
        asked = np.concatenate([asked, left[chosen]])
    return asked


def methods(features: np.ndarray) -> dict[str, Method]:
    """Probabilities of the test pictures from labels, unlabelled pool and test (all indices)."""
    cells = features[0].copy()
    cells[:, [N_ODD - 1, -1]] = 0  # what the rendered heads say

    def supervised(chosen, labels, _pool, test):
        return fit(features[0, chosen], labels, np.ones(len(chosen))).predict(features[0, test])

    def cells_only(chosen, labels, _pool, test):
        return fit(cells[chosen], labels, np.ones(len(chosen))).predict(cells[test])

    def self_training(chosen, labels, pool, test):
        model = fit_with_unlabeled(
            features[0, chosen], labels, np.ones(len(chosen)), features[0, pool]
        )
        return model.predict(features[0, test])

    def consistency(chosen, labels, pool, test):
        groups = np.arange(len(chosen))
        trained = train(
            features[0, chosen], labels, np.ones(len(chosen)), groups, features[:, pool]
        )
        return trained.model.predict(features[0, test])

    def spreading(chosen, labels, pool, test):
        rows = np.concatenate([features[0, chosen], features[0, pool]])
        given = np.concatenate([labels, np.full(len(pool), -1)])
        mirrored = np.where(given < 0, -1, 2 - given)
        model = LabelSpreading(kernel="knn", n_neighbors=10, alpha=0.2, max_iter=100)
        model.fit(np.concatenate([rows, mirror_features(rows)]), np.concatenate([given, mirrored]))
        proposed = model.predict_proba(features[0, test])
        # A neighbourhood that no label reaches has no probabilities.
        return np.where(np.isfinite(proposed), proposed, 1 / 3)

    return {
        "cells alone, supervised": cells_only,
        "supervised": supervised,
        "label spreading": spreading,
        "self-training": self_training,
        "consistency": consistency,
    }


def compare(faces: Faces, counts: list[int], draws: int, transductive: bool) -> dict[str, object]:
    """Figures by method and number of labels."""
    pool = np.flatnonzero((faces.subjects <= LAST_TRAINING_SUBJECT) & (faces.labels >= 0))
    test = np.flatnonzero((faces.subjects > LAST_TRAINING_SUBJECT) & (faces.labels >= 0))
    seen = np.flatnonzero(transductive | (faces.subjects <= LAST_TRAINING_SUBJECT))
    learners = methods(faces.features)
    report: dict[str, dict[str, object]] = {name: {} for name in [*learners, "consistency, asked"]}
    with tqdm(total=len(counts) * draws, unit=" draws", disable=None) as bar:
        for count in counts:
            results: dict[str, list[Evaluation]] = {name: [] for name in report}
            for seed in range(draws):
                chosen = draw(faces.labels, pool, count, seed)
                asked = ask(faces, pool, count, seed)
                for name in report:
                    rows = asked if name.endswith("asked") else chosen
                    learn = learners.get(name, learners["consistency"])
                    others = np.setdiff1d(seen, rows)
                    proposed = learn(rows, faces.labels[rows], others, test)
                    results[name].append(evaluate(proposed, faces.labels[test]))
                bar.update()
            for name, each in results.items():
                report[name][str(count)] = summarise(each)
    return {"n_pool": len(pool), "n_test": len(test), "methods": report}


def summarise(results: list[Evaluation]) -> dict[str, float]:
    accuracies = [result.accuracy for result in results]
    means = {
        name: round(float(np.mean([getattr(result, name) for result in results])), 4)
        for name in ("accuracy", "macro_f1", "log_loss", "ece")
    }
    return means | {"sd": round(float(np.std(accuracies)), 4), "worst": round(min(accuracies), 4)}


def lamps(faces: Faces, count: int, draws: int) -> None:
    """Accuracy per lamp on the test subjects."""
    labelled = faces.labels >= 0
    pool = np.flatnonzero((faces.subjects <= LAST_TRAINING_SUBJECT) & labelled)
    test = np.flatnonzero((faces.subjects > LAST_TRAINING_SUBJECT) & labelled)
    seen = np.flatnonzero(faces.subjects <= LAST_TRAINING_SUBJECT)
    right = np.zeros(len(test))
    for seed in range(draws):
        chosen = draw(faces.labels, pool, count, seed)
        others = np.setdiff1d(seen, chosen)
        learn = methods(faces.features)["consistency"]
        proposed = learn(chosen, faces.labels[chosen], others, test).argmax(axis=1)
        right += proposed == faces.labels[test]
    print(f"{count} labels: accuracy per lamp where it is below 1")
    pairs = zip(faces.azimuths[test], faces.elevations[test], strict=True)
    places = np.array([f"A{azimuth:+04d}E{elevation:+03d}" for azimuth, elevation in pairs])
    for place in np.unique(places):
        here = places == place
        if right[here].min() < draws:
            share = right[here].mean() / draws
            print(f"  {place}: {share:.3f} of {here.sum()} pictures")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", help="the zip or folder of Yale B")
    parser.add_argument("--labels", type=int, nargs="+", default=[15, 30, 60, 120, 300])
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--transductive", action="store_true", help="learn from test pictures too")
    parser.add_argument("--lamps", action="store_true", help="accuracy per lamp, with 15 and 60")
    parser.add_argument("--json", action="store_true", help="write JSON")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.filterwarnings("ignore", "invalid value encountered in divide", RuntimeWarning)
    faces = load(arguments.path)
    if arguments.lamps:
        for count in (15, 60):
            lamps(faces, count, arguments.draws)
        return
    report = compare(faces, arguments.labels, arguments.draws, arguments.transductive)
    if arguments.json:
        print(json.dumps(report, indent=2))
        return
    for name, rows in report["methods"].items():  # type: ignore[attr-defined]
        for count, figures in rows.items():
            print(f"{name:>24} {count:>4}: {figures}")


if __name__ == "__main__":
    main()
