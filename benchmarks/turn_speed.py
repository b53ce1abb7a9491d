#!/usr/bin/env python3
"""Time `rotation run` in a fresh process, and again in the same process.

A rendered data set is made, and one run stores the latents without corrections, since their
exactness does not matter here. Then each row is measured `--repeats` times: seven frames of one
source, as medians of wall seconds and processor seconds, by stage. Stages do not overlap.

Example:
    python benchmarks/turn_speed.py --images 240 --repeats 5
"""

from __future__ import annotations

import csv
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import _project  # noqa: F401
import click

ROWS = {
    "gain 1": ("--no-closed-loop", "--gain", "1"),
    "gain auto": ("--no-closed-loop", "--gain", "auto"),
    "closed loop": ("--closed-loop",),
}
IMPORTS, REST = "imports", "rest"
STAGES = {  # functions by the stage that their own time is booked on
    "model": ("run:open_codec",),
    "poses, selection": (
        "run:read_labels",
        "run:read_matching_tables",
        "run:open_pose_source",
        "editing.pipeline:find_source",
        "editing.pipeline:join_records",
        "editing.pipeline:candidate_rows",
        "editing.pipeline:select",
        "poses.source:PoseSource.find_poses",
    ),
    "crops": ("editing.pipeline:read_members",),
    "latents": (
        "run:open_cluster_store",
        "run:open_source_store",
        "editing.pipeline:encode_members",
        "latents.encoders:encode_source_crop",
    ),
    "fit": ("editing.pipeline:fit_direction",),
    "trial frames or loop": (
        "editing.linear_path:LinearEditing.move",
        "editing.closed_loop:ClosedLoopEditing.move",
    ),
    "decode": ("editing.linear_path:decode_pixels", "latents.encoders:decode_pixels"),
    "report": (
        "editing.pipeline:mean_images",
        "editing.pipeline:examples",
        "editing.pipeline:angle_fits",
        "run:write_images",
        "run:describe_run",
        "run:write_json_report",
        "run:write_html_report",
    ),
}
Seconds = dict[str, dict[str, float]]  # "wall" and "cpu" by stage


class Stopwatch:
    """Wall and processor seconds by stage; an inner stage stops the outer one."""

    def __init__(self) -> None:
        self.seconds: Seconds = {}
        self._open = [REST]
        self._last = _now()

    def mark(self) -> None:
        """Book the time since the last mark on the innermost stage."""
        now = _now()
        for kind, at in now.items():
            stage = self.seconds.setdefault(self._open[-1], {"wall": 0.0, "cpu": 0.0})
            stage[kind] += at - self._last[kind]
        self._last = now

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Book what happens inside on a stage."""
        self.mark()
        self._open.append(name)
        try:
            yield
        finally:
            self.mark()
            self._open.pop()

    def watch(self, name: str, place: str) -> None:
        """Book every call of a place, `module:function`, on a stage."""
        module, _, path = place.partition(":")
        owner: Any = importlib.import_module(f"rotation.{module}")
        *classes, function = path.split(".")
        for part in classes:
            owner = getattr(owner, part)
        call: Callable[..., Any] = getattr(owner, function)

        @functools.wraps(call)
        def timed(*args: Any, **more: Any) -> Any:
            with self.stage(name):
                return call(*args, **more)

        setattr(owner, function, timed)


def _now() -> dict[str, float]:
    return {"wall": time.time(), "cpu": time.process_time()}


def run_inside(words: list[str], started: float, warm: int) -> list[Seconds]:
    """Run `rotation run` in this process, just started at `started`, then `warm` times more."""
    with _quiet():
        from labeler.cli.main import cli

        importlib.import_module("rotation.run")
    imports = {"wall": time.time() - started, "cpu": time.process_time()}
    found = []
    watch = Stopwatch()
    for name, places in STAGES.items():
        for place in places:
            watch.watch(name, place)
    for _ in range(1 + warm):
        watch.mark()
        watch.seconds = {}
        with _quiet():
            cli(words, prog_name="manage.py", standalone_mode=False)
        watch.mark()
        found.append(watch.seconds)
    found[0][IMPORTS] = imports
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the command's words out of this program's output."""
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def measure(words: list[str], warm: int) -> list[Seconds]:
    """The stages of a fresh process' first run, and of `warm` more in it."""
    given = {"words": words, "started": time.time(), "warm": warm}
    command = [sys.executable, __file__, "--inside", json.dumps(given)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: list[Seconds] = json.loads(done.stdout.splitlines()[-1])
    return found


def prepare(folder: Path, images: int) -> list[str]:
    """Write the data set and its labels; returns the command line without an editing method."""
    from rotation.synthetic_heads.dataset import read_truth, write_dataset

    heads = write_dataset(folder / "heads", images, seed=3)
    truth = read_truth(heads)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", "filename", "label", "status"])
        writer.writerows([i, *row, "agreed"] for i, row in enumerate(truth.items()))
    source = next(name for name, light in truth.items() if light == "left")
    return [
        "rotation",
        "run",
        "--images",
        str(heads),
        "--labels",
        str(folder / "labels.csv"),
        "--source",
        source,
        "--yaw",
        "-30:30:10",
        "--cache",
        str(folder / "cache"),
        "--out",
        str(folder / "out"),
        "--iterations",
        "0",
    ]


def summary(runs: list[Seconds]) -> Mapping[str, Any]:
    """Medians by stage, and of the sums."""
    names = [name for name in (IMPORTS, *STAGES, REST) if name in runs[0]]
    result: dict[str, Any] = {"runs": len(runs)}
    for kind in ("wall", "cpu"):
        split = {n: round(median(run.get(n, {kind: 0.0})[kind] for run in runs), 3) for n in names}
        total = median(sum(part[kind] for part in run.values()) for run in runs)
        result[kind] = {"total": round(total, 2), **split}
    return result


def table(figures: Mapping[str, Any]) -> str:
    """Rows of figures as Markdown: wall seconds, with processor seconds in brackets."""
    columns = ("total", IMPORTS, *STAGES, REST)
    lines = ["| run | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in figures.items():
        cells = [
            f"{row['wall'][c]:.2f} ({row['cpu'][c]:.2f})" if c in row["wall"] else "-"
            for c in columns
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


@click.command(epilog="Example: python benchmarks/turn_speed.py --images 240 --repeats 5")
@click.option("--images", type=click.IntRange(60), default=240, show_default=True)
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True)
@click.option("--rows", default=",".join(ROWS), show_default=True, help="Which to measure.")
@click.option("--min-cluster", type=click.IntRange(1), default=10, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Keep the data set here.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Also write the figures here.")
@click.option("--inside", hidden=True)
def main(
    images: int,
    repeats: int,
    rows: str,
    min_cluster: int,
    folder: Path | None,
    out: Path | None,
    inside: str | None,
) -> None:
    """Measure, print the table and the figures."""
    if inside is not None:
        click.echo(json.dumps(run_inside(**json.loads(inside))))
        return
    figures: dict[str, Any] = {}
    before = os.getloadavg()
    with tempfile.TemporaryDirectory() as scratch:
        place = folder or Path(scratch)
        stored = (place / "cache").exists()
        words = [*prepare(place, images), "--min-cluster", str(min_cluster)]
        first = measure([*words, *ROWS["gain 1"]], 0)
        if not stored:
            figures["nothing stored, gain 1"] = summary(first)
        names = rows.split(",")
        taken: dict[str, list[list[Seconds]]] = {name: [] for name in names}
        for _ in range(repeats):  # row after row, so that all meet the same neighbours
            for name in names:
                taken[name].append(measure([*words, *ROWS[name]], 1))
    for name in names:
        figures[f"cold, {name}"] = summary([runs[0] for runs in taken[name]])
        figures[f"warm, {name}"] = summary([runs[1] for runs in taken[name]])
    result = {"images": images, "load": [before, os.getloadavg()], "rows": figures}
    click.echo(table(figures))
    click.echo(json.dumps(result))
    if out is not None:
        out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
