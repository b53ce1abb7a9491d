#!/usr/bin/env python3
"""The first proposer on Extended Yale B, whose lamps are known: accuracy from 15 and 60 labels.

Learns from subjects 1-10, as many labels a class, and is tested on subjects 11-20. The truth is
the azimuth in the file name: <= -35 right, >= 35 left, within 10 center; the rest is left out.

    python benchmarks/yaleb_baseline.py ../shared/data/yaleb_subjects_01_20.zip [--json]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from labeler.classifier.evaluation import Evaluation, evaluate
from labeler.classifier.features import mirror_features
from labeler.classifier.model import CENTER, LEFT, RIGHT, fit
from labeler.services.extracting import extract_features
from rotation.dataset.sources import open_source

NAME = re.compile(r"yaleB(\d\d)_P00A([+-]\d{3})E[+-]\d\d\.pgm$")
LAST_TRAINING_SUBJECT = 10


def label_of(azimuth: int) -> int | None:
    """The label of a lamp; in these files a negative azimuth is at the viewer's right."""
    if abs(azimuth) >= 35:
        return LEFT if azimuth > 0 else RIGHT
    return CENTER if abs(azimuth) <= 10 else None


def load(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (N, K), labels (N,) and subjects (N,) of the pictures with a true label."""
    with open_source(path) as source:
        matches = [(name, NAME.search(name)) for name in source.names()]
    rows = [(name, int(m[1]), label_of(int(m[2]))) for name, m in matches if m]
    rows = [row for row in rows if row[2] is not None]
    chunks = list(extract_features(path, [name for name, _, _ in rows], processes=1))
    kept = [rows[position] for chunk in chunks for position in chunk.positions]
    features = np.concatenate([chunk.features for chunk in chunks])
    return features, np.array([row[2] for row in kept]), np.array([row[1] for row in kept])


def draw(labels: np.ndarray, pool: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices of `count` pictures of the pool, as many of each label."""
    rng = np.random.default_rng(seed)
    each = [rng.choice(pool[labels[pool] == k], count // 3, replace=False) for k in range(3)]
    return np.concatenate(each)


def run(path: str, counts: list[int], draws: int) -> dict[str, object]:
    """Mean and spread of accuracy, and means of the other figures, over the draws."""
    features, labels, subjects = load(path)
    pool = np.flatnonzero(subjects <= LAST_TRAINING_SUBJECT)
    test = np.flatnonzero(subjects > LAST_TRAINING_SUBJECT)
    report: dict[str, object] = {"n_pool": len(pool), "n_test": len(test)}
    for count in [*counts, len(pool)]:
        results = []
        for seed in range(draws if count < len(pool) else 1):
            chosen = draw(labels, pool, count, seed) if count < len(pool) else pool
            model = fit(features[chosen], labels[chosen], np.ones(len(chosen)))
            results.append(evaluate(model.predict(features[test]), labels[test]))
            mirrored = model.predict(mirror_features(features[test]))
            assert np.array_equal(mirrored, model.predict(features[test])[:, ::-1])
        report[str(count)] = summarise(results)
    return report


def summarise(results: list[Evaluation]) -> dict[str, object]:
    accuracies = [result.accuracy for result in results]
    means = {
        name: round(float(np.mean([getattr(result, name) for result in results])), 4)
        for name in ("accuracy", "macro_f1", "log_loss", "ece")
    }
    confusion = np.mean([result.confusion for result in results], axis=0).round(1).tolist()
    return means | {"accuracy_sd": round(float(np.std(accuracies)), 4),
                    "accuracy_min": round(min(accuracies), 4), "confusion": confusion}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("path", help="the zip or folder of Yale B")
    parser.add_argument(
        "--labels", type=int, nargs="+", default=[15, 60], help="how many to learn from"
    )
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="write JSON")
    arguments = parser.parse_args()
    report = run(arguments.path, arguments.labels, arguments.draws)
    if arguments.json:
        print(json.dumps(report, indent=2))
        return
    for key, value in report.items():
        print(f"{key:>8}: {value}")


if __name__ == "__main__":
    main()
