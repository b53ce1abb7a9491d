"""Compare the light on turned rendered heads with that on their true renders.

The lamp stays where it is while a head turns, so the halves of its face change their brightness.
This script says how much, and how far turned frames are from it: with the shading of the turn
(`rotation.geometry.light`) and without. With `--classifier` it also says how often a light class is
kept: by the true renders, which no way of turning can better, and by the frames. Needs
`make judge`.

Example:
    python benchmarks/light_of_turns.py --heads 60 --classifier build/road/classifier
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import _project  # noqa: F401
import numpy as np
from _face_judge import FaceJudge
from _light_reader import light_classes
from _photographs import Photograph, boxes_at_eyes, cut
from _picture_measures import rendered_source, rendered_truth
from _yaw_judges import SIDE
from numpy.typing import NDArray
from PIL import Image

from labeler.light_classifier.storage import load_model
from rotation.data.crop import Pixels
from rotation.errors import ImageError
from rotation.geometry.photograph import Photograph as HeadPhotograph
from rotation.imaging.metrics import bootstrap
from rotation.synthetic_heads.sampling import BENCHMARK_IDENTITY, Head, sample_heads

YAWS = (-30.0, -20.0, -10.0, 0.0, 10.0, 20.0, 30.0)
SOURCE_DEG = 15.0
WAYS = ("true renders", "shading changed", "shading kept")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", type=int, default=60, help="rendered heads [60]")
    parser.add_argument("--classifier", type=Path, help="of `classifier fit`")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    asked = parser.parse_args()
    judge = FaceJudge()
    model = load_model(asked.classifier)[0] if asked.classifier else None
    contrasts, classes = [], []
    for head in _heads(asked.heads):
        strips = _strips(head)
        if strips is None:
            continue
        source = rendered_source(head)
        contrasts.append([_contrasts(judge, source, frames) for frames in strips])
        if model is not None:
            classes.append([light_classes(model, [source, *frames]) for frames in strips])
    report = summarise(np.array(contrasts), np.array(classes) if classes else None)
    print(json.dumps(report, indent=1) if asked.json else table(report))


def summarise(contrasts: NDArray, classes: NDArray | None) -> dict:
    """Means with 95 % intervals over heads.

    Parameters:
        contrasts: (heads, ways, yaws) of the halves of the face.
        classes: (heads, ways, 1 + yaws), that of the source first.
    """
    values = {
        "spread": np.ptp(contrasts, axis=2),
        "error": np.abs(contrasts - contrasts[:, :1]).mean(axis=2),
    }
    if classes is not None:
        values["class kept"] = (classes[:, :, 1:] == classes[:, :, :1]).mean(axis=2)
        values["class of the true render"] = (classes[:, :, 1:] == classes[:, :1, 1:]).mean(axis=2)
    found: dict = {"heads": len(contrasts)}
    for key, columns in values.items():
        found[key] = {}
        for way, column in zip(WAYS, columns.T, strict=True):
            one = bootstrap(column.astype(float), np.random.default_rng(0))
            found[key][way] = [one.mean, one.low, one.high]
    return found


def table(report: dict) -> str:
    """Markdown, one column a way."""
    lines = [f"| {report['heads']} heads | " + " | ".join(WAYS) + " |", "|---" * 4 + "|"]
    for key in report:
        if key != "heads":
            cells = ("{:.3f} [{:.3f}, {:.3f}]".format(*report[key][way]) for way in WAYS)
            lines.append(f"| {key} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _heads(count: int) -> list[Head]:
    heads = sample_heads(count, seed=5, first_identity=BENCHMARK_IDENTITY + 700)
    yaws = np.random.default_rng(5).uniform(-SOURCE_DEG, SOURCE_DEG, count)
    return [
        replace(head, yaw_deg=float(yaw), pitch_deg=0.0, roll_deg=0.0)
        for head, yaw in zip(heads, yaws, strict=True)
    ]


def _strips(head: Head) -> list[Pixels] | None:
    """Frames (K, H, W, 3) by each of `WAYS`; None if the face cannot be measured."""
    source, turned = Image.fromarray(rendered_source(head)), []
    for relight in (True, False):
        try:
            photograph = HeadPhotograph(source, relight=relight)
        except ImageError:
            return None
        turns = [photograph.turn_by(yaw - photograph.yaw_deg) for yaw in YAWS]
        turned.append(np.stack([photograph.paste(frame) for frame in turns]))
    return [np.stack([rendered_truth(head, yaw)[0] for yaw in YAWS]), *turned]


def _contrasts(judge: FaceJudge, source: Pixels, frames: Sequence[Pixels]) -> NDArray:
    window = (0, 0, source.shape[1], source.shape[0])
    photograph = Photograph("", "", source, window, "center")
    boxes = boxes_at_eyes(photograph, np.asarray(frames))
    crops = [cut(frame, box, SIDE) for frame, box in zip(frames, boxes, strict=True)]
    return judge.look(np.stack(crops)).contrast


if __name__ == "__main__":
    main()
