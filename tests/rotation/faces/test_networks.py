"""The bundled networks: the mesh of a face and the matte of a person."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rotation.errors import ImageError, ModelError
from rotation.faces.face_mesh import (
    CHIN,
    FOREHEAD,
    LEFT_EAR,
    NOSE_TIP,
    POINTS,
    RIGHT_EAR,
    FaceMesh,
    find_mesh,
)
from rotation.faces.layer_graph import LayerGraph, load_network
from rotation.faces.person_matte import find_matte
from tests.rotation.geometry.conftest import render_photograph

BOX = (47.5, 68.0, 130.5, 182.0)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return render_photograph(901)


@pytest.fixture(scope="module")
def mesh(pixels: np.ndarray) -> FaceMesh:
    return find_mesh(pixels, BOX)


def test_a_mesh_lies_on_the_face(mesh: FaceMesh) -> None:
    points = mesh.points
    assert points.shape == (POINTS, 3)
    assert points[LEFT_EAR, 0] < points[NOSE_TIP, 0] < points[RIGHT_EAR, 0]
    assert points[FOREHEAD, 1] < points[NOSE_TIP, 1] < points[CHIN, 1]
    assert points[NOSE_TIP, 2] > points[[LEFT_EAR, RIGHT_EAR], 2].max()  # nearer to the camera


def test_a_mirrored_photograph_has_the_mirrored_mesh(pixels: np.ndarray, mesh: FaceMesh) -> None:
    width = pixels.shape[1]
    box = (width - BOX[2], BOX[1], width - BOX[0], BOX[3])
    other = find_mesh(np.ascontiguousarray(pixels[:, ::-1]), box)
    assert other.yaw_deg == pytest.approx(-mesh.yaw_deg, abs=1e-3)
    assert other.points[NOSE_TIP, 0] == pytest.approx(width - mesh.points[NOSE_TIP, 0], abs=1e-3)


def test_a_mesh_does_not_depend_on_scale_or_the_box(pixels: np.ndarray, mesh: FaceMesh) -> None:
    large = np.asarray(Image.fromarray(pixels).resize((178 * 4, 218 * 4), Image.Resampling.BICUBIC))
    found = find_mesh(large, tuple(4 * (v + 8) for v in BOX))
    assert np.abs(found.points / 4 - mesh.points)[:, :2].max() < 1.5


def test_a_wall_is_no_face() -> None:
    with pytest.raises(ImageError, match="No face"):
        find_mesh(np.full((200, 200, 3), 128, np.uint8), (50, 50, 150, 150))


def test_a_matte_holds_the_head_and_not_the_corners(pixels: np.ndarray) -> None:
    matte = find_matte(pixels)
    assert matte.shape == pixels.shape[:2]
    assert matte[110, 89] > 0.9
    assert matte[:15].max() < 0.2
    mirrored = find_matte(np.ascontiguousarray(pixels[:, ::-1]))[:, ::-1]
    assert np.allclose(matte, mirrored, atol=1e-3)


def test_same_padding_is_that_of_tensorflow() -> None:
    """An even image and stride 2: the missing zero stands right and below."""
    config = {
        "size": [4, 4],
        "input": 0,
        "outputs": [1],
        "steps": [{"op": "conv", "from": [0], "to": 1, "stride": 2, "padding": "same"}],
    }
    weights = {"1.weight": torch.ones(1, 1, 3, 3), "1.bias": torch.zeros(1)}
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    result = LayerGraph(config, weights)(image)[0]
    assert result[0, 0].tolist() == [[45, 39], [66, 50]]


@pytest.mark.parametrize("name", ["face-mesh", "person-matte"])
def test_networks_take_batches(name: str) -> None:
    network = load_network(name)
    images = torch.rand(3, 3, *network.size)
    with torch.no_grad():
        together = network(images)[0]
        alone = torch.cat([network(image[None])[0] for image in images])
    assert torch.allclose(together, alone, atol=1e-4)


@pytest.mark.parametrize("yaw", [-35.0, -20.0, 0.0, 20.0, 35.0])
def test_a_deeper_relief_keeps_the_yaw_and_the_places(yaw: float) -> None:
    mesh = find_mesh(render_photograph(901, yaw), (40, 60, 140, 190))
    deeper = mesh.scaled_depth(1.5)
    assert deeper.yaw_deg == pytest.approx(mesh.yaw_deg, abs=0.1)
    assert np.array_equal(deeper.points[:, :2], mesh.points[:, :2])
    assert relief(deeper) > 1.2 * relief(mesh)


def relief(mesh: FaceMesh) -> float:
    """How far the tip of the nose stands out of the face, in face widths."""
    forward = np.array([-mesh.across[2], 0, mesh.across[0]])
    step = (mesh.points[NOSE_TIP] - mesh.middle) @ forward
    return float(step / np.linalg.norm(mesh.points[RIGHT_EAR] - mesh.points[LEFT_EAR]))


def test_a_missing_network_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rotation.faces.layer_graph.NETWORKS", tmp_path)
    load_network.cache_clear()
    with pytest.raises(ModelError, match=r"face-mesh is missing.*Install Sidelight anew"):
        load_network("face-mesh")
