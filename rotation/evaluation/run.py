"""`rotation benchmark`: all variants turn the same heads, judged by the same true renders."""

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
    by_clusters,
    by_truth,
    source_of,
)
from rotation.evaluation.ground_truth import GRID_STEP_DEG, TrueRenders, benchmark_heads
from rotation.evaluation.judge import JudgedFrames, Judgement
from rotation.evaluation.judge_pool import Judgements, Judges
from rotation.evaluation.plots import Strip, write_plot, write_strips
from rotation.evaluation.tables import Summary, summarise
from rotation.evaluation.variants import BOUND, BOUND_ABOUT, VARIANTS, Variant, choose
from rotation.latents.encoders import DiffusionCodec, LatentCodec, open_cluster_store, open_codec
from rotation.options import ModelOptions
from rotation.output_paths import check_folder
from rotation.poses.source import poses_from_csv
from rotation.progress import Progress
from rotation.report.json_report import describe_model, package_versions, write_json_report
from rotation.run import ESTIMATOR_FOLDER
from rotation.synthetic_heads.dataset import TRUTH, read_truth, write_dataset

REPORT_EVERY = 3
"""benchmark.json is rewritten whenever so many more sources have been judged."""


@dataclass(frozen=True)
class BenchmarkSize:
    """How much is measured.

    Attributes:
        sources: the number of heads to turn.
        yaws_deg: the target yaws.
        variants: the names of the variants, with or without `BOUND`.
        gallery: the number of other people among whom the source must be the nearest.
        heads: the number of rendered images that clusters are selected from.
        iterations: corrections per step when these images are encoded.
        grid_deg: the step of the grid of true renders that yaws are measured by.
    """

    sources: int
    yaws_deg: tuple[float, ...]
    variants: tuple[str, ...]
    gallery: int
    heads: int
    iterations: int
    grid_deg: float


QUICK = BenchmarkSize(
    24, tuple(map(float, range(-30, 31, 10))), ("paper", "samples"), 20, 240, 1, 5.0
)
FULL = BenchmarkSize(
    102, tuple(map(float, range(-30, 31, 5))), (*VARIANTS, BOUND), 1000, 480, 4, GRID_STEP_DEG
)


@dataclass(frozen=True)
class Outcome:
    """The results so far.

    Attributes:
        judgements: by variant, one for each source.
        seconds: by variant, the time of turning each source.
        strips: the frames of the first sources.
        left_out: the sources that were left out, with the reason.
    """

    judgements: dict[str, list[Judgement]]
    seconds: dict[str, list[float]]
    strips: list[Strip]
    left_out: list[dict[str, Any]]


@dataclass(frozen=True)
class BenchmarkOptions:
    """All that `rotation benchmark` needs.

    Attributes:
        size: how much is measured.
        model: the diffusion model.
        cache: keeps rendered heads and latents.
        out: the folder for the report, strips and plot; None: nothing is written.
        min_cluster: the least size of a cluster; attributes are dropped to reach it.
        strips: the number of sources shown in strips.png.
        workers: processes that render and judge; 0: this process.
        seed: the seed of sources and of all random steps.
    """

    size: BenchmarkSize
    model: ModelOptions
    cache: Path
    out: Path | None = None
    min_cluster: int = 20
    strips: int = 9
    workers: int = 0
    seed: int = 1


def run_benchmark(options: BenchmarkOptions, command: str, progress: Progress) -> dict[str, Any]:
    """Turn and judge all sources, and return the report.

    With `options.out`, `benchmark.json`, `strips.png` and `yaw_reached.png` are written there.
    `benchmark.json` is updated while the benchmark runs.
    """
    size, out = options.size, options.out
    if out is not None:
        check_folder(out)
    variants = [
        replace(one, options=one.at(size.yaws_deg, options.seed, options.min_cluster))
        for one in choose(size.variants)
    ]
    codec = open_codec(options.model)
    about = {
        **asdict(size),
        "model": describe_model(codec),
        "seed": options.seed,
        "versions": package_versions(),
        "command": command,
    }

    def keep(outcome: Outcome) -> None:
        if out is not None:
            write_json_report(_report(about, variants, outcome), out / "benchmark.json")

    outcome = _measure(options, variants, codec, progress, keep)
    report = _report(about, variants, outcome)
    if out is not None:
        write_json_report(report, out / "benchmark.json")
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
) -> BenchmarkSize:
    """The quick or the full size, with the given values replaced.

    Raises:
        SelectionError: a variant is unknown.
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
    model: DiffusionCodec,
    progress: Progress,
    keep: Callable[[Outcome], None],
) -> Outcome:
    """Run the variants on clusters of a rendered data set, with its true poses and light."""
    size, cache = options.size, options.cache
    folder = cache / f"heads-{size.heads}"
    write_dataset(folder, size.heads, progress=lambda d, n: progress("render", d, n))
    heads = benchmark_heads(size.sources, options.seed)
    with open_source(folder) as images, Judges(options.workers) as judges:
        poses = poses_from_csv(folder / TRUTH)
        device = choose_device(options.model.device)
        data = Data(
            images=images,
            tables=read_tables(folder),
            labels=read_truth(folder),
            poses=poses,
            source="",
            estimators=TrainedEstimators(images, poses, cache / ESTIMATOR_FOLDER, device),
            device=device,
        )
        store = open_cluster_store(cache, model)
        editors = {one.name: by_clusters(data, store, one.options) for one in variants}
        if BOUND in size.variants:
            editors[BOUND] = by_truth(size.yaws_deg)
        comparison = Comparison(model, editors, size, judges, options.strips)
        for done, head in enumerate(heads, start=1):
            comparison.turn(TrueRenders(head, model.image_size, size.gallery, size.grid_deg))
            progress("turn", done, len(heads))
            if comparison.unreported() >= REPORT_EVERY:
                keep(comparison.outcome())
        for done in comparison.judged():
            progress("judge", done, len(heads) - comparison.skipped)
            if comparison.unreported() >= REPORT_EVERY:
                keep(comparison.outcome())
        return comparison.outcome()


def _report(
    about: Mapping[str, Any], variants: Sequence[Variant], outcome: Outcome
) -> dict[str, Any]:
    """The report of the results so far; `complete` says whether these are all."""
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
    """Turns sources by all variants, one after another, while judges work in other processes."""

    def __init__(
        self,
        model: LatentCodec,
        editors: Mapping[str, Editor],
        size: BenchmarkSize,
        judges: Judges,
        shown: int,
    ) -> None:
        self._model, self._editors, self._size = model, editors, size
        self._judges, self._shown, self._reported = judges, shown, 0
        self._waiting: list[Future[Judgements]] = []
        self._seconds: list[dict[str, float]] = []
        self._strips: list[Strip] = []
        self._left_out: list[dict[str, Any]] = []

    @property
    def skipped(self) -> int:
        """How many sources were left out."""
        return len(self._left_out)

    def turn(self, truth: TrueRenders) -> None:
        """Turn a head by every variant and submit the frames to the judges.

        A head whose clusters are too small for one variant is left out of all variants. So the
        differences between variants stay paired.
        """
        source = source_of(truth.head, truth.size)
        model = CachedSourceEncoder(self._model, source)
        turned: dict[str, JudgedFrames] = {}
        seconds: dict[str, float] = {}
        for name, editor in self._editors.items():
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
        """Wait for the judges; yields the number of sources judged so far."""
        for done, future in enumerate(self._waiting, start=1):
            future.result()
            yield done

    def unreported(self) -> int:
        """How many sources have been judged since the last call of `outcome`."""
        return len(self._known()) - self._reported

    def outcome(self) -> Outcome:
        """The results so far, in the order of the sources."""
        found = self._known()
        self._reported = len(found)
        return Outcome(
            {name: [one[name] for one in found] for name in self._editors},
            {name: [one[name] for one in self._seconds] for name in self._editors},
            self._strips,
            self._left_out,
        )

    def _known(self) -> list[Judgements]:
        """The judgements on the first sources, up to the first that is not judged yet."""
        return [future.result() for future in takewhile(Future.done, self._waiting)]


def _describe(
    variants: Sequence[Variant], summary: Mapping[str, Summary], outcome: Outcome
) -> dict[str, Any]:
    """Each variant's description, options, measures and median seconds per source.

    The first sources may wait for the latents of the clusters. The median ignores these.
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
