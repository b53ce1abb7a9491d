"""`rotation benchmark`: every variant turns the same heads, and the same renders judge them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from rotation.benchmark.judge import Turned, Verdict
from rotation.benchmark.judges import Judges, Verdicts
from rotation.benchmark.pictures import Strip, write_plot, write_strips
from rotation.benchmark.tables import Summary, summarise
from rotation.benchmark.truth import Truth, benchmark_heads
from rotation.benchmark.turners import (
    RememberedSource,
    Turner,
    all_by_clusters,
    by_truth,
    source_of,
)
from rotation.benchmark.variants import BOUND, BOUND_ABOUT, VARIANTS, Variant, choose
from rotation.dataset.celeba import read_tables
from rotation.dataset.sources import open_source
from rotation.embedding import Encoder, Progress
from rotation.images import check_writable
from rotation.job import load_model, open_store, read_truth
from rotation.pipeline import Data
from rotation.posing import book_from_csv
from rotation.report import versions, write_report
from rotation.synthetic import write_dataset
from rotation.unet import LatentModel


@dataclass(frozen=True)
class Size:
    """How much is measured: `sources` heads, at `yaws_deg`, among `gallery` other people."""

    sources: int
    yaws_deg: tuple[float, ...]
    variants: tuple[str, ...]
    gallery: int


QUICK = Size(24, tuple(map(float, range(-30, 31, 10))), ("paper", "samples"), 20)
FULL = Size(102, tuple(map(float, range(-30, 31, 5))), (*VARIANTS, BOUND), 1000)


@dataclass(frozen=True)
class Outcome:
    """By variant each source's verdict and seconds of turning; the strips of the first sources."""

    verdicts: dict[str, list[Verdict]]
    seconds: dict[str, list[float]]
    strips: list[Strip]


def run_benchmark(given: Mapping[str, Any], command: str, progress: Progress) -> dict[str, Any]:
    """Turn and judge; with `given["out"]`, `benchmark.json` and two pictures are left there.

    `given` holds the command's options by name. Returns the report, verdicts and all.
    """
    size, out = choose_size(given), given["out"]
    if out is not None:
        check_writable(out)
    variants = [
        replace(one, options=one.at(size.yaws_deg, given["seed"], given["min_cluster"]))
        for one in choose(size.variants)
    ]
    model = load_model(
        given["model"], given["device"], given["steps"], given["iterations"], given["bf16"]
    )
    outcome = _measure(given, size, variants, model, progress)
    summary = summarise(outcome.verdicts, size.yaws_deg, given["seed"])
    report = {
        **asdict(size),
        "heads": given["heads"],
        "variants": _describe(variants, summary, outcome),
        "model": {"name": model.name, "fingerprint": model.fingerprint, "steps": model.steps},
        "seed": given["seed"],
        "versions": versions(),
        "command": command,
        "verdicts": {name: [asdict(v) for v in rows] for name, rows in outcome.verdicts.items()},
    }
    if out is not None:
        write_report(report, out / "benchmark.json")
        write_strips(outcome.strips, size.yaws_deg, out / "strips.png")
        write_plot(summary, size.yaws_deg, out / "yaw_reached.png")
    return report


def choose_size(given: Mapping[str, Any]) -> Size:
    """The quick or the full size, less what the command says otherwise.

    Raises `SelectionError` for a variant that there is not.
    """
    named = {
        "sources": given["sources"],
        "yaws_deg": given["yaws"],
        "variants": given["variants"],
        "gallery": given["gallery"],
    }
    size = QUICK if given["quick"] else FULL
    size = replace(size, **{key: value for key, value in named.items() if value is not None})
    choose(size.variants)
    return size


def _measure(
    given: Mapping[str, Any], size: Size, variants: Sequence[Variant], model: LatentModel,
    progress: Progress,
) -> Outcome:  # fmt: skip
    """Clusters come from a rendered data set in the cache, with its true poses and light."""
    folder = given["cache"] / f"heads-{given['heads']}"
    write_dataset(folder, given["heads"], progress=lambda d, n: progress("render", d, n))
    heads = benchmark_heads(size.sources, given["seed"])
    truths = (Truth(head, model.image_size, size.gallery) for head in heads)
    with open_source(folder) as images, Judges(given["workers"]) as judges:
        poses = book_from_csv(folder / "truth.csv")
        data = Data(images, read_tables(folder), read_truth(folder), poses, "")
        store = open_store(given["cache"], model)
        turners = all_by_clusters(data, store, {one.name: one.options for one in variants})
        if BOUND in size.variants:
            turners[BOUND] = by_truth(size.yaws_deg)
        work = Work(model, turners, size, judges, progress)
        strips = [work.turn(truth) for truth in truths]
        return Outcome(work.verdicts(), work.seconds, strips[: given["strips"]])


class Work:
    """Sources turned here, one after another by all variants, and judged elsewhere meanwhile."""

    def __init__(
        self, model: Encoder, turners: Mapping[str, Turner], size: Size, judges: Judges,
        progress: Progress,
    ) -> None:  # fmt: skip
        self._model, self._turners, self._size = model, turners, size
        self._judges, self._progress = judges, progress
        self._waiting: list[Future[Verdicts]] = []
        self.seconds: dict[str, list[float]] = {name: [] for name in turners}

    def turn(self, truth: Truth) -> Strip:
        """Turn a head by every variant, and hand it to the judges."""
        source = source_of(truth.head, truth.size)
        model = RememberedSource(self._model, source)
        done, total = len(self._waiting), self._size.sources
        turned: dict[str, Turned] = {}
        for name, turner in self._turners.items():
            start = time.perf_counter()
            turned[name] = turner(model, source, truth)
            self.seconds[name].append(time.perf_counter() - start)
            self._progress("turn", done * len(self._turners) + len(turned),
                           total * len(self._turners))  # fmt: skip
        strip = Strip(truth.turned(self._size.yaws_deg), turned)
        self._waiting.append(self._judges.submit(truth, self._size.yaws_deg, source.crop, turned))
        return strip

    def verdicts(self) -> dict[str, list[Verdict]]:
        """The verdicts by variant, in the order of the sources; waits for the judges."""
        found = []
        for done, future in enumerate(self._waiting, start=1):
            found.append(future.result())
            self._progress("judge", done, len(self._waiting))
        return {name: [one[name] for one in found] for name in self._turners}


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
