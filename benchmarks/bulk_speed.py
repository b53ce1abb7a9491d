#!/usr/bin/env python3
"""Compare one run over many sources with a run for each of them, or with one on Ray.

Both turn the same rendered heads with the same options, in interleaved repeats. Each is a process
of its own, as a person starts it, and both find the same warm cache. Ratios count, since other work
on the machine slows both down. The processor time of Ray's own processes is not counted.

Examples:
    OMP_NUM_THREADS=1 python benchmarks/bulk_speed.py --sources 6 --repeats 1 --json
    OMP_NUM_THREADS=1 python benchmarks/bulk_speed.py --sources 12 --editing geometry --ray
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
@click.option("--ray", is_flag=True, help="Compare with --ray local instead of single runs.")
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(
    heads: int, sources: int, repeats: int, editing: str, ray: bool, seed: int, as_json: bool
) -> None:
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
        calls_of = _calls(names, ray)
        seconds: dict[str, list[float]] = {kind: [] for kind in calls_of}
        cpu: dict[str, list[float]] = {kind: [] for kind in calls_of}
        for repeat in range(repeats):
            for kind, calls in calls_of.items():
                began, spent = time.perf_counter(), _cpu_s()
                for number, given in enumerate(calls):
                    _run(images, work / f"{kind}-{repeat}-{number}", editing, *given)
                seconds[kind].append(time.perf_counter() - began)
                cpu[kind].append(_cpu_s() - spent)
        equal = _frames(work / "bulk-0-0") == _frames(work / "ray-0-0") if ray else None
    ratios = [one / other for one, other in zip(*seconds.values(), strict=True)]
    cpu_ratios = [one / other for one, other in zip(*cpu.values(), strict=True)]
    figures: dict[str, Any] = {
        "heads": heads,
        "sources": sources,
        "editing": editing,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "times_as_fast": ratios,
        "times_less_cpu": cpu_ratios,
        "equal_frames": equal,
        "load_average": [round(load, 1) for load in os.getloadavg()],
    }
    print(json.dumps(figures, indent=2) if as_json else _table(figures))


def _calls(names: list[str], ray: bool) -> dict[str, list[tuple[str, ...]]]:
    """The arguments of each process, by way of turning."""
    bulk = ("--sources", ",".join(names))
    if ray:
        return {"bulk": [bulk], "ray": [(*bulk, "--ray", "local")]}
    return {"single": [("--source", name) for name in names], "bulk": [bulk]}


def _frames(out: Path) -> dict[str, bytes]:
    """The pictures of all heads of a run."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.png"))}


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
    told = [
        f"{figures['sources']} sources: {ratio:.1f} times as fast, {cpu:.1f} times less CPU time"
        for ratio, cpu in rows
    ]
    if figures["equal_frames"] is not None:
        spent = ", ".join(f"{kind} {row[0]:.0f} s" for kind, row in figures["seconds"].items())
        told.append(f"first repeat: {spent}; equal frames: {figures['equal_frames']}")
    return "\n".join(told)


if __name__ == "__main__":
    main()
