"""A data set of rendered heads for `rotation run --sources`, and the options of the command."""

from __future__ import annotations

import csv
from pathlib import Path

from rotation.synthetic_heads.dataset import read_truth, write_dataset

COUNT = 60
BROKEN = "000002.jpg"


def write_heads(folder: Path) -> Path:
    """A data set with labels.csv beside it, one of its files broken."""
    made = write_dataset(folder, COUNT, seed=5)
    with (made / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "label"])
        writer.writerows(read_truth(made).items())
    (made / "img_align_celeba" / BROKEN).write_bytes(b"no picture")
    return made


def run_words(
    heads: Path, model: Path, out: Path, *more: object, editing: str = "line"
) -> list[str]:
    """The options that every call needs, and more."""
    options = {
        "--images": heads,
        "--labels": heads / "labels.csv",
        "--model": model,
        "--out": out / "turned",
        "--cache": out.parent / "cache",
        "--min-cluster": 1,
        "--iterations": 0,
        "--device": "cpu",
        "--light": "left",
        "--yaw": "-20,20",
        "--attributes": "none",
        "--editing": editing,
    }
    given = [str(word) for pair in options.items() for word in pair]
    return [*given, *map(str, more)]
