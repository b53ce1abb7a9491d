"""Measure how well the judge of `real_faces.py` estimates yaw. Needs `make judge`.

On 300 rendered heads, it reports the errors of the face mesh and of MTCNN, which the engine uses.
On held-out photographs, the true yaw is unknown, and it reports the difference of the two.

Example:
    python benchmarks/judge_accuracy.py $CELEBA
"""

from __future__ import annotations

import argparse
from pathlib import Path

import _project  # noqa: F401
import numpy as np
from _face_judge import FaceJudge
from numpy.typing import NDArray

from rotation.data.crop import read_crop, read_image
from rotation.data.sources import open_source
from rotation.poses.mtcnn import LandmarkDetector
from rotation.synthetic_heads.renderer import render
from rotation.synthetic_heads.sampling import BENCHMARK_IDENTITY, sample_heads

HEADS, SIDE, USUAL_DEG = 300, 64, 30.0
FIRST, PHOTOGRAPHS = 9500, 200


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, nargs="?", help="CelebA's folder")
    asked = parser.parse_args()
    judge, detector = FaceJudge(), LandmarkDetector()
    heads = sample_heads(HEADS, seed=7, first_identity=BENCHMARK_IDENTITY)
    crops, truth = render(heads), np.array([head.yaw_deg for head in heads])
    print("mesh on rendered heads: ", _compare(judge.look(crops).yaw_deg, truth))
    print("MTCNN on rendered heads:", _compare(detector.estimate_crops(crops).yaw_deg, truth))
    if asked.images is not None:
        with open_source(asked.images) as images:
            names = images.names()[FIRST : FIRST + PHOTOGRAPHS]
            faces = [read_image(images, name) for name in names]
            crops = np.stack([read_crop(images, name, SIDE) for name in names])
        seen = judge.look(crops).yaw_deg
        print(
            "mesh against MTCNN on photographs:", _compare(seen, detector.estimate(faces).yaw_deg)
        )


def _compare(read: NDArray[np.float64], truth: NDArray[np.float64]) -> str:
    good = np.isfinite(read) & np.isfinite(truth)
    read, truth = read[good], truth[good]
    usual = np.abs(truth) <= USUAL_DEG
    error = np.abs(read - truth)
    correlation, slope = np.corrcoef(truth, read)[0, 1], np.polyfit(truth, read, 1)[0]
    return (
        f"off by {error.mean():.1f}°, {error[usual].mean():.1f}° within ±{USUAL_DEG:.0f}°; "
        f"correlation {correlation:.3f}, slope {slope:.2f}"
    )


if __name__ == "__main__":
    main()
