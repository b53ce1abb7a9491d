"""Many heads in one run: shared clusters, an index, and what happens when it is stopped."""

from __future__ import annotations

import csv
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from click.testing import CliRunner, Result

from rotation.bulk.running import fingerprint, run_bulk
from rotation.cli.run import read_options, run
from rotation.errors import PassError
from rotation.options import EditingOptions, RunOptions, TurnOptions
from rotation.passes.needs import Needs, look_here
from rotation.passes.running import run_here
from rotation.synthetic_heads.dataset import read_truth
from tests.rotation.bulk_runs import BROKEN, run_words, write_heads
from tests.rotation.modelling import tiny_folder

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")
R = TypeVar("R")
ONE, TWO, THREE = "000004.jpg", "000007.jpg", "000009.jpg"


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with labels.csv beside it, one of its files broken."""
    return write_heads(tmp_path_factory.mktemp("heads") / "set")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model's folder."""
    return tiny_folder(tmp_path_factory.mktemp("model") / "tiny")


def test_runs_of_earlier_versions_go_on() -> None:
    """The fingerprint is that of the version whose options had no `relight`."""
    editing = EditingOptions("geometry")
    options = RunOptions(
        images=Path("faces"),
        labels=Path("labels.csv"),
        source="a.jpg",
        out=Path("out"),
        cache=Path("cache"),
        turn=TurnOptions((-30.0, 30.0), editing=editing),
    )
    before = "1c751bc4795e8d3e7b450172a0b91d4b7b408793933276ef346a7ab67554521e"
    assert fingerprint(options) == before
    other = replace(options.turn, editing=replace(editing, relight=False))
    assert fingerprint(replace(options, turn=other)) != before


def turn(heads: Path, model: Path, out: Path, *more: object) -> Result:
    return CliRunner().invoke(run, run_words(heads, model, out, *more))


def index(out: Path) -> dict[str, dict[str, object]]:
    """The rows of index.json by source."""
    told = json.loads((out / "turned" / "index.json").read_text())
    assert told["finished"] is True
    return {row["source"]: row for row in told["rows"]}


def frames(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def report(folder: Path) -> dict[str, object]:
    """The report of a folder, without what differs from run to run."""
    told: dict[str, object] = json.loads((folder / "report.json").read_text())
    return {key: value for key, value in told.items() if key != "seconds"}


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


def test_many_names_are_no_file(heads: Path, model: Path, tmp_path: Path) -> None:
    """A file's name has at most 255 bytes."""
    names = ",".join(f"nobody{number}.jpg" for number in range(40))
    result = turn(heads, model, tmp_path, "--sources", names)
    assert "40 of 40 sources were not turned" in result.output


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
        (
            ("--source", ONE, "--ray", "local"),
            "--ray shares many heads out: give them",
        ),
    ],
)
def test_options_that_exclude_each_other(
    heads: Path, model: Path, tmp_path: Path, given: tuple[str, ...], told: str
) -> None:
    result = turn(heads, model, tmp_path, *given)
    assert result.exit_code != 0
    assert told in " ".join(result.output.split())


@dataclass
class Elsewhere:
    """Runs the tasks of passes with workers as another process gets them, on ready machines."""

    tasks: list[Any] = field(default_factory=list)

    def __call__(
        self, worker: Callable[[T], R], tasks: Sequence[T], needs: Callable[[], Needs]
    ) -> Iterator[R]:
        self.check(needs)
        self.tasks += tasks
        return map(pickle.loads(pickle.dumps(worker)), tasks)

    def check(self, needs: Callable[[], Needs]) -> None:
        assert look_here(pickle.loads(pickle.dumps(needs()))).faults == ()

    def groups(self) -> dict[str, int]:
        """The number of each source's group."""
        return {task[0]: task[1] for task in self.tasks if isinstance(task[1], int)}


class Unready(Elsewhere):
    """Machines that are not ready."""

    def check(self, needs: Callable[[], Needs]) -> None:
        raise PassError(f"a machine lacks the model {needs().models[0][0]}")


def bulk_options(*given: object) -> RunOptions:
    """The options of a bulk run as the command reads them."""
    return read_options(run.make_context("run", [*map(str, given), "--sources", ONE]).params)


def test_a_cluster_that_is_not_ready_is_told_before_anything_begins(
    heads: Path, model: Path, tmp_path: Path
) -> None:
    unready = Unready()
    options = bulk_options(*run_words(heads, model, tmp_path / "run"))
    with pytest.raises(PassError, match="a machine lacks the model"):
        run_bulk(options, [ONE, TWO], "", runner=unready)
    assert not unready.tasks
    assert not any(path.stat().st_size for path in options.cache.glob("latents/*/rows"))


@pytest.mark.parametrize(
    ("editing", "turned"),
    [("line", [ONE, TWO, THREE]), pytest.param("closed-loop", [ONE], marks=pytest.mark.slow)],
)
def test_other_processes_turn_the_same_heads(
    heads: Path,
    model: Path,
    tmp_path: Path,
    editing: str,
    turned: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sources = [BROKEN, *turned]
    (tmp_path / "link").symlink_to(model)  # the reports say this name
    monkeypatch.chdir(tmp_path)
    outcomes = []
    elsewhere = Elsewhere()
    for place, runner in (("here", run_here), ("there", elsewhere)):
        given = run_words(heads, Path("link"), Path(place, "run"), editing=editing)
        options = bulk_options(*given)
        rows = run_bulk(options, sources, "the command", runner=runner)
        assert [row.is_done for row in rows] == [name != BROKEN for name in sources]
        outcomes.append([(row.source, row.reason, row.yaw_deg, row.reached) for row in rows])
    assert elsewhere.groups() == dict.fromkeys(sources, 0)
    assert outcomes[0] == outcomes[1]
    here, there = (Path(place, "run", "turned") for place in ("here", "there"))
    assert not (there / BROKEN).exists()
    for name in turned:
        assert frames(here / name) == frames(there / name)
        assert report(here / name) == report(there / name)
        assert "the command" in (there / name / "report.html").read_text()


def test_a_pass_on_a_cluster_has_the_sources_of_several_groups(
    heads: Path, model: Path, tmp_path: Path
) -> None:
    elsewhere = Elsewhere()
    names = list(read_truth(heads))[3:8]
    options = bulk_options(*run_words(heads, model, tmp_path, "--light", "auto"))
    rows = run_bulk(options, names, "", runner=elsewhere)
    assert all(row.is_done for row in rows)
    groups, lights = elsewhere.groups(), {row.source: row.light for row in rows}
    assert set(groups) == set(names)
    assert len(set(lights.values())) > 1
    pairs = {(groups[name], lights[name]) for name in names}
    assert len(pairs) == len(set(groups.values())) == len(set(lights.values()))


@pytest.mark.slow
def test_a_killed_run_goes_on(heads: Path, model: Path, tmp_path: Path) -> None:
    """Killed after the first source. The second run ends it, and nothing is done twice."""
    names = [name for name in read_truth(heads) if name != BROKEN][:8]
    asked = ("--sources", ",".join(names))
    assert turn(heads, model, tmp_path / "whole", *asked).exit_code == 0
    command = [sys.executable, "-m", "labeler.cli", "rotation", "run"]
    out = tmp_path / "killed" / "turned"
    process = subprocess.Popen(
        [*command, *run_words(heads, model, tmp_path / "killed", *asked)],
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
    (out / names[-1]).mkdir(exist_ok=True)
    (out / names[-1] / ".strip.png-abcdefgh").touch()  # as a kill in the middle of a file leaves it
    again = turn(heads, model, tmp_path / "killed", *asked)
    assert again.exit_code == 0, again.output
    assert not list(out.rglob(".*-*"))
    assert all(path.stat().st_mtime_ns == at for path, at in done.items())
    assert set(index(tmp_path / "killed")) == set(names)
    for name in names:
        assert frames(out / name) == frames(tmp_path / "whole" / "turned" / name)
