"""Many heads in one run: shared clusters, an index, and what happens when it is stopped."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from rotation.cli.run import run
from rotation.synthetic_heads.dataset import read_truth, write_dataset
from tests.rotation.modelling import tiny_folder

ROOT = Path(__file__).resolve().parents[2]
COUNT = 60
ONE, TWO, THREE = "000004.jpg", "000007.jpg", "000009.jpg"
BROKEN = "000002.jpg"


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with labels.csv beside it, one of its files broken."""
    folder = write_dataset(tmp_path_factory.mktemp("heads") / "set", COUNT, seed=5)
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "label"])
        writer.writerows(read_truth(folder).items())
    (folder / "img_align_celeba" / BROKEN).write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model's folder."""
    return tiny_folder(tmp_path_factory.mktemp("model") / "tiny")


def words(heads: Path, model: Path, out: Path, *more: object) -> list[str]:
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
    }
    given = [str(word) for pair in options.items() for word in pair]
    return [*given, "--no-closed-loop", *map(str, more)]


def turn(heads: Path, model: Path, out: Path, *more: object) -> Result:
    return CliRunner().invoke(run, words(heads, model, out, *more))


def index(out: Path) -> dict[str, dict[str, object]]:
    """The rows of index.json by source."""
    told = json.loads((out / "turned" / "index.json").read_text())
    assert told["finished"] is True
    return {row["source"]: row for row in told["rows"]}


def frames(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def sizes(folder: Path) -> list[int]:
    found: list[int] = json.loads((folder / "report.json").read_text())["clusters"]["sizes"]
    return found


def test_one_of_many_is_the_same_as_one_alone(heads: Path, model: Path, tmp_path: Path) -> None:
    alone = turn(heads, model, tmp_path / "alone", "--source", ONE)
    assert alone.exit_code == 0, alone.output
    many = turn(heads, model, tmp_path / "many", "--sources", ONE)
    assert many.exit_code == 0, many.output
    assert frames(tmp_path / "many" / "turned" / ONE) == frames(tmp_path / "alone" / "turned")


def test_what_cannot_be_turned_is_a_row(heads: Path, model: Path, tmp_path: Path) -> None:
    listed = tmp_path / "sources.csv"
    listed.write_text(f"filename;note\n{ONE};a\n{BROKEN};b\nnobody.jpg;c\n{TWO};d\n")
    result = turn(heads, model, tmp_path, "--sources", listed)
    assert result.exit_code == 1
    assert "2 of 4 sources were not turned" in result.output
    rows = index(tmp_path)
    assert list(rows) == [ONE, BROKEN, "nobody.jpg", TWO]
    assert {name for name, row in rows.items() if row["status"] == "done"} == {ONE, TWO}
    assert "nobody.jpg' is not in the image set" in str(rows["nobody.jpg"]["reason"])
    assert BROKEN in str(rows[BROKEN]["reason"])
    out = tmp_path / "turned"
    assert not (out / BROKEN).exists()
    assert sizes(out / ONE) == sizes(out / TWO), "they share their clusters"
    page = (out / "index.html").read_text()
    for part in (f'src="./{ONE}/strip.png"', f'href="./{TWO}/report.html"', "nobody.jpg"):
        assert part in page
    with (out / "index.csv").open(newline="") as file:
        assert [row["source"] for row in csv.DictReader(file)] == list(rows)
    assert "4 of 4: " in result.output


def test_what_is_done_is_not_done_again(heads: Path, model: Path, tmp_path: Path) -> None:
    asked = ("--sources", f"{ONE},{TWO}")
    assert turn(heads, model, tmp_path, *asked).exit_code == 0
    out = tmp_path / "turned"
    before = frames(out / TWO)
    kept = (out / ONE / "report.html").stat().st_mtime_ns
    (out / TWO / "report.html").unlink()  # as if it had been stopped there
    again = turn(heads, model, tmp_path, *asked)
    assert again.exit_code == 0, again.output
    assert (out / ONE / "report.html").stat().st_mtime_ns == kept
    assert frames(out / TWO) == before
    other = turn(heads, model, tmp_path, *asked, "--seed", 1)
    assert other.exit_code == 1
    assert "turned with other options" in other.output
    assert (out / ONE / "report.html").stat().st_mtime_ns == kept


def test_a_subset_restricts_the_clusters(heads: Path, model: Path, tmp_path: Path) -> None:
    subset = tmp_path / "subset.csv"
    listed = [name for name in read_truth(heads) if name not in (ONE, BROKEN)][::2]
    subset.write_text("\n".join(["filename", *listed]) + "\n")
    wide = ("--source", ONE, "--window", 10, "--max-window", 10)  # none is widened further
    whole = turn(heads, model, tmp_path / "whole", *wide)
    part = turn(heads, model, tmp_path / "part", *wide, "--subset", subset)
    assert (whole.exit_code, part.exit_code) == (0, 0), part.output
    fewer = np.array(sizes(tmp_path / "part" / "turned"))
    more = np.array(sizes(tmp_path / "whole" / "turned"))
    assert fewer.sum() < more.sum()
    assert (fewer <= more).all()
    subset.write_text("\n".join([ONE, *(f"other{n}.jpg" for n in range(25))]))
    odd = turn(heads, model, tmp_path / "odd", "--source", ONE, "--subset", subset)
    assert odd.exit_code == 1
    assert "25 of its 26 images are not in the image set" in odd.output
    assert "other19.jpg" in odd.output
    assert "other20.jpg" not in odd.output
    assert not (tmp_path / "odd" / "turned").exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((), "Give --source NAME, --source-file FILE or --sources"),
        (("--source", ONE, "--sources", TWO), "one of them"),
        (("--sources", " , "), "names no image"),
        (("--sources", ONE, "--source-yaw", "10"), "--source-yaw is about one head"),
        (("--sources", ONE, "--save-pipeline", "turner"), "--save-pipeline is about one head"),
    ],
)
def test_options_that_exclude_each_other(
    heads: Path, model: Path, tmp_path: Path, given: tuple[str, ...], told: str
) -> None:
    result = turn(heads, model, tmp_path, *given)
    assert result.exit_code != 0
    assert told in " ".join(result.output.split())


@pytest.mark.slow
def test_a_killed_run_goes_on(heads: Path, model: Path, tmp_path: Path) -> None:
    """Killed after the first source. The second run ends it, and nothing is done twice."""
    names = [name for name in read_truth(heads) if name != BROKEN][:8]
    asked = ("--sources", ",".join(names))
    assert turn(heads, model, tmp_path / "whole", *asked).exit_code == 0
    command = [sys.executable, "-m", "labeler.cli", "rotation", "run"]
    out = tmp_path / "killed" / "turned"
    process = subprocess.Popen(
        [*command, *words(heads, model, tmp_path / "killed", *asked)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not list(out.glob("*/report.html")):
        assert process.poll() is None, "it ended before its first source"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in out.glob("*/report.html")}
    assert 0 < len(done) < len(names)
    again = turn(heads, model, tmp_path / "killed", *asked)
    assert again.exit_code == 0, again.output
    assert all(path.stat().st_mtime_ns == at for path, at in done.items())
    assert set(index(tmp_path / "killed")) == set(names)
    for name in names:
        assert frames(out / name) == frames(tmp_path / "whole" / "turned" / name)
