#!/usr/bin/env python3
"""Run the long passes on two nodes of Ray on this machine, and compare them with one process.

Poses (`rotation poses --landmarks mtcnn`), light features (`classifier predict`) and latents
(`rotation embed`) of the same images are computed twice: by one process with one thread, and by
`--ray` on two nodes with a processor each. Half-way through a pass one raylet is killed with -9, as
when its machine is lost, and a new node is started. The files of both must be equal to the bit.
`--whole` does the passes on Ray without a kill too, which gives the overhead.

Example:
    python benchmarks/ray_passes.py $CELEBA --images 1000 --passes poses,features --json
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from _project import ROOT
from _ray_nodes import Node, Nodes, ray_nodes

from rotation.data.sources import open_source

MANAGE = str(ROOT / "manage.py")
PASSES = ("poses", "features", "latents")
KILL_AT = 0.4  # of the bytes that the pass will have written


@dataclass(frozen=True)
class Result:
    """One pass: wall seconds and images a second of one process and of Ray."""

    name: str
    images: int
    one_s: float
    one_per_s: float
    ray_s: float
    ray_per_s: float
    ray_begin_s: float
    killed: bool
    equal: bool
    unique_and_complete: bool


@dataclass(frozen=True)
class Pass:
    """A pass: its command without `--ray`, and the file that grows while it runs."""

    name: str
    words: Callable[[Path], Sequence[str]]
    grows: str  # pattern below the folder


def passes_of(images: Path, classifier: Path | None, embedding: str, device: str) -> list[Pass]:
    """The passes over an image set."""

    def poses(out: Path) -> Sequence[str]:
        return [
            "rotation",
            "poses",
            *given,
            "--landmarks",
            "mtcnn",
            "--out",
            str(out / "poses.csv"),
        ]

    def features(out: Path) -> Sequence[str]:
        words = ["classifier", "predict", "--model", str(classifier), "--images", str(images)]
        return [*words, "--out", str(out / "proposals.csv")]

    def latents(out: Path) -> Sequence[str]:
        return ["rotation", "embed", *given, "--embedding", embedding, "--cache", str(out)]

    given = ["--images", str(images), "--device", device]
    return [
        Pass("poses", poses, "poses.csv"),
        Pass("features", features, "features.sqlite3*"),
        Pass("latents", latents, "latents/*/rows"),
    ]


def run_one(task: Pass, out: Path) -> float:
    """Run a pass in one process; wall seconds."""
    extra = ["--processes", "1"] if task.name == "features" else []
    began = time.perf_counter()
    subprocess.run(_command(task.words(out), extra), check=True, env=_environment(), cwd=ROOT)
    return time.perf_counter() - began


def run_on(nodes: Nodes, task: Pass, out: Path, end_bytes: int, victim: Node | None) -> list[float]:
    """Run a pass on Ray; wall seconds in all and until the first result.

    Parameters:
        end_bytes: of the growing file at the end.
        victim: its raylet is killed on the way, and another node takes its place.
    """
    extra = ["--ray", nodes.address]
    if task.name == "features":
        extra += ["--cache", str(out)]
    began, first = time.perf_counter(), None
    environment = {**nodes.environment, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(_command(task.words(out), extra), env=environment, cwd=ROOT) as run:
        while run.poll() is None:
            size = _size(out, task)
            if first is None and _has_rows(task, size):
                first = time.perf_counter() - began
            if victim is not None and size >= KILL_AT * end_bytes and _has_rows(task, size):
                print(f"{task.name}: one raylet is killed", file=sys.stderr)
                victim.kill_raylet()
                nodes.end(victim)
                nodes.add(cpus=1)
                victim = None
            time.sleep(0.05)
    if run.returncode or victim is not None:
        raise SystemExit(f"{task.name} on Ray ended with {run.returncode} before a node was killed")
    return [time.perf_counter() - began, first or 0.0]


def compare(task: Pass, one: Path, ray: Path, names: Sequence[str]) -> tuple[bool, bool]:
    """Whether the files of both are equal, and whether each image stands in them once."""
    patterns = {"poses": "poses.csv", "features": "proposals.csv", "latents": "latents/*/*"}
    files = [
        {
            path.relative_to(folder): path.read_bytes()
            for path in sorted(folder.glob(patterns[task.name]))
            if path.name != "lock"
        }
        for folder in (one, ray)
    ]
    if task.name == "latents":
        rows = next(iter(ray.glob("latents/*/index"))).stat().st_size // 40
        return files[0] == files[1], rows == len(names)  # of images that are all different
    (table,) = ray.glob(patterns[task.name])
    with table.open(encoding="utf-8", newline="") as file:
        found = [row["filename"] for row in csv.DictReader(file)]
    return files[0] == files[1], sorted(found) == sorted(names)


def measure(task: Pass, folder: Path, nodes: Nodes, names: Sequence[str], kill: bool) -> Result:
    """Run a pass in one process and on Ray, and compare."""
    one, ray = folder / "one" / task.name, folder / f"ray-{kill}" / task.name
    seconds_file = one / "seconds"
    if not seconds_file.exists():
        one.mkdir(parents=True)
        seconds_file.write_text(str(run_one(task, one)))
    alone = float(seconds_file.read_text())
    ray.mkdir(parents=True)
    end_bytes = _size(one, task) or 450 * len(names)
    spent, first = run_on(nodes, task, ray, end_bytes, nodes.running[-1] if kill else None)
    equal, complete = compare(task, one, ray, names)
    count = len(names)
    return Result(
        task.name, count, alone, count / alone, spent, count / spent, first, kill, equal, complete
    )


def _command(words: Sequence[str], extra: Sequence[str]) -> list[str]:
    return [sys.executable, MANAGE, *words, *extra]


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def _size(out: Path, task: Pass) -> int:
    """The bytes of the files that grow; SQLite removes some of them when it closes."""
    size = 0
    for path in out.glob(task.grows):
        with suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


def _has_rows(task: Pass, size: int) -> bool:
    """Whether results are written; a new cache of features has empty tables before."""
    return size > (60_000 if task.name == "features" else 0)


def first_images(path: Path, count: int, folder: Path) -> tuple[Path, list[str]]:
    """The first images of a set, in a folder of their own, and their names."""
    folder.mkdir()
    with open_source(path) as source:
        names = list(source.names())[:count]
        for name in names:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(source.read(name))
    return folder, names


def main() -> None:
    """Measure the passes and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", type=Path, help="folder or zip of images")
    parser.add_argument("--images", type=int, default=1000, dest="count", help="how many of them")
    parser.add_argument("--passes", default=",".join(PASSES))
    parser.add_argument("--classifier", type=Path, help="model folder, for the pass `features`")
    parser.add_argument("--embedding", default="network", help="of the pass `latents`")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--whole", action="store_true", help="on Ray without a kill too")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    wanted = given.passes.split(",")
    if "features" in wanted and given.classifier is None:
        parser.error("the pass `features` needs --classifier")
    results = []
    with tempfile.TemporaryDirectory(prefix="ray") as place:
        folder, names = first_images(given.images, given.count, Path(place) / "images")
        tasks = passes_of(folder, given.classifier, given.embedding, given.device)
        with ray_nodes(Path(place) / "r") as nodes:
            for _ in range(2):
                nodes.add(cpus=1)
            for kill in (False, True) if given.whole else (True,):
                for task in tasks:
                    if task.name in wanted:
                        results.append(measure(task, Path(place), nodes, names, kill))
                        print(json.dumps(asdict(results[-1])), file=sys.stderr)
    if given.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
        return
    for result in results:
        print(
            f"{result.name}: one process {result.one_per_s:.1f} images a second, Ray "
            f"{result.ray_per_s:.1f}{' with a kill' if result.killed else ''}, first result after "
            f"{result.ray_begin_s:.0f} s, equal {result.equal}, complete "
            f"{result.unique_and_complete}"
        )


if __name__ == "__main__":
    main()
