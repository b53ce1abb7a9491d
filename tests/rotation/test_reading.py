"""Files and JSON from outside: pipes, devices, sockets, circles of links, deep nesting."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rotation.data.celeba import read_tables
from rotation.data.labels_csv import read_labels
from rotation.data.sources import open_source
from rotation.diffusion.denoising import load_denoising
from rotation.diffusion.model_folder import DEFAULT, MODELS, open_folder
from rotation.directions.storage import load_directions
from rotation.errors import DatasetError, ImageError, ModelError, RotationError
from rotation.latents.encoder_network import EmbeddingNetwork
from rotation.poses.pose_csv import read_poses
from rotation.reading import open_regular, parse_json, real_path
from tests.conftest import write_images

Make = Callable[[Path], None]
NESTED = "[" * 60_000


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one, contextlib.chdir(path.parent):
        one.bind(path.name[:90])  # the address of a socket has 108 bytes at most
    (path.parent / path.name[:90]).rename(path)


MAKERS: dict[str, Make] = {
    "pipe": os.mkfifo,
    "socket": _socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "circle": lambda path: path.symlink_to(path.name),
    "nothing": lambda path: path.symlink_to("nowhere"),
    "folder": lambda path: path.mkdir(),
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Make:
    """Makes something at a path that is no regular file."""
    return MAKERS[request.param]


@pytest.fixture
def irregular(make: Make, tmp_path: Path) -> Path:
    path = tmp_path / "irregular"
    make(path)
    return path


def test_only_regular_files_are_opened(irregular: Path) -> None:
    with pytest.raises(OSError, match="irregular"):
        open_regular(irregular).close()


def test_a_pipe_that_the_shell_opened_is_read() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"filename,label\n")
    os.close(writing)
    with open_regular(f"/dev/fd/{reading}") as file:
        assert file.read() == b"filename,label\n"
    os.close(reading)


@pytest.mark.parametrize("read", [read_labels, read_poses])
def test_csv_files(read: Callable[[Path], object], irregular: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read(irregular)


def test_an_image_is_listed_and_says_why_it_cannot_be_read(make: Make, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "faces", 2)
    make(folder / "odd.jpg")
    with open_source(folder) as source:
        names = source.names()
        assert list(names)[:2] == ["000001.jpg", "000002.jpg"]
        assert source.read("000001.jpg")
        for name in names[2:]:
            with pytest.raises((ImageError, DatasetError), match=r"odd\.jpg"):
                source.read(name)


def test_a_data_set_that_is_no_file(irregular: Path) -> None:
    with pytest.raises(DatasetError, match="irregular"):
        open_source(irregular)


def test_a_link_to_a_folder_in_a_circle(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "faces", 1)
    (folder / "again").symlink_to(folder)
    (folder / "circle").symlink_to("circle")
    with open_source(folder) as source:
        assert source.names() == ["000001.jpg"]


def test_text_files_beside_the_images(make: Make, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "faces", 1)
    file = folder / "list_attr_celeba.txt"
    make(file)
    if file.exists() and not file.is_dir():
        with pytest.raises(DatasetError, match="list_attr_celeba"):
            read_tables(folder)
    else:  # as if there were none
        assert read_tables(folder).attributes is None


@pytest.mark.parametrize(
    "name",
    [
        "unet/config.json",
        "scheduler/scheduler_config.json",
        "unet/diffusion_pytorch_model.safetensors.index.json",
        "directions/directions.json",
        "directions/directions.safetensors",
        "embedding/embedding.json",
        "embedding/unet/config.json",
        "embedding/unet/diffusion_pytorch_model.safetensors",
    ],
)
def test_model_folders(make: Make, tmp_path: Path, name: str) -> None:
    model = _model_folder(tmp_path / "model")
    file = model / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    make(file)
    if file.name == "directions.safetensors":
        (file.parent / "directions.json").write_text("{}")
    _read_all(model)


@pytest.mark.parametrize(
    "name",
    [
        "unet/config.json",
        "scheduler/scheduler_config.json",
        "unet/diffusion_pytorch_model.safetensors.index.json",
        "directions/directions.json",
        "embedding/embedding.json",
    ],
)
@pytest.mark.parametrize("text", [NESTED, '{"a":' * 60_000, "9" * 5_000, "[1]", "null", "\ufeff{}"])
def test_json_of_model_folders(tmp_path: Path, name: str, text: str) -> None:
    model = _model_folder(tmp_path / "model")
    (model / name).parent.mkdir(parents=True, exist_ok=True)
    (model / name).write_text(text, "utf-8")
    with pytest.raises(ModelError):
        _read_one_by_one(model, Path(name).parts[0])


def test_json_that_is_nested_too_deeply() -> None:
    with pytest.raises(ValueError, match="too deep"):
        parse_json(NESTED)


def test_a_path_in_a_circle_stays(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    assert real_path(tmp_path / "circle").name == "circle"
    assert real_path("~nobody-of-that-name/x").is_absolute()


def _model_folder(folder: Path) -> Path:
    """A copy of the bundled model of heads, with links to its large files."""
    for path in sorted((MODELS / DEFAULT).rglob("*")):
        target = folder / path.relative_to(MODELS / DEFAULT)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif path.name != "SHA256SUMS":
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".safetensors":
                target.symlink_to(path)
            else:
                target.write_bytes(path.read_bytes())
    return folder


def _read_all(model: Path) -> None:
    """Read every part; each is refused with an error of the engine, or is not there."""
    for part in ("unet", "directions", "embedding"):
        with contextlib.suppress(RotationError):
            _read_one_by_one(model, part)


def _read_one_by_one(model: Path, part: str) -> None:
    if part == "directions":
        load_directions(model, "content")
    elif part == "embedding":
        EmbeddingNetwork.load(model, device="cpu")
    else:
        open_folder(model)
        load_denoising(model, torch.device("cpu"))
