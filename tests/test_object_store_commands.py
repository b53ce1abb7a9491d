"""Commands on images in a store: the files of the same images on this machine, to the bit."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from labeler.cli.main import cli
from labeler.images.process_pool import map_chunks
from rotation.demo_faces.dataset import write_faces
from rotation.remote_paths import RemotePath
from tests.labeler.light_classifier.test_commands import pack, write_labels
from tests.labeler.lit_faces import cycle_labels, write_landmarks
from tests.labeler.lit_faces import write_faces as write_lit_faces
from tests.object_store import Store, sizes_of
from tests.rotation.bulk_runs import run_words, write_heads
from tests.rotation.modelling import tiny_folder

COUNT = 12


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, words)))


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


@pytest.fixture(scope="module")
def faces(store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The demo's faces with a file that is no picture: here, and in the store as folder and zip."""
    folder = write_faces(tmp_path_factory.mktemp("demo") / "demo", COUNT)
    (folder / "img_align_celeba" / "broken.jpg").write_bytes(b"no picture")
    packed = _pack_all(folder, folder.parent / "demo.zip")
    return folder, [store.put("demo", folder), store.put("demo.zip", packed)]


def _pack_all(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            file.write(path, path.relative_to(folder).as_posix())
    return archive


@pytest.mark.parametrize("landmarks", ["auto", "mtcnn"])
def test_poses_are_those_of_local_images(
    faces: tuple[Path, list[str]], tmp_path: Path, landmarks: str
) -> None:
    found = []
    for k, images in enumerate([faces[0], *faces[1]]):
        out = tmp_path / f"{k}.csv"
        done = run("rotation", "poses", "--images", images, "--landmarks", landmarks, "--out", out)
        assert done.exit_code == 0, done.output
        found.append(out.read_bytes())
    assert found[0] == found[1] == found[2]
    assert len(found[0].splitlines()) == COUNT + 2


def test_a_cache_of_poses_of_local_images_stays_valid(
    store: Store, faces: tuple[Path, list[str]], tmp_path: Path
) -> None:
    out = tmp_path / "poses.csv"
    words = ("rotation", "poses", "--landmarks", "mtcnn", "--out", out, "--images")
    assert run(*words, faces[0]).exit_code == 0
    before = out.stat()
    for url in faces[1]:
        assert run(*words, url).exit_code == 0
        assert (out.stat().st_mtime_ns, out.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_latents_are_those_of_local_images(faces: tuple[Path, list[str]], tmp_path: Path) -> None:
    model = tiny_folder(tmp_path / "tiny")
    found = []
    for k, images in enumerate([faces[0], *faces[1]]):
        cache = tmp_path / f"cache{k}"
        words = ("--model", model, "--cache", cache, "--device", "cpu", "--steps", "4")
        done = run("rotation", "embed", "--images", images, *words, "--no-bf16")
        assert done.exit_code == 0, done.output
        assert f"{COUNT} embedded, 0 known before, 1 unreadable" in done.output
        found.append(files_of(cache))
    assert found[0] == found[1] == found[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "sources", [("--source", "000003.jpg"), ("--sources", "000003.jpg,000005.jpg")]
)
def test_turned_heads_are_those_of_local_images(
    store: Store, tmp_path: Path, sources: tuple[str, str]
) -> None:
    heads, model = write_heads(tmp_path / "heads"), tiny_folder(tmp_path / "tiny")
    packed = _pack_all(heads, tmp_path / "heads.zip")
    url = store.put("heads.zip", packed)
    found = []
    for k, images in enumerate([packed, url]):
        out = tmp_path / str(k) / "out"
        words = run_words(heads, model, out, *sources)
        words[words.index("--images") + 1] = str(images)
        done = run("rotation", "run", *words)
        assert done.exit_code == 0, done.output
        found.append({name: data for name, data in files_of(out).items() if name.endswith("png")})
    assert found[0] == found[1] != {}


@pytest.mark.slow
def test_proposals_are_those_of_local_images(store: Store, tmp_path: Path) -> None:
    truth = cycle_labels(30)
    images = tmp_path / "images"
    write_lit_faces(images, truth)
    write_landmarks(images, truth)
    urls = [store.put("lit", images), store.put("lit.zip", pack(images, tmp_path / "lit.zip"))]
    labels = write_labels(tmp_path / "labels.csv", dict(list(truth.items())[:12]))
    models, tables = [], []
    for k, place in enumerate([images, *urls]):
        model, out = tmp_path / f"model{k}", tmp_path / f"{k}.csv"
        fitted = run("classifier", "fit", "--images", place, "--labels", labels, "--out", model)
        assert fitted.exit_code == 0, fitted.output
        predicted = run("classifier", "predict", "--model", model, "--images", place, "--out", out)
        assert predicted.exit_code == 0, predicted.output
        models.append((model / "model.safetensors").read_bytes())
        tables.append(out.read_bytes())
    assert models[0] == models[1] == models[2]
    assert tables[0] == tables[1] == tables[2]
    assert len(tables[0].splitlines()) == 31


@pytest.mark.slow
def test_other_processes_read_the_store(faces: tuple[Path, list[str]]) -> None:
    for url in faces[1]:
        found = map_chunks(RemotePath(url), sizes_of, [["000001.jpg"], ["000002.jpg"]], 2)
        place = faces[0] / "img_align_celeba"
        assert list(found) == [
            [(place / name).stat().st_size] for name in ("000001.jpg", "000002.jpg")
        ]


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_the_actors_of_ray_read_the_store(
    faces: tuple[Path, list[str]], tmp_path: Path, packed: bool
) -> None:
    pytest.importorskip("ray.data", reason="needs requirements/distributed.txt")
    words = ("poses", "--landmarks", "mtcnn", "--device", "cpu", "--out")
    _run_alone(*words, tmp_path / "one.csv", "--images", faces[0])
    _run_alone(*words, tmp_path / "ray.csv", "--images", faces[1][packed], "--ray", "local")
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()


def _run_alone(*words: str | Path) -> None:
    """Run a command of the engine in a process of its own, with one thread as the actors have."""
    code = "from labeler.cli.main import main; main()"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, "rotation", *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("images", "import", "s3://faces/demo"),
        ("report", "mean-faces", "--images", "s3://faces/demo", "--out", "x.png"),
        ("rotation", "poses", "--images", "x", "--landmarks", "s3://faces/l.txt", "--out", "x.csv"),
        ("rotation", "poses", "--images", "s3://faces/demo", "--out", "s3://faces/poses.csv"),
    ],
)
def test_where_files_of_this_machine_are_needed_a_url_is_refused(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.exit_code == 2
    assert "is a URL. A file or folder of this machine is needed here" in " ".join(
        done.output.split()
    )
