"""Measure how well the light classifier agrees with annotators on turned faces, by yaw.

The annotators are the scripts of `end_to_end.py`, which name the brighter half of the face.
On images without votes, this reports the share that the classifier labels as the annotators would.
It also reports its labels for faces that the annotators find evenly lit.

Example:
    python benchmarks/classifier_turned.py $CELEBA --labels build/road/labels.csv \\
        --classifier build/road/classifier
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import _project  # noqa: F401
import numpy as np
from _light_reader import light_classes
from end_to_end import brighter_half

from labeler.light_classifier.storage import load_model
from rotation.data.crop import read_image
from rotation.data.csv_rows import read_keyed_file
from rotation.data.sources import open_source
from rotation.diffusion.devices import choose_device
from rotation.poses.source import pose_cache_path, poses_from_images

LABELS = np.array(["left", "center", "right", "no face"])  # the last one is `NO_FACE`
EDGES = (-50, -25, -15, 15, 25, 50)
MOST = 450  # images of a range of yaws


def main() -> None:
    options = _options()
    sources = read_keyed_file(options.labels, ("source",), lambda cells: cells.text("source"))
    voted = {name for name, source in sources.items() if source == "votes"}
    with open_source(options.images) as images:
        cache = pose_cache_path(options.cache, options.images)
        book = poses_from_images(images, cache, choose_device("auto"))
        names = np.array([name for name in images.names() if name not in voted])
        yaws = book.find_poses(names.tolist()).yaw_deg
        print("| yaw | images | as annotators | evenly lit: called left | center | right |")
        print("|---|---|---|---|---|---|")
        for low, high in pairwise(EDGES):
            chosen = names[(yaws >= low) & (yaws < high)][:MOST]
            said = np.array([brighter_half(images.read(name)) for name in chosen])
            pictures = [np.asarray(read_image(images, name)) for name in chosen]
            model = load_model(options.classifier)[0]
            found = LABELS[light_classes(model, pictures)]
            even = [f"{(found[said == 'center'] == label).mean():.2f}" for label in LABELS]
            shares = " | ".join([f"{(found == said).mean():.2f}", *even])
            print(f"| {low}° to {high}° | {len(chosen)} | {shares} |", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, help="CelebA's folder")
    parser.add_argument("--labels", type=Path, required=True, help="labels.csv of the labeler")
    parser.add_argument("--classifier", type=Path, required=True, help="of `classifier fit`")
    parser.add_argument("--cache", type=Path, default=Path("build/real-cache"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
