"""From judgements to tables: means with intervals, and differences from the first variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotation.errors import SelectionError
from rotation.evaluation.judge import Judgement
from rotation.imaging.images import degrees
from rotation.imaging.metrics import Floats, bootstrap

MEASURES = {
    "yaw_mae_deg": ("yaw MAE", 1.0, 2),
    "yaw_mae_within_20_deg": ("within ±20°", 1.0, 2),
    "yaw_mae_at_30_deg": ("at ±30°", 1.0, 2),
    "monotone": ("monotone %", 100.0, 1),
    "psnr_db": ("PSNR", 1.0, 1),
    "psnr_at_30_db": ("PSNR at ±30°", 1.0, 1),
    "similarity": ("SSIM", 1.0, 3),
    "light_kept": ("light kept %", 100.0, 1),
    "identity_top1": ("identity %", 100.0, 1),
    "pitch_leak": ("pitch leak", 1.0, 3),
    "bound_db": ("own reconstruction", 1.0, 1),
}
"""Heading, factor and decimals of each measure in a table."""

Summary = dict[str, Any]


def source_values(
    judgements: Sequence[Judgement], yaws_deg: Sequence[float]
) -> dict[str, NDArray[np.float64]]:
    """Each of `MEASURES`, one value per source (n,).

    Frames of one source are averaged, since they are not independent. A measure is NaN if no
    target yaw determines it.
    """
    asked = np.asarray(yaws_deg, dtype=np.float64)
    order = np.argsort(asked)
    reached = np.array([v.reached_deg for v in judgements], dtype=np.float64)
    decibels = np.array([v.psnr_db for v in judgements], dtype=np.float64)
    error, sides = np.abs(reached - asked), np.abs(asked) == 30
    rising = (np.diff(reached[:, order], axis=1) > 0).all(axis=1)
    return {
        "yaw_mae_deg": error.mean(axis=1),
        "yaw_mae_within_20_deg": _means(error[:, np.abs(asked) <= 20]),
        "yaw_mae_at_30_deg": _means(error[:, sides]),
        "monotone": rising.astype(np.float64),
        "psnr_db": decibels.mean(axis=1),
        "psnr_at_30_db": _means(decibels[:, sides]),
        "similarity": _means([v.similarity for v in judgements]),
        "light_kept": _means([v.light_kept for v in judgements]),
        "identity_top1": _means([v.identity_kept for v in judgements]),
        "pitch_leak": np.abs([v.pitch_leak for v in judgements]),
        "bound_db": np.array([v.bound_db for v in judgements], dtype=np.float64),
    }


def summarise(
    judgements: Mapping[str, Sequence[Judgement]], yaws_deg: Sequence[float], seed: int = 0
) -> dict[str, Summary]:
    """Summarise each variant: measures, differences from the first variant, yaws reached.

    A measure is `{mean, low, high}` with the 95 % bootstrap interval over sources, or None if it
    is not determined. The differences `less_first` are paired by source. `reached_deg` holds the
    median and the quartiles for each target yaw.

    Raises:
        SelectionError: there are no judgements.
    """
    if not judgements or not all(judgements.values()):
        raise SelectionError("There is nothing to sum up; take at least one source.")
    values = {name: source_values(rows, yaws_deg) for name, rows in judgements.items()}
    first = next(iter(values.values()))
    return {
        name: {
            "measures": {key: _interval(own[key], seed) for key in MEASURES},
            "less_first": {key: _interval(own[key] - first[key], seed) for key in MEASURES},
            "reached_deg": _quartiles([v.reached_deg for v in judgements[name]]),
        }
        for name, own in values.items()
    }


def markdown(summary: Mapping[str, Summary], yaws_deg: Sequence[float]) -> str:
    """Markdown tables of each variant's measures, differences from the first, yaws reached."""
    first = next(iter(summary))
    tables = [_measures(summary, "measures", "variant")]
    if len(summary) > 1:
        others = {name: one for name, one in summary.items() if name != first}
        tables.append(_measures(others, "less_first", f"less {first}"))
    head = ["yaw reached, median", *(degrees(yaw) for yaw in yaws_deg)]
    rows = [
        [name, *(f"{yaw:.1f}" for yaw in one["reached_deg"]["median"])]
        for name, one in summary.items()
    ]
    tables.append(_table(head, rows))
    return "\n".join(tables)


def _measures(summary: Mapping[str, Summary], kind: str, corner: str) -> str:
    head = [corner, *(heading for heading, _, _ in MEASURES.values())]
    rows = [
        [name, *(_cell(one[kind][key], key) for key in MEASURES)] for name, one in summary.items()
    ]
    return _table(head, rows)


def _cell(interval: dict[str, float] | None, key: str) -> str:
    if interval is None:
        return ""
    _, factor, decimals = MEASURES[key]
    mean, low, high = (
        f"{factor * interval[part]:.{decimals}f}" for part in ("mean", "low", "high")
    )
    return f"{mean} [{low}, {high}]"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _interval(values: Floats, seed: int) -> dict[str, float] | None:
    known = values[np.isfinite(values)]
    return asdict(bootstrap(known, np.random.default_rng(seed))) if len(known) else None


def _means(rows: Sequence[Sequence[float]] | Floats) -> NDArray[np.float64]:
    """The mean of each row (n,); NaN for empty rows."""
    table = np.asarray(rows, dtype=np.float64)
    return table.mean(axis=1) if table.shape[1] else np.full(len(table), np.nan)


def _quartiles(rows: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    low, median, high = np.percentile(np.asarray(rows, dtype=np.float64), [25, 50, 75], axis=0)
    return {"low": low.tolist(), "median": median.tolist(), "high": high.tolist()}
