"""Measure how accurately the pose estimators of the closed loop estimate yaw.

Two networks are trained on a rendered image set, as in `rotation run`. They, and MTCNN's last
network in random crops (used for small image sets), estimate true renders of unseen people. Yaw is
uniform within +-40 degrees. It takes two to three minutes on two free cores.

Example:
    python benchmarks/pose_estimators.py --json
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import _project  # noqa: F401

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
import torch

from rotation.data.sources import open_source
from rotation.editing.pose_estimators import TrainedEstimators, YawEstimator
from rotation.evaluation.ground_truth import benchmark_heads
from rotation.poses.source import poses_from_csv
from rotation.synthetic_heads.dataset import write_dataset
from rotation.synthetic_heads.renderer import render

SIZE = 64
BANDS = (0, 20, 30, 40)


def main() -> None:
    """Train, estimate and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", type=int, default=1200, help="images to train on")
    parser.add_argument("--unseen", type=int, default=400, help="images to estimate")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        heads = write_dataset(Path(folder) / "heads", asked.heads)
        with open_source(heads) as images:
            start = time.process_time()
            poses = poses_from_csv(heads / "truth.csv")
            trained = TrainedEstimators(images, poses, None, "cpu")(SIZE, 0)
            seconds = time.process_time() - start
    pixels, yaws, pitches = unseen(asked.unseen)
    with torch.no_grad():
        read = {
            "network that is followed": trained.read(pixels).numpy(),
            "network that measures": trained.measure(pixels),
            "MTCNN's last network": YawEstimator()(pixels).numpy(),
        }
    rows = {name: errors(found, yaws, pitches) for name, found in read.items()}
    rows["MTCNN's last network"].pop("pitch")  # it reads none
    if asked.json:
        print(json.dumps({"taught_cpu_seconds": seconds, "readers": rows}, indent=2))
        return
    print(f"{trained.about}, {asked.heads} pictures: {seconds:.0f} s of processor time")
    for name, row in rows.items():
        print(f"{name:26}", "  ".join(f"{key} {value:.2f}" for key, value in row.items()))


def unseen(count: int) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Images in [-1, 1] of ten yaws of each head, and their true yaws and pitches in degrees."""
    rng = np.random.default_rng(0)
    people = benchmark_heads(-(-count // 10), 7)
    heads = [
        replace(head, yaw_deg=float(yaw)) for head in people for yaw in rng.uniform(-40, 40, 10)
    ][:count]
    images = torch.from_numpy(render(heads, SIZE)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return images, *(np.array([getattr(h, k) for h in heads]) for k in ("yaw_deg", "pitch_deg"))


def errors(poses: np.ndarray, yaws: np.ndarray, pitches: np.ndarray) -> dict[str, float]:
    """Mean absolute errors in degrees: of yaw, in all and by bands of it, and of pitch."""
    error, side = np.abs(poses[:, 0] - yaws), np.abs(yaws)
    row = {"yaw": error.mean()}
    for low, high in pairwise(BANDS):
        row[f"{low}-{high}"] = error[(side >= low) & (side < high)].mean()
    row["pitch"] = np.abs(poses[:, 1] - pitches).mean()
    return {key: float(value) for key, value in row.items()}


if __name__ == "__main__":
    main()
