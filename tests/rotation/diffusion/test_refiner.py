"""The refiner: started from a smaller network, guided, and found beside its model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import interpolate

from rotation.diffusion.denoising import Denoising, load_denoising
from rotation.diffusion.latent_model import LatentModel
from rotation.diffusion.model_folder import UNET_WEIGHTS
from rotation.diffusion.refiner import PLANES, Refiner, stack_guides
from rotation.errors import ModelError
from tests.rotation.modelling import SIZE, add_refiner, tiny_folder, tiny_refiner

LARGE = 2 * SIZE


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder without a refiner."""
    return tiny_folder(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture(scope="module")
def denoising(model: Path) -> Denoising:
    """A refiner that starts from the model."""
    return tiny_refiner(model)


def test_it_begins_with_what_the_smaller_network_knows(model: Path, denoising: Denoising) -> None:
    torch.manual_seed(1)
    small = torch.randn(2, 3, SIZE, SIZE)
    guides = torch.rand(2, PLANES - 3, LARGE, LARGE)
    times = torch.tensor([30, 700])
    known = load_denoising(model).predict(small, times)
    large = torch.cat([interpolate(small, scale_factor=2), guides], dim=1)
    with torch.no_grad():
        found = denoising.predict(large, times)
    torch.testing.assert_close(found, -interpolate(known, scale_factor=2), atol=1e-5, rtol=1e-5)


def test_known_pixels_are_held(denoising: Denoising) -> None:
    images = torch.rand(3, 3, LARGE, LARGE)
    known = torch.zeros(3, 1, LARGE, LARGE)
    known[..., : SIZE // 2] = 1
    drawn = Refiner(denoising).draw(images, known, torch.tensor([-20.0, 0.0, 20.0]))
    seen = known.expand_as(images) == 1
    torch.testing.assert_close(drawn[seen], images[seen], atol=1e-5, rtol=0)
    assert (drawn - images)[~seen].abs().mean() > 0.01


def test_mirrored_guides_are_the_guides_of_the_mirrored_head() -> None:
    images, known = torch.rand(1, 3, 8, 8), torch.rand(1, 1, 8, 8)
    guides = stack_guides(images, known, torch.tensor([30.0]))
    other = stack_guides(images.flip(-1), known.flip(-1), torch.tensor([-30.0]))
    mirrored = guides.flip(-1)
    mirrored[:, 4] *= -1
    torch.testing.assert_close(other, mirrored)
    assert guides.abs().max() <= 1


def test_a_refiner_is_found_beside_its_model(model: Path, tmp_path: Path) -> None:
    assert LatentModel.load(model).refiner is None
    folder = tiny_folder(tmp_path / "model")
    before = LatentModel.load(folder).fingerprint
    add_refiner(folder)
    loaded = LatentModel.load(folder)
    assert loaded.refiner is not None
    assert loaded.refiner.image_size == LARGE
    assert loaded.fingerprint == before  # latents that were stored before stay usable
    assert LatentModel.load(folder, refine=False).refiner is None
    with pytest.raises(ModelError, match="refiner; give the model"):
        LatentModel.load(folder / "refiner")
    (folder / "refiner" / UNET_WEIGHTS).write_bytes(b"no weights")
    with pytest.raises(ModelError, match="safetensors"):
        _ = LatentModel.load(folder).refiner


def test_a_plain_model_is_no_refiner(tmp_path: Path) -> None:
    tiny_folder(tmp_path / "refiner")
    with pytest.raises(ModelError, match="planes of a refiner"):
        Refiner.load(tmp_path)
