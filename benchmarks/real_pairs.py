"""Measure the judge's distances between photographs of one person, by difference of yaw.

This is the reference for the distances of `real_faces.py`. Photographs of one person differ by more
than a turn (day, light, camera), and photographs of two people differ more still. Pairs come from
`identity_CelebA.txt`; one image of each is within 10 degrees of the front. Yaws are MTCNN's, images
are 64x64 crops. Needs `make judge`.

Example:
    python benchmarks/real_pairs.py $CELEBA
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from itertools import permutations
from pathlib import Path

import _project  # noqa: F401
import numpy as np
from _face_judge import FaceJudge

from rotation.data.celeba import read_tables
from rotation.data.crop import read_crop
from rotation.data.sources import open_source
from rotation.diffusion.devices import choose_device
from rotation.imaging.metrics import bootstrap
from rotation.poses.source import pose_cache_path, poses_from_images

FRONTAL_DEG, STEP_DEG, SIDE = 10.0, 10.0, 64
DIFFERENCES_DEG = (0.0, 10.0, 20.0, 30.0)


def main() -> None:
    options = _options()
    rng = np.random.default_rng(0)
    with open_source(options.images) as images:
        poses = poses_from_images(
            images, pose_cache_path(options.cache, options.images), choose_device("auto")
        )
        pairs = find_pairs(options.images, images.names(), poses, options.pairs, rng)
        names = sorted({name for found in pairs.values() for pair in found for name in pair})
        crops = np.stack([read_crop(images, name, SIDE) for name in names])
    looks = FaceJudge().look(crops).descriptors
    row = {name: k for k, name in enumerate(names)}
    print("| | pairs | distance [95 %] |\n|---|---|---|")
    for difference, found in pairs.items():
        first, second = (looks[[row[pair[k]] for pair in found]] for k in (0, 1))
        told = f"one person, yaws {difference:.0f}° apart"
        _print(told, np.linalg.norm(first - second, axis=1), rng)
    strangers = np.roll(np.arange(len(looks)), len(looks) // 2)
    _print("two people", np.linalg.norm(looks - looks[strangers], axis=1), rng)


def find_pairs(folder, names, poses, most, rng):
    """Difference -> at most `most` pairs of names, one pair a person, the frontal one first."""
    people = read_tables(folder).identities
    yaws = dict(zip(names, poses.find_poses(names).yaw_deg, strict=True))
    by_person = defaultdict(list)
    for name, person in zip(people.filenames, people.values[:, 0], strict=True):
        if np.isfinite(yaws.get(name, np.nan)):
            by_person[person].append(name)
    pairs = {difference: [] for difference in DIFFERENCES_DEG}
    for shown in by_person.values():
        for difference, found in pairs.items():
            fitting = [
                (a, b)
                for a, b in permutations(shown, 2)
                if abs(yaws[a]) <= FRONTAL_DEG
                and abs(abs(yaws[b] - yaws[a]) - difference) <= STEP_DEG / 2
            ]
            if fitting:
                found.append(fitting[rng.integers(len(fitting))])
    return {
        difference: [found[k] for k in rng.permutation(len(found))[:most]]
        for difference, found in pairs.items()
    }


def _print(what: str, distances, rng) -> None:
    one = bootstrap(distances, rng)
    spread = f"{one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]"
    print(f"| {what} | {len(distances)} | {spread} |", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, help="CelebA's folder")
    parser.add_argument("--pairs", type=int, default=150, help="of each difference, at most [150]")
    parser.add_argument("--cache", type=Path, default=Path("build/real-cache"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
