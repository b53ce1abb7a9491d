"""Passes on a Ray cluster of this machine: the files of one process, whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks._ray_nodes import Nodes, is_alive, ray_nodes, wait_until
from rotation.demo_faces.dataset import write_faces
from tests.rotation.bulk_runs import BROKEN, run_words, write_heads
from tests.rotation.modelling import tiny_folder

pytestmark = pytest.mark.slow
pytest.importorskip("ray.data", reason="needs requirements/distributed.txt")

INDEX = "turned/index.json"
COUNT = 144  # more than one batch of poses
MOST_BYTES = 100_000  # of a file, where the disk is made to look full
MOST_S = 300.0  # for one command, on a busy machine
END_S = 60.0
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces, and a file that is no picture."""
    folder = write_faces(tmp_path_factory.mktemp("images") / "faces", COUNT)
    pictures = next(path.parent for path in folder.rglob("*.jpg"))
    (pictures / "broken.jpg").write_bytes(b"no picture")
    return pictures


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A cluster with one node of two processors. Nodes that a test adds, it ends."""
    with (
        tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder,
        ray_nodes(Path(folder)) as cluster,
    ):
        cluster.add(cpus=2)
        yield cluster


def program(*words: str | Path, before: str = "") -> list[str]:
    code = f"{before}\nfrom labeler.cli.main import main; main()"
    return [sys.executable, "-c", code, "rotation", *map(str, words)]


def embed(images: Path, model: Path, cache: Path, *more: str) -> tuple[str | Path, ...]:
    words = ("--images", images, "--model", model, "--cache", cache, "--device", "cpu")
    # So many steps that a batch takes half a second: there is time to interrupt the pass.
    settings = ("--steps", "40", "--iterations", "1", "--no-bf16")
    return ("embed", *words, *settings, *more)


def run(
    *words: str | Path,
    before: str = "",
    fails: bool = False,
    nodes: Nodes | None = None,
    home: Path | None = None,
) -> str:
    """What the program prints. It has one thread, as the actors have."""
    environment = {**(nodes.environment if nodes else os.environ), "OMP_NUM_THREADS": "1"}
    if home is not None:
        environment["HOME"] = str(home)
    done = subprocess.run(
        program(*words, before=before),
        capture_output=True,
        text=True,
        env=environment,
        timeout=MOST_S,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def latents(cache: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in sorted(cache.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def stored(cache: Path) -> int:
    return sum(path.stat().st_size for path in cache.rglob("rows"))


@pytest.fixture(scope="module")
def plain(images: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of one process."""
    cache = tmp_path_factory.mktemp("plain")
    told = run(*embed(images, model, cache))
    assert f"{COUNT} embedded, 0 known before, 1 unreadable" in told
    return latents(cache)


def run_and_interrupt(
    nodes: Nodes, command: list[str], begun: Callable[[], bool], interrupt: Callable[[int], None]
) -> int:
    """Start a program, interrupt something once it has begun, and wait; the exit status."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = {**nodes.environment, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, **quiet) as process:  # type: ignore[call-overload]
        try:
            began = time.monotonic()
            while process.poll() is None and not begun():
                assert time.monotonic() - began < MOST_S, "nothing was computed"
                time.sleep(0.02)
            assert process.poll() is None, "it ended before it could be interrupted"
            interrupt(process.pid)
            return int(process.wait(MOST_S))
        finally:
            process.kill()


def test_poses_of_this_machine_s_processors_are_those_of_one_process(
    images: Path, tmp_path: Path
) -> None:
    one, many = tmp_path / "one.csv", tmp_path / "many.csv"
    words = ("poses", "--images", images, "--landmarks", "mtcnn", "--device", "cpu")
    run(*words, "--out", one)
    told = run(*words, "--out", many, "--ray", "local", home=tmp_path / "home")
    assert not list((tmp_path / "home").rglob("*token*"))
    assert "No pose: broken.jpg: not an image" in told
    assert many.read_bytes() == one.read_bytes()
    names = [line.split(",")[0] for line in many.read_text().splitlines()[1:]]
    assert len(names) == len(set(names)) == COUNT + 1


def test_a_killed_worker_and_a_lost_node_change_nothing(
    images: Path, model: Path, nodes: Nodes, plain: dict[str, bytes], tmp_path: Path
) -> None:
    other = nodes.add(cpus=1)

    def kill(_pid: int) -> None:
        os.kill(actors(nodes)[0], signal.SIGKILL)
        other.kill_raylet()

    ended = run_and_interrupt(
        nodes,
        program(*embed(images, model, tmp_path / "cache", "--ray", nodes.address)),
        lambda: stored(tmp_path / "cache") > 0,
        kill,
    )
    nodes.end(other)
    assert ended == 0
    assert latents(tmp_path / "cache") == plain


def test_a_killed_driver_goes_on_and_its_actors_end(
    images: Path, model: Path, nodes: Nodes, plain: dict[str, bytes], tmp_path: Path
) -> None:
    words = embed(images, model, tmp_path / "cache", "--ray", nodes.address)
    seen: list[int] = []

    def kill(driver: int) -> None:
        seen.extend(actors(nodes))
        os.kill(driver, signal.SIGKILL)

    ended = run_and_interrupt(
        nodes,
        program(*words),
        lambda: stored(tmp_path / "cache") > 0,
        kill,
    )
    assert ended == -signal.SIGKILL
    assert 0 < stored(tmp_path / "cache") < len(plain["rows"])
    assert seen
    assert wait_until(lambda: not any(map(is_alive, seen)), END_S)
    assert "known before" in run(*words, nodes=nodes)
    assert latents(tmp_path / "cache") == plain


def test_passes_that_go_wrong_end_with_a_message(images: Path, nodes: Nodes) -> None:
    code = "import sys; from tests.rotation.passes.faulty_workers import report; "
    done = subprocess.run(
        [sys.executable, "-c", code + "report(*sys.argv[1:])", nodes.address, str(images)],
        capture_output=True,
        text=True,
        env={**nodes.environment, "OMP_NUM_THREADS": "4"},
        cwd=ROOT,
        timeout=MOST_S,
        check=True,
    )
    assert done.stdout.count("\n") == 3, done.stdout
    failed, no_gpu, died = done.stdout.splitlines()
    assert failed == "fail cpu [1, 'ImageError: deadly.jpg cannot be used.']"  # with one thread
    assert "PassError: The cluster has no GPU to compute on. Give --device cpu" in no_gpu
    assert "PassError: The pass on Ray has stopped: a process died 4 times" in died
    assert "a.jpg to b.jpg" in died or "deadly.jpg to d.jpg" in died


def test_a_node_lost_among_quick_tasks_is_borne(images: Path, nodes: Nodes, tmp_path: Path) -> None:
    """Calls of its actors fail for seconds, until the cluster knows of the loss."""
    other, begun = nodes.add(cpus=1), tmp_path / "begun"
    code = "import sys; from tests.rotation.passes.faulty_workers import hurry; "
    command = [sys.executable, "-c", code + "hurry(*sys.argv[1:])", nodes.address, str(images)]
    with subprocess.Popen(
        [*command, str(begun)],
        env=nodes.environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert wait_until(lambda: begun.exists() or process.poll() is not None, MOST_S)
            other.kill_raylet()
            said, told = process.communicate(timeout=MOST_S)
        finally:
            process.kill()
            nodes.end(other)
    assert "A process or a machine of the cluster was lost; going on with" in told
    assert said == "4000 results in order\n"


def actors(nodes: Nodes) -> list[int]:
    """The processes of the head's node that hold the worker of a pass."""
    titles = {pid: _title(pid) for pid in nodes.running[0].processes}
    found = [pid for pid, title in titles.items() if "MapWorker" in title]
    assert found, titles
    return found


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_a_full_disk_is_told_and_the_same_command_goes_on(
    images: Path, model: Path, nodes: Nodes, plain: dict[str, bytes], tmp_path: Path
) -> None:
    words = embed(images, model, tmp_path / "cache", "--ray", nodes.address)
    full = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({MOST_BYTES},) * 2)"
    told = run(*words, before=full, fails=True, nodes=nodes)
    assert "cannot be written (File too large)" in told
    assert stored(tmp_path / "cache") <= MOST_BYTES
    run(*words, nodes=nodes)
    assert latents(tmp_path / "cache") == plain


def test_machines_that_are_not_ready_are_named_and_nothing_is_begun(
    images: Path, model: Path, nodes: Nodes, tmp_path: Path
) -> None:
    """A node whose Pillow says that it is another version."""
    other = tmp_path / "path" / "pillow-0.0.1.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: pillow\nVersion: 0.0.1\n")
    node = nodes.add(cpus=1, environment={"PYTHONPATH": str(other.parent)})
    words = embed(images, model, tmp_path / "cache", "--ray", nodes.address)
    told = run(*words, fails=True, nodes=nodes)
    nodes.end(node)
    assert "Not every machine of the cluster is ready; nothing was begun" in told
    assert "pillow is 0.0.1, here it is" in told
    assert not stored(tmp_path / "cache")


def test_turned_heads_are_those_of_one_process_whatever_is_killed(
    model: Path, nodes: Nodes, tmp_path: Path
) -> None:
    """The command is killed after the first head, and an actor of the next command."""
    heads = write_heads(tmp_path / "heads")
    names = [BROKEN, *(f"{number:06}.jpg" for number in range(3, 15))]
    # The clusters have the sources' persons too: there are few others.
    listed = ("--sources", ",".join(names), "--steps", "40", "--same-person")
    here, there = tmp_path / "here" / "run", tmp_path / "there" / "run"
    run("run", *run_words(heads, model, here, *listed), fails=True)  # one of them is no picture
    assert len(turned(here)) == len(names) - 1
    on_ray = program("run", *run_words(heads, model, there, *listed, "--ray", nodes.address))
    ended = run_and_interrupt(
        nodes, on_ray, lambda: bool(turned(there)), lambda pid: os.kill(pid, signal.SIGKILL)
    )
    assert ended == -signal.SIGKILL
    before = turned(there)
    assert 0 < len(before) < len(names) - 1
    ended = run_and_interrupt(
        nodes,
        on_ray,
        lambda: len(turned(there)) > len(before),
        lambda _pid: os.kill(actors(nodes)[0], signal.SIGKILL),
    )
    assert ended == 1  # as without Ray
    assert before.items() <= turned(there).items()
    rows = {row["source"]: row for row in json.loads((there / INDEX).read_text())["rows"]}
    assert [name for name, row in rows.items() if row["status"] == "failed"] == [BROKEN]
    assert BROKEN in rows[BROKEN]["reason"]
    for name in names[1:]:
        assert files(there / "turned" / name) == files(here / "turned" / name)


def turned(out: Path) -> dict[Path, int]:
    """The complete folders of a run, with the time at which each became so."""
    return {path: path.stat().st_mtime_ns for path in out.glob("turned/*/report.html")}


def files(folder: Path) -> dict[str, object]:
    """The files of a turned head, its report without times and command, which differ."""
    found: dict[str, object] = {path.name: path.read_bytes() for path in folder.iterdir()}
    report = json.loads(found.pop("report.json"))  # type: ignore[arg-type]
    report = {key: value for key, value in report.items() if key not in ("seconds", "command")}
    return {**found, "report.json": report, "report.html": None}


def test_an_address_where_nothing_answers_is_named(images: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        words = ("poses", "--images", images, "--out", tmp_path / "poses.csv", "--ray", address)
        words = (*words, "--landmarks", "mtcnn")  # else the landmarks' file is enough
        told = run(*words, fails=True)
    assert f"--ray {address}: no cluster answers there" in told
    assert not list(tmp_path.iterdir())


def test_a_node_that_is_asked_to_end_leaves_no_process(nodes: Nodes) -> None:
    """The last test: it ends the cluster of the others."""
    head = nodes.running[0]
    known = head.processes
    assert known
    assert nodes.end(head) == []
    assert not [pid for pid in known if is_alive(pid)]
