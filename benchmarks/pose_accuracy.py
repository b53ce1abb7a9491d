"""Measure how accurately five landmarks determine a pose.

Synthetic heads of unseen people, with yaw uniform within +-45 degrees, are compared with the
renderer's truth. Landmarks come from five sources: the exact ones; a file in CelebA's format (whole
pixels); MTCNN's last network on aligned images at full and half size, and on 64-pixel crops; and
MTCNN's whole cascade on the first images. `slope` is that of the estimate on the truth. `found` is
the share whose confidence suffices for a cluster (0.2). Errors are over these.

With --faces (a folder or zip of aligned faces), it reports what needs no truth: the distribution of
angles, and the agreement of the whole cascade with the last network alone. Milliseconds per image
are processor time of this process with one thread, without reading and decoding files.

Example:
    python benchmarks/pose_accuracy.py --json
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import _project  # noqa: F401

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from PIL import Image

from rotation.clusters.selection import Criteria
from rotation.data.crop import read_image
from rotation.data.sources import open_source
from rotation.poses.estimation import Poses, estimate_poses, mirror_landmarks
from rotation.poses.mtcnn import LandmarkDetector
from rotation.synthetic_heads.camera import CELEBA_VIEW
from rotation.synthetic_heads.marks import landmarks_in_view
from rotation.synthetic_heads.renderer import render, render_view
from rotation.synthetic_heads.sampling import BENCHMARK_IDENTITY, sample_heads

BANDS = (-45, -30, -15, 15, 30, 45)
ENOUGH = Criteria("left").min_confidence
Found = tuple[Any, Poses]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", type=int, default=450)
    parser.add_argument("--cascade", type=int, default=100, help="pictures for the whole cascade")
    parser.add_argument("--faces", type=Path, help="aligned faces without truth")
    parser.add_argument("--limit", type=int, default=2000, help="of them")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    detector = LandmarkDetector()
    report = {"synthetic": measure_synthetic(detector, asked.heads, asked.cascade)}
    if asked.faces is not None:
        report["faces"] = measure_faces(detector, asked.faces, asked.limit, asked.cascade)
    print(json.dumps(report, indent=1) if asked.json else in_words(report))


def measure_synthetic(detector: LandmarkDetector, count: int, cascade: int) -> dict[str, Any]:
    """Errors per source, agreement of the sources, and the mirror."""
    heads = sample_heads(count, seed=7, first_identity=BENCHMARK_IDENTITY)
    truth = np.array([[head.yaw_deg, head.pitch_deg, head.roll_deg] for head in heads])
    images = [Image.fromarray(picture) for picture in render_view(heads, CELEBA_VIEW)]
    small = [image.resize((89, 109), Image.Resampling.BOX) for image in images]
    crops = render(heads)
    exact = landmarks_in_view(heads, CELEBA_VIEW).astype(np.float64)
    timed: dict[str, tuple[Poses, float]] = {}
    with _clock() as took:
        timed["exact landmarks"] = estimate_poses(exact), took() / count
    with _clock() as took:
        timed["landmark file"] = estimate_poses(np.rint(exact - 0.5)), took() / count
    for name, read in {
        "last network, 178x218": lambda: detector.estimate(images),
        "last network, 89x109": lambda: detector.estimate(small),
        "last network, 64x64 crops": lambda: detector.estimate_crops(crops),
        "whole cascade, 178x218": lambda: _by_cascade(detector, images[:cascade])[0],
    }.items():
        timed[name] = _timed(read)
    file, seen = timed["landmark file"][0], timed["last network, 178x218"][0]
    return {
        "heads": count,
        "sources": {name: _errors(poses, truth, ms) for name, (poses, ms) in timed.items()},
        "network_against_file": _agreement(seen, file),
        "mirror_deg": _mirrors(detector, exact, images[:64]),
    }


def measure_faces(
    detector: LandmarkDetector, folder: Path, limit: int, cascade: int
) -> dict[str, Any]:
    """What can be told of faces whose pose nobody knows."""
    with open_source(folder) as source:
        images = [read_image(source, name) for name in source.names()[:limit]]
    poses, ms = _timed(lambda: detector.estimate(images))
    whole, slow_ms = _by_cascade(detector, images[:cascade])
    kept = poses.confidence >= ENOUGH
    angles = {
        name: _spread(column[kept])
        for name, column in zip(("yaw", "pitch", "roll"), poses.columns, strict=False)
    }
    head = Poses(*(column[: len(whole)] for column in poses.columns))
    return {
        "faces": len(images),
        "found": round(float(kept.mean()), 4),
        "ms": round(ms, 2),
        "cascade_ms": round(slow_ms, 1),
        "angles": angles,
        "cascade_against_network": _agreement(whole, head),
    }


def _errors(poses: Poses, truth: Any, ms: float) -> dict[str, Any]:
    truth = truth[: len(poses)]
    kept = poses.confidence >= ENOUGH
    row: dict[str, Any] = {"found": round(float(kept.mean()), 3), "ms": round(ms, 3)}
    for k, name in enumerate(("yaw", "pitch", "roll")):
        row[name] = _error(poses.columns[k][kept], truth[kept, k])
    yaw, own = poses.yaw_deg[kept], truth[kept, 0]
    row["yaw_bands"] = {
        f"{low:+d}..{high:+d}": _error(yaw[inside], own[inside])
        for low, high in pairwise(BANDS)
        if (inside := (own >= low) & (own < high)).any()
    }
    return row


def _error(found: Any, truth: Any) -> dict[str, float]:
    slope = float(np.polyfit(truth, found, 1)[0])
    return {
        "mae": round(float(np.abs(found - truth).mean()), 2),
        "bias": round(float((found - truth).mean()), 2),
        "slope": round(slope, 3),
        "correlation": round(float(np.corrcoef(truth, found)[0, 1]), 3),
    }


def _agreement(one: Poses, other: Poses) -> dict[str, float]:
    both = (one.confidence >= ENOUGH) & (other.confidence >= ENOUGH)
    apart = np.abs(one.yaw_deg - other.yaw_deg)[both]
    return {
        "images": int(both.sum()),
        "mean": round(float(apart.mean()), 2),
        "median": round(float(np.median(apart)), 2),
        "p95": round(float(np.percentile(apart, 95)), 2),
        "correlation": round(float(np.corrcoef(one.yaw_deg[both], other.yaw_deg[both])[0, 1]), 4),
    }


def _mirrors(detector: LandmarkDetector, exact: Any, images: Any) -> dict[str, float]:
    """The largest sum of a yaw and that of the mirror image: of the fit, of the detector."""
    rng = np.random.default_rng(0)
    points = exact + rng.normal(0, 3, exact.shape)
    fit = estimate_poses(points).yaw_deg + estimate_poses(mirror_landmarks(points)).yaw_deg
    flips = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in images]
    read = detector.estimate(images).yaw_deg + detector.estimate(flips).yaw_deg
    return {"fit": float(np.abs(fit).max()), "pictures": round(float(np.abs(read).max()), 4)}


def _spread(values: Any) -> dict[str, Any]:
    cubes = ((values - values.mean()) ** 3).mean() / values.std() ** 3
    return {
        "mean": round(float(values.mean()), 2),
        "sd": round(float(values.std()), 2),
        "skewness": round(float(cubes), 3),
        "percentiles_1_5_50_95_99": np.percentile(values, [1, 5, 50, 95, 99]).round(1).tolist(),
    }


def _by_cascade(detector: LandmarkDetector, images: Any) -> tuple[Poses, float]:
    with _clock() as took:
        read = [detector.detect_by_cascade(image) for image in images]
        ms = took() / len(images)
    poses = estimate_poses(np.stack([points for points, _ in read]))
    score = np.array([score for _, score in read])
    return Poses(*poses.columns[:3], poses.confidence * score), ms


def _timed(read: Callable[[], Poses]) -> tuple[Poses, float]:
    with _clock() as took:
        poses = read()
        return poses, took() / len(poses)


@contextmanager
def _clock() -> Iterator[Callable[[], float]]:
    """Gives the milliseconds of processor time since it was entered."""
    start = time.process_time()
    yield lambda: 1e3 * (time.process_time() - start)


def in_words(report: dict[str, Any]) -> str:
    """The report's tables in Markdown."""
    bands = [f"{low:+d}..{high:+d}" for low, high in pairwise(BANDS)]
    lines = [
        "| landmarks | found | ms | yaw error | bias | slope | corr. | pitch | roll | "
        + " | ".join(bands)
        + " |",
        "|---" * (9 + len(bands)) + "|",
    ]
    for name, row in report["synthetic"]["sources"].items():
        yaw = row["yaw"]
        cells = [name, row["found"], row["ms"], yaw["mae"], f"{yaw['bias']:+}", yaw["slope"]]
        cells += [yaw["correlation"], row["pitch"]["mae"], row["roll"]["mae"]]
        cells += [
            f"{band['mae']} ({band['bias']:+})" if band else ""
            for band in (row["yaw_bands"].get(key) for key in bands)
        ]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    rest = {k: v for k, v in report["synthetic"].items() if k != "sources"}
    return "\n".join([*lines, json.dumps({**rest, "faces": report.get("faces")}, indent=1)])


if __name__ == "__main__":
    main()
