#!/usr/bin/env python3
"""How the halves of a face differ in brightness by its yaw: in photographs and in turned frames.

A lamp does not know where a head looks. So over many photographs, the half of the face that is
turned away from the camera is darker or brighter by a certain amount on the mean, and turned frames
should have the same one. The slope of log(left half / right half) by the yaw says how far they do.
The strength of the frontal light (`rotation.geometry.light.FRONTAL`) was chosen in this way, on
photographs of people who are not judged. `--judged` takes the others.

With `--classifier` it also says in which share of the turned frames the light class of the
photograph is kept: the mean over photographs, where a face is found in both. Turns are by geometry
alone, without a model.

Examples:
    OMP_NUM_THREADS=1 python benchmarks/light_by_yaw.py celeba10k
    OMP_NUM_THREADS=1 python benchmarks/light_by_yaw.py lfw_250.zip --judged --json
    OMP_NUM_THREADS=1 python benchmarks/light_by_yaw.py celeba10k --frontal 0.6
    OMP_NUM_THREADS=1 python benchmarks/light_by_yaw.py celeba10k --judged --classifier DIR
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import _project  # noqa: F401
import numpy as np
from _light_reader import NO_FACE, light_classes
from _photographs import PhotographSet, celeba, lfw
from _picture_measures import face_mask
from numpy.typing import NDArray
from PIL import Image

from labeler.light_classifier.mirror_logistic import MirrorLogistic
from labeler.light_classifier.storage import load_model
from rotation.data.crop import CELEBA_HEIGHT, CELEBA_WIDTH, Pixels
from rotation.errors import ImageError
from rotation.faces.face_mesh import find_mesh
from rotation.geometry import light
from rotation.geometry.photograph import Photograph
from rotation.imaging.metrics import LUMA, bootstrap

YAWS = (-30.0, -15.0, 0.0, 15.0, 30.0)
MOST_DEG = 40.0  # faces turned further show too little of one half
DARK = 0.02  # of 1: darker halves count as so bright
DRAWS = 1_000  # of the bootstrap
MIDDLING = (0.2, 0.25, 0.8, 0.85)  # where about the face is in an aligned image
Halves = NDArray[np.float64]
"""Yaw in degrees and log(left half / right half) of N faces, (N, 2)."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="a folder with CelebA's first 10,000, or LFW's zip")
    parser.add_argument("--photographs", type=int, default=700, help="to be measured [700]")
    parser.add_argument("--turned", type=int, default=40, help="others, to be turned [40]")
    parser.add_argument("--judged", action="store_true", help="take the people kept aside")
    parser.add_argument("--frontal", type=float, help="another strength of the frontal light")
    parser.add_argument("--classifier", type=Path, help="of `classifier fit`")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    asked = parser.parse_args()
    if asked.frontal is not None:
        light.FRONTAL = asked.frontal
    images = lfw(asked.data) if asked.data.suffix == ".zip" else celeba(asked.data)
    names = images.judged(10**9, 0) if asked.judged else images.others()
    to_turn, to_measure = names[: asked.turned], names[asked.turned :][: asked.photographs]
    report = {"photographs": summarise(_measure(_aligned(images, name) for name in to_measure))}
    for way, relight in (("light turns with the head", False), ("light stays", True)):
        sources = [_aligned(images, name) for name in to_turn]
        strips = [[pixels, *_turn(pixels, relight)] for pixels in sources]
        report[way] = summarise(_measure(frame for strip in strips for frame in strip[1:]))
        if asked.classifier:
            report[way] |= classes_kept(load_model(asked.classifier)[0], strips)
    print(json.dumps(report, indent=1) if asked.json else table(report))


def summarise(halves: Halves) -> dict[str, float]:
    """The slope per 10 degrees with its 95 % interval, over the N faces within `MOST_DEG`.

    Frames of one photograph are drawn one by one, so the interval of turned frames is too narrow.
    """
    halves = halves[np.abs(halves[:, 0]) < MOST_DEG]
    if len(halves) < 2:
        raise SystemExit("Fewer than two faces were measured. Give more photographs.")
    rng = np.random.default_rng(0)
    slopes = [_slope(halves[rng.integers(0, len(halves), len(halves))]) for _ in range(DRAWS)]
    low, high = np.quantile(slopes, [0.025, 0.975])
    return {"faces": len(halves), "slope": _slope(halves), "low": float(low), "high": float(high)}


def classes_kept(
    model: MirrorLogistic, strips: Sequence[Sequence[Pixels]]
) -> dict[str, tuple[float, float, float]]:
    """The share of frames with the light class of their photograph; 95 % over photographs."""
    shares = []
    for source, *frames in strips:
        first, *classes = light_classes(model, [source, *frames]).tolist()
        known = [one for one in classes if one != NO_FACE]
        if first != NO_FACE and known:
            shares.append(np.mean([one == first for one in known]))
    found = bootstrap(np.array(shares), np.random.default_rng(0))
    return {"kept": (found.mean, found.low, found.high)}


def table(report: dict[str, dict[str, Any]]) -> str:
    """Markdown, a line a way."""
    lines = ["| | faces | log(left / right) per 10° | class kept |", "|---|---|---|---|"]
    for way, one in report.items():
        kept = "{:.2f} [{:.2f}, {:.2f}]".format(*one["kept"]) if "kept" in one else "not read"
        slope = "{slope:+.3f} [{low:+.3f}, {high:+.3f}]".format(**one)
        lines.append(f"| {way} | {one['faces']} | {slope} | {kept} |")
    return "\n".join(lines)


def _slope(halves: Halves) -> float:
    return float(10 * np.polyfit(halves[:, 0], halves[:, 1], 1)[0])


def _aligned(images: PhotographSet, name: str) -> Pixels:
    """A photograph as an aligned image (218, 178, 3)."""
    photograph = images.read(name)
    view = Image.fromarray(photograph.pixels).crop(tuple(map(int, photograph.window)))
    return np.array(view.resize((CELEBA_WIDTH, CELEBA_HEIGHT), Image.Resampling.BICUBIC))


def _turn(pixels: Pixels, relight: bool) -> Iterator[Pixels]:
    """The photograph turned to each of `YAWS`; nothing if it cannot be measured."""
    try:
        photograph = Photograph(Image.fromarray(pixels), relight=relight)
    except ImageError:
        return
    for yaw in YAWS:
        yield photograph.paste(photograph.turn_by(yaw - photograph.yaw_deg))


def _measure(pictures: Iterable[Pixels]) -> Halves:
    """What is seen in pictures (218, 178, 3); those without a face are left out."""
    found = []
    for pixels in pictures:
        height, width = pixels.shape[:2]
        left, top, right, bottom = MIDDLING
        try:
            mesh = find_mesh(pixels, (left * width, top * height, right * width, bottom * height))
        except ImageError:
            continue
        inside = face_mask(mesh.points[:, :2], (height, width))
        columns = np.flatnonzero(inside.any(axis=0))
        middle = (columns[0] + columns[-1] + 1) // 2
        luma = pixels @ LUMA / 255
        halves = (luma[:, :middle][inside[:, :middle]], luma[:, middle:][inside[:, middle:]])
        left_log, right_log = (np.log(max(float(half.mean()), DARK)) for half in halves)
        found.append((mesh.yaw_deg, left_log - right_log))
    return np.array(found).reshape(-1, 2)


if __name__ == "__main__":
    main()
