"""What a machine needs for a pass, and the workers of passes, without a cluster."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from labeler.cli.main import cli
from rotation.data.sources import open_source
from rotation.errors import MissingExtraError, PassError
from rotation.passes.needs import Needs, find_versions, look_here, other_versions
from rotation.passes.on_ray import RayCluster, _unpack
from rotation.poses.measuring import PoseWorker
from rotation.synthetic_heads.camera import CELEBA_VIEW
from rotation.synthetic_heads.renderer import render_view
from rotation.synthetic_heads.sampling import BENCHMARK_IDENTITY, sample_heads

NAMES = [f"{number}.png" for number in range(5)]


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Aligned heads, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("heads")
    drawn = sample_heads(5, seed=2, first_identity=BENCHMARK_IDENTITY, yaw_range=(-30.0, 30.0))
    for name, pixels in zip(NAMES, render_view(drawn, CELEBA_VIEW), strict=True):
        Image.fromarray(pixels).save(folder / name)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.mark.parametrize("place", [0, 15, 30, 31, 33])
def test_a_pose_is_the_same_to_the_bit_whatever_is_measured_beside_it(
    heads: Path, place: int
) -> None:
    """The places are those at the ends of the networks' batches, and within."""
    beside = [NAMES[k % 4] for k in range(35)]
    beside[place] = NAMES[4]
    with open_source(heads) as source:
        worker = PoseWorker(source)
        together, alone = worker(beside), worker([NAMES[4]])
    assert np.isfinite(alone.poses).all()
    assert together.poses[place] == alone.poses[0]


def test_an_image_that_cannot_be_decoded_has_a_fingerprint(heads: Path) -> None:
    with open_source(heads) as source:
        together = PoseWorker(source)([*NAMES, "broken.png"])
    assert together.contents[5] == source.fingerprint("broken.png")
    assert together.unreadable == ["broken.png: not an image (starts with b'no pictu')"]


@pytest.mark.parametrize("zipped", [False, True])
def test_a_source_in_another_process_has_the_same_images(
    heads: Path, tmp_path: Path, zipped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = heads
    if zipped:
        place = Path("heads.zip")  # relative: another process may run elsewhere
        monkeypatch.chdir(tmp_path)
        with zipfile.ZipFile(place, "w") as archive:
            for name in NAMES:
                archive.write(heads / name, name)
    with open_source(place) as source:
        packed = pickle.dumps(source)
        monkeypatch.chdir("/")
        with pickle.loads(packed) as other:
            assert other.names() == source.names()
            assert other.read(NAMES[3]) == source.read(NAMES[3])


def test_a_machine_says_what_it_lacks(heads: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_bytes(b"1")
    with open_source(heads) as source:
        needs = Needs.of(source, [model])
    assert look_here(needs).faults == ()
    (model / "weights").write_bytes(b"2")
    assert look_here(needs).faults == (f"the model {model} has other files",)
    (model / "weights").unlink()
    model.rmdir()
    assert look_here(needs).faults == (f"the model {model} is not there",)
    moved = Needs(partial(open_source, tmp_path / "none"), needs.names)
    assert "the images are not there" in look_here(moved).faults[0]
    other = Needs(needs.open_images, "another list")
    assert look_here(other).faults == (f"{heads} has other images (6)",)


def test_images_that_links_lead_to_are_found_by_other_processes(
    heads: Path, tmp_path: Path
) -> None:
    """CelebA's folder with links into another one of the data set, as git-annex has them."""
    (tmp_path / "objects").mkdir()
    (tmp_path / "img_align_celeba").mkdir()
    for name in NAMES:
        shutil.copy(heads / name, tmp_path / "objects" / name)
        (tmp_path / "img_align_celeba" / name).symlink_to(tmp_path / "objects" / name)
    with open_source(tmp_path) as source:
        assert len(source.names()) == 5
        needs = pickle.loads(pickle.dumps(Needs.of(source)))
    assert look_here(needs).faults == ()


def test_versions_name_the_libraries_the_code_and_the_networks() -> None:
    versions = find_versions(["rotation"])
    assert {"Python", "torch", "facenet-pytorch", "the code of rotation"} <= versions.keys()
    assert "none" not in versions.values()
    there = {**versions, "the networks for faces": "another"}
    told = f"the networks for faces is another, here it is {versions['the networks for faces']}"
    assert other_versions(there, versions) == [told]
    assert other_versions(versions, versions) == []


def test_a_worker_for_another_process_takes_the_only_gpu_that_it_sees(heads: Path) -> None:
    with open_source(heads) as source:
        worker = PoseWorker(source, "cuda:1")
        assert pickle.loads(pickle.dumps(worker)).device == "cuda"
        assert worker.device == "cuda:1"
        assert worker.find_needs().device == "cuda"


def test_the_error_of_a_missing_package_reaches_another_process() -> None:
    error = MissingExtraError("--ray needs Ray Data", ImportError("no ray"), "distributed")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("given", ["10.0.0.1", "http://10.0.0.1:80", ":6379", "everywhere"])
def test_an_address_that_is_none_is_refused(heads: Path, tmp_path: Path, given: str) -> None:
    words = ["--images", str(heads), "--out", str(tmp_path / "poses.csv"), "--ray", given]
    result = CliRunner().invoke(cli, ["rotation", "poses", *words])
    assert result.exit_code == 2
    assert "give HOST:PORT of the cluster's head, or local" in result.output


def test_without_ray_its_extra_is_named_and_nothing_is_written(heads: Path, tmp_path: Path) -> None:
    """The program in a process in which `import ray` fails."""
    code = "import sys; sys.modules['ray'] = None; from labeler.cli.main import main; main()"
    words = ["--images", str(heads), "--out", str(tmp_path / "poses.csv"), "--ray", "local"]
    result = subprocess.run(
        [sys.executable, "-c", code, "rotation", "poses", *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 1
    assert "--ray needs Ray Data" in result.stderr
    assert "sidelight[distributed]" in result.stderr
    assert "pip install -r requirements/distributed.txt" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_pass_that_has_nothing_to_do_needs_no_cluster(heads: Path) -> None:
    with open_source(heads) as source, RayCluster("127.0.0.1:1") as runner:
        worker = PoseWorker(source)
        assert list(runner(worker, [], worker.find_needs)) == []


def test_an_actor_of_another_version_says_so_instead_of_computing() -> None:
    """As on a machine that joins while a pass runs."""
    versions = find_versions(["rotation"])
    assert _unpack(pickle.dumps((len, versions, ["rotation"])))([1, 2]) == 2
    other = {**versions, "torch": "0.0.1"}
    with pytest.raises(PassError, match=r"ready\. .*torch is .*, here it is 0\.0\.1"):
        _unpack(pickle.dumps((len, other, ["rotation"])))
