"""The measures of model runs by cross-validation: written, plotted, and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, ngettext
from labeler.models.proposals import ModelRun
from labeler.web import request_fields
from labeler.web.formatting import UNKNOWN
from labeler.web.plots import Plot, Series, Table, draw_shares

# Measures by cross-validation: their names on the page, and whether each is a share.
MEASURES = {
    "accuracy": (mark("accuracy"), True),
    "accuracy_of_commonest_label": (mark("always the most common label"), True),
    "macro_f1": (mark("macro F1"), True),
    "ece": (mark("calibration error"), True),
    "log_loss": (mark("log loss"), False),
}


@dataclass(frozen=True, slots=True)
class ComparedValue:
    """A measure of two runs, and its change. `change` is "" if there is none to compute."""

    word: str
    first: str
    second: str
    change: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side."""

    first: int
    second: int
    rows: Sequence[ComparedValue]


def plot_accuracy(published: Sequence[ModelRun]) -> Plot | None:
    """Plot accuracy over labelled images; None with fewer than two measured runs."""
    measured = [run for run in reversed(published) if _accuracy(run) is not None]
    if len(measured) < 2:
        return None
    points, baseline, rows = [], [], []
    for run in sorted(measured, key=lambda run: run.metrics["n_training"]):
        found, n = run.metrics["cross_validation"], run.metrics["n_training"]
        accuracy, common = found["accuracy"], found.get("accuracy_of_commonest_label")
        points.append((n, accuracy, _accuracy_text(run.id, accuracy, n)))
        if common is not None:
            baseline.append((n, common, _baseline_text(run.id, common)))
        written = [format_measure(name, found.get(name)) for name in ("accuracy", "ece")]
        rows.append((_("Run %(run)s", run=run.id), write_number(n), *written))
    series = [Series(_("the model"), points), Series(_("always the most common label"), baseline)]
    first, last = points[0], points[-1]
    return draw_shares(
        (_("Accuracy by cross-validation"), _("labelled images that the run was trained on")),
        _(
            "Accuracy goes from %(first)s with %(few)s images to %(last)s with %(many)s.",
            first=_share(first[1]),
            few=write_number(first[0]),
            last=_share(last[1]),
            many=write_number(last[0]),
        ),
        [each for each in series if each.points],
        Table((_("Run"), _("Labelled images"), _("Accuracy"), _("Calibration error")), rows),
    )


def _accuracy_text(run_id: int, accuracy: float, n: int) -> str:
    return ngettext(
        "Run %(run)s: %(share)s with %(num)s image",
        "Run %(run)s: %(share)s with %(num)s images",
        n,
        run=run_id,
        share=_share(accuracy),
    )


def _baseline_text(run_id: int, accuracy: float) -> str:
    return _(
        "Run %(run)s: %(share)s with always the most common label",
        run=run_id,
        share=_share(accuracy),
    )


def _share(value: float) -> str:
    return f"{write_number(100 * value, 1)} %"


def _accuracy(run: ModelRun) -> float | None:
    found: float | None = (run.metrics.get("cross_validation") or {}).get("accuracy")
    return found if run.metrics.get("n_training") is not None else None


def compare_runs(runs: Mapping[int, ModelRun]) -> Comparison | None:
    """Compare the two runs that the address names, or the last two."""
    newest = sorted(runs, reverse=True)[:2]
    if len(newest) < 2:
        return None
    second = runs.get(request_fields.row_number("b"), runs[newest[0]])
    first = runs.get(request_fields.row_number("a"), runs[newest[1]])
    rows = [ComparedValue(_("method"), first.method, second.method, "")]
    rows.append(_compare_counts(_("labelled images"), first, second, "n_training"))
    rows.append(_compare_counts(_("proposals made"), first, second, "n_proposed"))
    rows.append(_compare_counts(_("without a face"), first, second, "n_without_face"))
    rows += [_compare_measures(name, first, second) for name in MEASURES]
    return Comparison(first.id, second.id, rows)


def _compare_counts(word: str, first: ModelRun, second: ModelRun, name: str) -> ComparedValue:
    before, after = first.metrics.get(name), second.metrics.get(name)
    if before is None or after is None:
        return ComparedValue(word, UNKNOWN, UNKNOWN, "")
    return ComparedValue(word, write_number(before), write_number(after), _signed(after - before))


def _compare_measures(name: str, first: ModelRun, second: ModelRun) -> ComparedValue:
    word, is_share = _(MEASURES[name][0]), MEASURES[name][1]
    before, after = (
        (run.metrics.get("cross_validation") or {}).get(name) for run in (first, second)
    )
    if before is None or after is None:
        return ComparedValue(word, format_measure(name, before), format_measure(name, after), "")
    moved = _signed(after - before, 3)
    if is_share:
        moved = _("%(change)s points", change=_signed(100 * (after - before), 1))
    return ComparedValue(word, format_measure(name, before), format_measure(name, after), moved)


def format_measure(name: str, value: Any) -> str:
    if not isinstance(value, int | float):
        return UNKNOWN
    return _share(value) if MEASURES[name][1] else write_number(value, 3)


def _signed(value: float, decimals: int = 0) -> str:
    """Write a change with its sign."""
    return f"{'' if value < 0 else '+'}{write_number(value, decimals)}"
