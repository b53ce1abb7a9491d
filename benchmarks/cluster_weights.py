"""Test whether weighting cluster members by their likeness to the source serves the source.

It uses rendered heads, in pixels, without a model. For each source, members of its light are taken
at -20, 0 and +20 degrees by their true poses, with and without shared attributes. Measures:

  unlike   root mean square difference between the weighted mean image at +-20 degrees and the true
           render of the source there, in grey levels
  cosine   cosine between the change of the weighted means from -20 to +20 and the true change
  error    norm of the difference of these changes, relative to the true one, after the means'
           change is scaled to fit best

Each has its mean over sources, and the 95 % bootstrap interval of its paired difference from equal
weights. Attributes are dropped if fewer than 8 members would be left at an angle. The first figures
show how much the descriptor depends on pose: its distance between the same person at 0 and at +-30
degrees, in units of the distance between two persons of one light.

Example:
    python benchmarks/cluster_weights.py --heads 900 --sources 24
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import _project  # noqa: F401
import numpy as np

from rotation.clusters.selection import Criteria, Selection, select
from rotation.clusters.similarity import appearance_descriptors, weight_by_similarity
from rotation.data.records import UNKNOWN, Records
from rotation.errors import SelectionError
from rotation.evaluation.editors import source_of
from rotation.evaluation.ground_truth import benchmark_heads
from rotation.imaging.metrics import bootstrap
from rotation.poses.estimation import Poses
from rotation.synthetic_heads.attributes import attributes
from rotation.synthetic_heads.parameters import Head, light_class
from rotation.synthetic_heads.renderer import render
from rotation.synthetic_heads.sampling import sample_heads

ANGLES = (-20.0, 0.0, 20.0)
SHARES = (1.0, 0.75, 0.5, 0.25)
ATTRIBUTES = ("Male", "Young", "Eyeglasses", "Smiling")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", type=int, default=900)
    parser.add_argument("--sources", type=int, default=24)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    report = measure(asked.heads, asked.sources)
    if asked.json:
        print(json.dumps(report, indent=1))
        return
    print("pose in the descriptor:", json.dumps(report["pose_share"]))
    for row in report["rows"]:
        print(json.dumps(row))


def measure(count: int, sources: int) -> dict[str, Any]:
    """The table, one row for each filter and effective share."""
    heads = [h for h in sample_heads(count, seed=11, yaw_range=(-27, 27)) if _light(h)]
    pictures = render(heads)
    records, poses = _records(heads)
    targets = benchmark_heads(sources, 1)
    truths = [render([replace(head, yaw_deg=yaw) for yaw in ANGLES]) for head in targets]
    looks = appearance_descriptors(pictures)
    rows = []
    for names in ((), ATTRIBUTES):
        values = {share: np.full((sources, 3), np.nan) for share in SHARES}
        for k, (head, truth) in enumerate(zip(targets, truths, strict=True)):
            chosen = _choose(head, records, poses, names)
            own = appearance_descriptors(truth[1:2])[0]
            for share in SHARES if chosen else ():
                weighted = weight_by_similarity(chosen, looks[chosen.members.rows], own, share)
                values[share][k] = _judge(weighted, pictures, truth)
        rows += [_row(names, share, values) for share in SHARES]
    return {"heads": len(heads), "pose_share": _pose_share(targets), "rows": rows}


def _row(names: Sequence[str], share: float, values: dict[float, Any]) -> dict[str, Any]:
    kept = np.isfinite(values[1.0]).all(axis=1)
    now, equal = values[share][kept], values[1.0][kept]
    row: dict[str, Any] = {"attributes": bool(names), "share": share, "sources": int(kept.sum())}
    for column, name in enumerate(("unlike", "cosine", "error")):
        gain = bootstrap(now[:, column] - equal[:, column], np.random.default_rng(0))
        row[name] = round(float(now[:, column].mean()), 3)
        row[f"{name}_against_equal"] = [round(gain.low, 3), round(gain.high, 3)]
    return row


def _choose(head: Head, records: Records, poses: Poses, names: tuple[str, ...]) -> Selection | None:
    criteria = Criteria(
        light_class(head.light_azimuth_deg), names, minimum=8, max_half_width_deg=7.0
    )
    source = source_of(head, 64).record
    rng = np.random.default_rng(0)
    try:
        return select(records, poses, source, ANGLES, criteria, rng)
    except SelectionError:
        return None


def _judge(selection: Selection, pictures: Any, truth: Any) -> tuple[float, float, float]:
    means = []
    for cluster in selection.clusters:
        seen = pictures[cluster.rows].astype(np.float64)
        seen[cluster.mirrored] = seen[cluster.mirrored][:, :, ::-1]
        means.append(np.average(seen, axis=0, weights=cluster.weights))
    own = truth.astype(np.float64)
    unlike = np.sqrt(np.mean([np.square(means[k] - own[k]).mean() for k in (0, 2)]))
    change, wanted = (means[2] - means[0]).ravel(), (own[2] - own[0]).ravel()
    cosine = change @ wanted / np.linalg.norm(change) / np.linalg.norm(wanted)
    return float(unlike), float(cosine), float(np.sqrt(1 - cosine**2))


def _pose_share(heads: Sequence[Head]) -> dict[str, float]:
    ahead = appearance_descriptors(render([replace(h, yaw_deg=0.0) for h in heads]))
    found = {}
    lights = np.array([_light(h) for h in heads])
    pairs = np.linalg.norm(ahead[:, None] - ahead[None], axis=2)
    same = (lights[:, None] == lights[None]) & ~np.eye(len(heads), dtype=bool)
    for yaw in (-30.0, 30.0):
        turned = appearance_descriptors(render([replace(h, yaw_deg=yaw) for h in heads]))
        apart = np.linalg.norm(turned - ahead, axis=1).mean()
        found[f"{yaw:+g}"] = round(float(apart / pairs[same].mean()), 3)
    return found


def _records(heads: Sequence[Head]) -> tuple[Records, Poses]:
    known = [attributes(head) for head in heads]
    count = len(heads)
    records = Records(
        filenames=tuple(f"{k:06d}" for k in range(count)),
        labels=np.array([_light(head) for head in heads]),
        identities=np.full(count, UNKNOWN),
        attribute_names=tuple(known[0]),
        attributes=np.array([[int(value) for value in row.values()] for row in known]),
    )
    yaw = np.array([head.yaw_deg for head in heads])
    return records, Poses(yaw, np.zeros(count), np.zeros(count), np.ones(count))


def _light(head: Head) -> str | None:
    found = light_class(head.light_azimuth_deg)
    return None if found == "boundary" else found


if __name__ == "__main__":
    main()
