"""`rotation benchmark`: every variant turns the same heads, and the same renders judge them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from rotation.data.celeba import read_tables
from rotation.data.sources import open_source
from rotation.diffusion.devices import choose_device
from rotation.editing.pipeline import Data
from rotation.editing.pose_estimators import TrainedEstimators
from rotation.errors import SelectionError
from rotation.evaluation.editors import (
    CachedSourceEncoder,
    Editor,
    all_by_clusters,
    by_truth,
    source_of,
)
from rotation.evaluation.ground_truth import GRID_STEP_DEG, TrueRenders, benchmark_heads
from rotation.evaluation.judge import JudgedFrames, Judgement
from rotation.evaluation.judge_pool import Judgements, Judges
from rotation.evaluation.plots import Strip, write_plot, write_strips
from rotation.evaluation.tables import Summary, summarise
from rotation.evaluation.variants import BOUND, BOUND_ABOUT, VARIANTS, Variant, choose
from rotation.imaging.images import check_writable
from rotation.latents.encoders import EmbeddedModel, Encoder
from rotation.options import ModelOptions
from rotation.poses.source import from_csv
from rotation.progress import Progress
from rotation.report.json_report import versions, write_report
from rotation.run import ESTIMATORS, describe_model, open_cluster_latents, open_model
from rotation.synthetic_heads.dataset import read_truth, write_dataset

EVERY = 3
"""Figures are kept up to date each time so many sources more have been judged."""


@dataclass(frozen=True)
class Size:
    """How much is measured: `sources` heads, at `yaws_deg`, among `gallery` other people.

    Clusters come from `heads` pictures, embedded with `iterations` corrections a step; yaws are
    read off a grid of true renders `grid_deg` apart.
    """

    sources: int
    yaws_deg: tuple[float, ...]
    variants: tuple[str, ...]
    gallery: int
    heads: int
    iterations: int
    grid_deg: float


QUICK = Size(24, tuple(map(float, range(-30, 31, 10))), ("paper", "samples"), 20, 240, 1, 5.0)
FULL = Size(
    102, tuple(map(float, range(-30, 31, 5))), (*VARIANTS, BOUND), 1000, 480, 4, GRID_STEP_DEG
)


@dataclass(frozen=True)
class Outcome:
    """By variant each source's judgement and seconds of turning; strips of the first sources; the
    sources that were left out, with the reason."""

    judgements: dict[str, list[Judgement]]
    seconds: dict[str, list[float]]
    strips: list[Strip]
    left_out: list[dict[str, Any]]


@dataclass(frozen=True)
class BenchmarkOptions:
    """All that `rotation benchmark` needs.

    Attributes:
        cache: keeps rendered heads and latents. out: for figures, strips and plot; None: none.
        min_cluster: attributes are dropped before a cluster is smaller.
        strips: sources that are shown. workers: processes that render and judge; 0: this one.
    """

    size: Size
    model: ModelOptions
    cache: Path
    out: Path | None = None
    min_cluster: int = 20
    strips: int = 9
    workers: int = 0
    seed: int = 1


def run_benchmark(options: BenchmarkOptions, command: str, progress: Progress) -> dict[str, Any]:
    """Turn and judge; with `options.out`, `benchmark.json` and two pictures are left there.

    `benchmark.json` is there from the first few sources on. Returns the report, judgements and all.
    """
    size, out = options.size, options.out
    if out is not None:
        check_writable(out)
    variants = [
        replace(one, options=one.at(size.yaws_deg, options.seed, options.min_cluster))
        for one in choose(size.variants)
    ]
    model, encoder = open_model(options.model)
    about = {
        **asdict(size),
        "model": describe_model(model, encoder),
        "seed": options.seed,
        "versions": versions(),
        "command": command,
    }

    def keep(outcome: Outcome) -> None:
        if out is not None:
            write_report(_report(about, variants, outcome), out / "benchmark.json")

    outcome = _measure(options, variants, encoder, progress, keep)
    report = _report(about, variants, outcome)
    if out is not None:
        write_report(report, out / "benchmark.json")
        write_strips(outcome.strips, size.yaws_deg, out / "strips.png")
        write_plot(report["variants"], size.yaws_deg, out / "yaw_reached.png")
    return report


def choose_size(
    quick: bool,
    *,
    sources: int | None = None,
    yaws_deg: tuple[float, ...] | None = None,
    variants: tuple[str, ...] | None = None,
    gallery: int | None = None,
    heads: int | None = None,
    iterations: int | None = None,
) -> Size:
    """The quick or the full size, less what is said otherwise.

    Raises `SelectionError` for a variant that there is not.
    """
    named = {
        "sources": sources,
        "yaws_deg": yaws_deg,
        "variants": variants,
        "gallery": gallery,
        "heads": heads,
        "iterations": iterations,
    }
    changed: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    size = replace(QUICK if quick else FULL, **changed)
    choose(size.variants)
    return size


def _measure(
    options: BenchmarkOptions,
    variants: Sequence[Variant],
    model: EmbeddedModel,
    progress: Progress,
    keep: Callable[[Outcome], None],
) -> Outcome:
    """Clusters come from a rendered data set in the cache, with its true poses and light."""
    size, cache = options.size, options.cache
    folder = cache / f"heads-{size.heads}"
    write_dataset(folder, size.heads, progress=lambda d, n: progress("render", d, n))
    heads = benchmark_heads(size.sources, options.seed)
    with open_source(folder) as images, Judges(options.workers) as judges:
        poses = from_csv(folder / "truth.csv")
        device = choose_device(options.model.device)
        data = Data(
            images=images,
            tables=read_tables(folder),
            labels=read_truth(folder),
            poses=poses,
            source="",
            estimators=TrainedEstimators(images, poses, cache / ESTIMATORS, device),
            device=device,
        )
        store = open_cluster_latents(cache, model)
        editors = all_by_clusters(data, store, {one.name: one.options for one in variants})
        if BOUND in size.variants:
            editors[BOUND] = by_truth(size.yaws_deg)
        work = Comparison(model, editors, size, judges, options.strips)
        for done, head in enumerate(heads, start=1):
            work.turn(TrueRenders(head, model.image_size, size.gallery, size.grid_deg))
            progress("turn", done, len(heads))
            if work.news() >= EVERY:
                keep(work.outcome())
        for done in work.judged():
            progress("judge", done, len(heads) - work.skipped)
            if work.news() >= EVERY:
                keep(work.outcome())
        return work.outcome()


def _report(
    about: Mapping[str, Any], variants: Sequence[Variant], outcome: Outcome
) -> dict[str, Any]:
    """What was measured so far; `complete` where that is all."""
    judged = min(map(len, outcome.judgements.values()))
    if not judged and outcome.left_out:
        raise SelectionError(f"All sources were left out: {outcome.left_out[0]['reason']}")
    summary = summarise(outcome.judgements, about["yaws_deg"], about["seed"])
    return {
        **about,
        "judged": judged,
        "complete": judged + len(outcome.left_out) == about["sources"],
        "left_out": outcome.left_out,
        "variants": _describe(variants, summary, outcome),
        "verdicts": {name: [asdict(v) for v in rows] for name, rows in outcome.judgements.items()},
    }


class Comparison:
    """Sources turned here, one after another by all variants, and judged elsewhere meanwhile."""

    def __init__(
        self, model: Encoder, editors: Mapping[str, Editor], size: Size, judges: Judges, shown: int
    ) -> None:
        self._model, self._turners, self._size = model, editors, size
        self._judges, self._shown, self._told = judges, shown, 0
        self._waiting: list[Future[Judgements]] = []
        self._seconds: list[dict[str, float]] = []
        self._strips: list[Strip] = []
        self._left_out: list[dict[str, Any]] = []

    @property
    def skipped(self) -> int:
        """How many sources were left out."""
        return len(self._left_out)

    def turn(self, truth: TrueRenders) -> None:
        """Turn a head by every variant, and hand it to the judges.

        One whose clusters are too small for a variant is left out of all, so that differences
        between variants stay paired.
        """
        source = source_of(truth.head, truth.size)
        model = CachedSourceEncoder(self._model, source)
        turned: dict[str, JudgedFrames] = {}
        seconds: dict[str, float] = {}
        for name, editor in self._turners.items():
            start = time.perf_counter()
            try:
                turned[name] = editor(model, source, truth)
            except SelectionError as error:
                number = len(self._waiting) + len(self._left_out) + 1
                self._left_out.append(
                    {"source": number, "light": source.light, "variant": name, "reason": str(error)}
                )
                return
            seconds[name] = time.perf_counter() - start
        self._seconds.append(seconds)
        if len(self._strips) < self._shown:
            self._strips.append(Strip(truth.turned(self._size.yaws_deg), turned))
        self._waiting.append(self._judges.submit(truth, self._size.yaws_deg, source.crop, turned))

    def judged(self) -> Iterator[int]:
        """Wait for the judges: the number of sources judged, as it grows."""
        for done, future in enumerate(self._waiting, start=1):
            future.result()
            yield done

    def news(self) -> int:
        """How many sources have been judged since the last outcome was asked for."""
        return len(self._known()) - self._told

    def outcome(self) -> Outcome:
        """What is known so far, in the order of the sources."""
        found = self._known()
        self._told = len(found)
        return Outcome(
            {name: [one[name] for one in found] for name in self._turners},
            {name: [one[name] for one in self._seconds] for name in self._turners},
            self._strips,
            self._left_out,
        )

    def _known(self) -> list[Judgements]:
        """The judgements on the first sources, up to one that is not judged yet."""
        return [future.result() for future in takewhile(Future.done, self._waiting)]


def _describe(
    variants: Sequence[Variant], summary: Mapping[str, Summary], outcome: Outcome
) -> dict[str, Any]:
    """What each variant is, what it measures, and the median seconds it takes for a source.

    The first sources also wait for the clusters' latents where the store lacks them: a median
    passes over that.
    """
    about = {one.name: (one.about, asdict(one.options)) for one in variants}
    about.setdefault(BOUND, (BOUND_ABOUT, {}))
    return {
        name: {
            "about": about[name][0],
            "options": about[name][1],
            "seconds_a_source": float(np.median(outcome.seconds[name])),
            **figures,
        }
        for name, figures in summary.items()
    }
