"""Rotations measured against the truth: synthetic heads that no model has seen.

The renderer knows what each head looks like from every side, so a turned picture is compared with
the true one. What a frame shows is read off by the nearest true render, which is no part of the
engine: the judge differs from the labeller of the clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotation.embedding import Encoder, Progress, Store
from rotation.errors import SelectionError
from rotation.images import Pixels
from rotation.metrics import bootstrap, kendall_tau, mean_square_error, nearest, psnr, vertex
from rotation.pipeline import Data, Options, Rotation, Source, turn
from rotation.records import LABELS, UNKNOWN, Records
from rotation.synthetic import (
    BENCHMARK_IDENTITY,
    Head,
    light_class,
    render,
    sample_heads,
    sample_identity,
)
from rotation.synthetic.attributes import attributes

GRID_DEG = np.arange(-50.0, 51.0, 2.0)
LAMPS_DEG = (-60.0, -40.0, 0.0, 40.0, 60.0)
GALLERY_IDENTITY = BENCHMARK_IDENTITY + 500_000
GALLERY_YAWS_DEG = (-30.0, 30.0)
SOURCE_YAW_DEG = 10.0


@dataclass(frozen=True)
class Verdict:
    """One source, turned: rows go with the yaws asked for.

    `reached_deg` is the yaw of the nearest true render (parabola over a 2 degree grid), `psnr_db`
    against the true render at the asked yaw, `light_kept` whether the nearest render over lamps
    has the source's light class, `identity_kept` (at +-30 degrees) whether the nearest of the
    gallery is the source's person. `bound_db` is the PSNR of the source's own reconstruction.
    """

    light: str
    reached_deg: list[float]
    psnr_db: list[float]
    light_kept: list[bool]
    identity_kept: list[bool]
    bound_db: float


def benchmark_heads(count: int, seed: int) -> list[Head]:
    """Heads of unseen people looking ahead within +-10 degrees, the three lights in turn."""
    pool = sample_heads(
        12 * count + 60, seed, BENCHMARK_IDENTITY, (-SOURCE_YAW_DEG, SOURCE_YAW_DEG)
    )
    by_light = {label: [h for h in pool if _light(h) == label] for label in LABELS}
    return [by_light[LABELS[k % 3]][k // 3] for k in range(count)]


def source_of(head: Head, size: int) -> Source:
    """A head as the source of a rotation, with its true yaw and attributes."""
    known = attributes(head)
    record = Records(
        filenames=("",),
        labels=np.array([_light(head)]),
        identities=np.array([UNKNOWN]),
        attribute_names=tuple(known),
        attributes=np.array([[int(value) for value in known.values()]]),
    )
    return Source(render([head], size)[0], record, _light(head), head.yaw_deg)


def evaluate(
    data: Data, model: Encoder, store: Store, heads: Sequence[Head], options: Options,
    gallery: int = 50, progress: Progress | None = None,
) -> tuple[list[Verdict], list[tuple[Pixels, Pixels]]]:  # fmt: skip
    """Turn each head and judge it; the verdicts, and per head its frames and true renders."""
    verdicts, pictures = [], []
    for done, head in enumerate(heads, start=1):
        source = source_of(head, model.image_size)
        if not options.light_filter:
            source = replace(source, light=None)
        result = turn(data, source, model, store, options)
        truth = _renders(head, options.yaws_deg, model.image_size)
        verdicts.append(judge(head, result, truth, options.yaws_deg, gallery))
        pictures.append((result.frames, truth))
        if progress is not None:
            progress("evaluate", done, len(heads))
    return verdicts, pictures


def judge(
    head: Head, result: Rotation, truth: Pixels, yaws_deg: Sequence[float], gallery: int
) -> Verdict:
    """Read off what the frames of a turned head show."""
    frames, size = result.frames, result.frames.shape[1]
    grid = _renders(head, GRID_DEG, size)
    errors = np.stack([mean_square_error(grid, np.broadcast_to(f, grid.shape)) for f in frames])
    reached = [vertex(GRID_DEG, row) for row in errors]
    return Verdict(
        light=_light(head),
        reached_deg=reached,
        psnr_db=psnr(frames, truth).tolist(),
        light_kept=[_light_kept(head, yaw, f) for yaw, f in zip(reached, frames, strict=True)],
        identity_kept=[
            _identity_kept(head, yaw, frames[list(yaws_deg).index(yaw)], gallery)
            for yaw in GALLERY_YAWS_DEG
            if yaw in yaws_deg and gallery > 0
        ],
        bound_db=float(psnr(result.source.crop[None], result.reconstruction[None])[0]),
    )


def summarise(
    verdicts: Sequence[Verdict], yaws_deg: Sequence[float], seed: int = 0
) -> dict[str, Any]:
    """Means with 95 % bootstrap intervals over sources, over all yaws and per yaw."""
    if not verdicts:
        raise SelectionError("There is nothing to sum up; take at least one source.")
    rng = np.random.default_rng(seed)
    asked = np.asarray(yaws_deg)
    reached = np.array([v.reached_deg for v in verdicts])
    tables: dict[str, NDArray[np.float64]] = {
        "yaw_mae_deg": np.abs(reached - asked),
        "psnr_db": np.array([v.psnr_db for v in verdicts]),
        "light_kept": np.array([v.light_kept for v in verdicts], dtype=float),
    }
    overall = {name: asdict(bootstrap(rows.mean(axis=1), rng)) for name, rows in tables.items()}
    identities = [np.mean(v.identity_kept) for v in verdicts if v.identity_kept]
    if identities:
        overall["identity_top1"] = asdict(bootstrap(np.array(identities), rng))
    rising = reached[:, np.argsort(asked)]
    overall["kendall_tau"] = asdict(bootstrap([kendall_tau(row) for row in rising], rng))
    overall["reconstruction_psnr_db"] = asdict(bootstrap([v.bound_db for v in verdicts], rng))
    return {
        "sources": len(verdicts),
        "yaws_deg": list(yaws_deg),
        "overall": overall,
        "per_yaw": {name: rows.mean(axis=0).tolist() for name, rows in tables.items()},
        "reached_deg": reached.mean(axis=0).tolist(),
    }


def table(summary: dict[str, Any]) -> str:
    """The summary as a Markdown table, one column per yaw, the overall interval last."""
    yaws = summary["yaws_deg"]
    lines = [
        "| | " + " | ".join(f"{yaw:+g}°" for yaw in yaws) + " | all [95 %] |",
        "|---|" + "---|" * (len(yaws) + 1),
        _line("yaw reached", summary["reached_deg"], None),
    ]
    for name, values in summary["per_yaw"].items():
        lines.append(_line(name, values, summary["overall"][name]))
    whole = {k: v for k, v in summary["overall"].items() if k not in summary["per_yaw"]}
    lines += [_line(name, [None] * len(yaws), interval) for name, interval in whole.items()]
    return "\n".join(lines) + "\n"


def _line(name: str, values: Sequence[float | None], interval: dict[str, float] | None) -> str:
    cells = ["" if value is None else f"{value:.2f}" for value in values]
    whole = "{mean:.2f} [{low:.2f}, {high:.2f}]".format(**interval) if interval else ""
    return f"| {name} | " + " | ".join([*cells, whole]) + " |"


def _light(head: Head) -> str:
    return light_class(head.light_azimuth_deg)


def _renders(head: Head, yaws_deg: Sequence[float] | NDArray[np.float64], size: int) -> Pixels:
    return render([replace(head, yaw_deg=float(yaw)) for yaw in yaws_deg], size)


def _light_kept(head: Head, yaw_deg: float, frame: Pixels) -> bool:
    lamps = (head.light_azimuth_deg, *LAMPS_DEG)
    lit = render(
        [replace(head, yaw_deg=yaw_deg, light_azimuth_deg=lamp) for lamp in lamps], len(frame)
    )
    return light_class(lamps[int(nearest(frame[None], lit)[0])]) == _light(head)


def _identity_kept(head: Head, yaw_deg: float, frame: Pixels, gallery: int) -> bool:
    """Whether the source's render is nearest among other people in the very same scene."""
    others = (sample_identity(GALLERY_IDENTITY + k) for k in range(gallery))
    people = [head, *(replace(head, identity=other) for other in others)]
    renders = render([replace(person, yaw_deg=yaw_deg) for person in people], len(frame))
    return int(nearest(frame[None], renders)[0]) == 0
