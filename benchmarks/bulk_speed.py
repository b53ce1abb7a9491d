#!/usr/bin/env python3
"""Compare one run over many sources with a run for each of them.

Both turn the same rendered heads with the same options, in interleaved repeats. Each is a process
of its own, as a person starts it, and both find the same warm cache. Ratios count, since other work
on the machine slows both down.

Example:
    OMP_NUM_THREADS=1 python benchmarks/bulk_speed.py --sources 6 --repeats 1 --json
"""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import _project
import click

from rotation.synthetic_heads.dataset import read_truth, write_dataset


@click.command(help=__doc__)
@click.option("--heads", default=120, show_default=True, help="Rendered heads in the data set.")
@click.option("--sources", default=6, show_default=True, help="How many of them are turned.")
@click.option("--repeats", default=1, show_default=True)
@click.option("--editing", default="line", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(heads: int, sources: int, repeats: int, editing: str, seed: int, as_json: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        images = write_dataset(work / "heads", heads, seed=seed)
        truth = read_truth(images)
        with (images / "labels.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["filename", "label"])
            writer.writerows(truth.items())
        names = list(truth)[:sources]
        _run(images, work / "warm", editing, "--sources", ",".join(names))  # poses and latents
        seconds: dict[str, list[float]] = {"single": [], "bulk": []}
        cpu: dict[str, list[float]] = {"single": [], "bulk": []}
        for repeat in range(repeats):
            for kind, calls in _calls(names).items():
                began, spent = time.perf_counter(), _cpu_s()
                for number, given in enumerate(calls):
                    _run(images, work / f"{kind}-{repeat}-{number}", editing, *given)
                seconds[kind].append(time.perf_counter() - began)
                cpu[kind].append(_cpu_s() - spent)
    ratios = [single / bulk for single, bulk in zip(*seconds.values(), strict=True)]
    cpu_ratios = [single / bulk for single, bulk in zip(*cpu.values(), strict=True)]
    figures: dict[str, Any] = {
        "heads": heads,
        "sources": sources,
        "editing": editing,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "times_as_fast": ratios,
        "times_less_cpu": cpu_ratios,
        "load_average": [round(load, 1) for load in os.getloadavg()],
    }
    print(json.dumps(figures, indent=2) if as_json else _table(figures))


def _calls(names: list[str]) -> dict[str, list[tuple[str, str]]]:
    """The arguments of each process, by way of turning."""
    return {
        "single": [("--source", name) for name in names],
        "bulk": [("--sources", ",".join(names))],
    }


def _run(images: Path, out: Path, editing: str, *given: str) -> None:
    options = {
        "--images": images,
        "--labels": images / "labels.csv",
        "--out": out,
        "--cache": images.parent / "cache",
        "--editing": editing,
        "--min-cluster": 1,
        "--yaw": "-20,0,20",
        "--device": "cpu",
    }
    words = [str(word) for pair in options.items() for word in pair]
    command = [sys.executable, "manage.py", "rotation", "run", *words, *given]
    subprocess.run(command, cwd=_project.ROOT, check=True, stdout=subprocess.DEVNULL)


def _cpu_s() -> float:
    """Processor seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _table(figures: dict[str, Any]) -> str:
    rows = zip(figures["times_as_fast"], figures["times_less_cpu"], strict=True)
    return "\n".join(
        f"{figures['sources']} sources: {ratio:.1f} times as fast, {cpu:.1f} times less CPU time"
        for ratio, cpu in rows
    )


if __name__ == "__main__":
    main()
