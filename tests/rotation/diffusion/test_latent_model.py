"""Model folders: opened, understood, refused; images to latents and back."""

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline
from PIL import Image
from safetensors.torch import load_file, save_file

from rotation.diffusion import ddim
from rotation.diffusion.devices import choose_device
from rotation.diffusion.latent_model import LatentModel
from rotation.diffusion.model_folder import (
    CHECKSUMS,
    UNET_CONFIG,
    UNET_SHARDS,
    UNET_WEIGHTS,
    find_model,
)
from rotation.errors import ModelError
from rotation.training import export
from rotation.training.previews import unseen_heads
from tests.rotation.modelling import SIZE, gradients, tiny_denoising, tiny_folder

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
needs_shared = pytest.mark.skipif(
    not (SHARED / "ddim64_start").is_dir(), reason="needs ../shared/data/ddim64_start"
)
MSE_OF_THE_README = 0.0048  # three corrections a step


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def broken(tmp_path):
    """A model folder to damage; without checksums, so that the damage itself is found."""
    path = tiny_folder(tmp_path / "tiny")
    (path / CHECKSUMS).unlink()
    return path


@pytest.fixture(scope="module")
def model(folder):
    return LatentModel.load(folder, "cpu")


def noise(count, size=SIZE, seed=0):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_latents_have_the_shape_of_images_whatever_the_blocks(tmp_path, patch):
    model = LatentModel.load(tiny_folder(tmp_path / "m", patch=patch), "cpu", steps=3)
    assert model.image_size == SIZE
    images = model.decode(noise(2))
    assert images.shape == (2, 3, SIZE, SIZE)
    assert images.dtype == torch.float32
    assert 0 <= images.min() < images.max() <= 1
    assert model.encode(images).shape == (2, 3, SIZE, SIZE)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_each_kind_of_prediction_decodes_what_it_encoded(prediction):
    denoising = tiny_denoising(prediction=prediction)
    denoising.unet.conv_out.weight.mul_(0.01)  # calm, as training makes it: corrections converge
    model, images = LatentModel(denoising), gradients(1)
    again = model.decode(model.encode(images, iterations=40))
    assert (again - images).abs().max() < 5e-3


def test_more_corrections_lose_less(model):
    images = gradients(4)
    errors = [
        (model.decode(model.encode(images, iterations=count)) - images).square().mean().item()
        for count in (0, 2, 8)
    ]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_the_noise_agrees_with_what_the_network_says(prediction):
    """x_t = a x_0 + sigma eps and v = a eps - sigma x_0 hold for the outputs, whatever is said."""
    denoising = tiny_denoising(prediction=prediction)
    x, time = noise(2), 400
    output = denoising.predict(x, torch.full((2,), time))
    eps = denoising.eps(x, time)
    signal, sigma = denoising.schedule.signal(time), denoising.schedule.noise(time)
    clean = (x - sigma * eps) / signal
    said = {"epsilon": eps, "sample": clean, "v_prediction": signal * eps - sigma * clean}
    torch.testing.assert_close(said[prediction], output, rtol=1e-4, atol=1e-4)


def test_decoding_is_sampling_with_the_models_own_noise(model):
    z = noise(2)
    with torch.inference_mode():
        x = ddim.sample(model.eps, z, model.schedule, model.times)
    torch.testing.assert_close(model.decode(z), ((x + 1) / 2).clamp(0, 1))


def test_an_image_is_the_same_in_any_batch(model):
    z = noise(70)  # more than go through the network at once
    together, alone = model.decode(z), model.decode(z[66:67])
    torch.testing.assert_close(together[66:67], alone, rtol=0, atol=1e-5)
    images = gradients(3)
    torch.testing.assert_close(
        model.encode(images)[1:2], model.encode(images[1:2]), rtol=0, atol=1e-4
    )


def test_no_images_give_no_latents(model):
    assert model.encode(torch.zeros(0, 3, SIZE, SIZE)).shape == (0, 3, SIZE, SIZE)
    assert model.decode(torch.zeros(0, 3, SIZE, SIZE)).shape == (0, 3, SIZE, SIZE)


def test_fingerprints_tell_models_and_samplers_apart(folder, tmp_path):
    other = tiny_folder(tmp_path / "other", seed=1)
    prints = {
        LatentModel.load(folder, "cpu").fingerprint,
        LatentModel.load(other, "cpu").fingerprint,
        LatentModel.load(folder, "cpu", steps=5).fingerprint,
        LatentModel.load(folder, "cpu", iterations=1).fingerprint,
    }
    assert len(prints) == 4
    assert LatentModel.load(folder, "cpu").fingerprint in prints
    renamed = tiny_folder(tmp_path / "renamed")
    assert LatentModel.load(renamed, "cpu").fingerprint in prints


def test_a_model_of_plain_rgb_opens_in_diffusers_and_agrees(tmp_path):
    folder = tiny_folder(tmp_path / "rgb", patch=1)
    pipeline = DDIMPipeline.from_pretrained(folder)
    x = noise(1)
    theirs = pipeline.unet(x, 300).sample
    with torch.inference_mode():
        denoising = LatentModel.load(folder, "cpu").eps(x, 300)
    schedule = LatentModel.load(folder, "cpu").schedule
    wanted = schedule.signal(300) * theirs + schedule.noise(300) * x  # the network predicts v
    torch.testing.assert_close(denoising, wanted, rtol=1e-4, atol=1e-4)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"


def test_weights_are_half_precision_on_disk_and_single_in_use(folder):
    assert {w.dtype for w in load_file(folder / UNET_WEIGHTS).values()} == {torch.float16}
    assert LatentModel.load(folder, "cpu").decode(noise(1)).dtype == torch.float32


def test_bfloat16_moves_pixels_by_little(folder, model):
    quick = LatentModel.load(folder, "cpu", bf16=True)
    assert (quick.decode(noise(2)) - model.decode(noise(2))).abs().mean() < 0.02
    assert quick.fingerprint != model.fingerprint


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("unet/config.json", "no model folder"),
        ("scheduler/scheduler_config.json", "no model folder"),
        ("unet/diffusion_pytorch_model.safetensors", "safetensors"),
    ],
)
def test_missing_files_are_named(broken, missing, message):
    (broken / missing).unlink()
    with pytest.raises(ModelError, match=message):
        LatentModel.load(broken, "cpu")


def test_a_folder_that_is_not_there_is_no_model(tmp_path):
    with pytest.raises(ModelError, match="no model folder"):
        LatentModel.load(tmp_path / "nothing", "cpu")


def test_pickled_weights_are_not_read(broken):
    os.rename(broken / UNET_WEIGHTS, broken / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(ModelError, match="never pickles"):
        LatentModel.load(broken, "cpu")


def test_damaged_weights_are_refused(broken):
    data = (broken / UNET_WEIGHTS).read_bytes()
    (broken / UNET_WEIGHTS).write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="no readable safetensors"):
        LatentModel.load(broken, "cpu")


def test_checksums_find_a_changed_byte_and_a_missing_file(tmp_path):
    folder = tiny_folder(tmp_path / "tiny")
    data = bytearray((folder / UNET_WEIGHTS).read_bytes())
    data[-1] ^= 1
    (folder / UNET_WEIGHTS).write_bytes(data)
    with pytest.raises(ModelError, match="checksum"):
        LatentModel.load(folder, "cpu")
    (folder / UNET_WEIGHTS).unlink()
    with pytest.raises(ModelError, match="is missing"):
        LatentModel.load(folder, "cpu")


def test_weights_in_several_files_are_those_in_one(tmp_path, monkeypatch):
    whole = tiny_folder(tmp_path / "whole", patch=1)
    monkeypatch.setattr(export, "SHARD_BYTES", 40_000)
    parts = tiny_folder(tmp_path / "parts", patch=1)
    files = sorted(path.name for path in (parts / "unet").glob("*.safetensors"))
    assert len(files) > 2
    assert not (parts / UNET_WEIGHTS).exists()
    assert all((parts / "unet" / name).stat().st_size < 60_000 for name in files)
    listed = (parts / CHECKSUMS).read_text()
    assert all(name in listed for name in files)
    z, one, several = noise(2), LatentModel.load(whole, "cpu"), LatentModel.load(parts, "cpu")
    torch.testing.assert_close(several.decode(z), one.decode(z), rtol=0, atol=0)
    assert DDIMPipeline.from_pretrained(parts).unet.num_parameters() > 0
    (parts / "unet" / files[1]).unlink()
    with pytest.raises(ModelError, match=f"{files[1]} is missing"):
        LatentModel.load(parts, "cpu")


@pytest.mark.parametrize("listed", ['{"weight_map": {"a": "../x"}}', '{"weight_map": {}}', "[]"])
def test_a_list_of_shards_that_leads_elsewhere_or_nowhere_is_refused(broken, listed):
    (broken / UNET_SHARDS).write_text(listed)
    with pytest.raises(ModelError, match=r"index\.json"):
        LatentModel.load(broken, "cpu")


def test_a_bundled_model_opens_by_its_name_and_a_folder_goes_first(tmp_path, monkeypatch):
    assert find_model("synthetic-heads-64") == find_model()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "synthetic-heads-64").mkdir()
    assert find_model("synthetic-heads-64") == Path("synthetic-heads-64")
    with pytest.raises(ModelError, match=r"nor a bundled model \(.*synthetic-heads-64"):
        find_model("../models")


def test_weights_of_another_network_are_refused(broken):
    weights = load_file(broken / UNET_WEIGHTS)
    weights.pop("conv_in.bias")
    save_file(weights, broken / UNET_WEIGHTS)
    with pytest.raises(ModelError, match="does not fit"):
        LatentModel.load(broken, "cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_class_name": "UNet2DConditionModel"}, "UNet2DConditionModel"),
        ({"in_channels": 5, "out_channels": 5}, "5 was given"),
        ({"out_channels": 24}, "24 was given"),
        ({"down_block_types": ["NoSuchBlock", "DownBlock2D"]}, "NoSuchBlock"),
    ],
)
def test_networks_of_another_kind_are_refused(broken, changes, message):
    rewrite(broken / UNET_CONFIG, **changes)
    with pytest.raises(ModelError, match=message):
        LatentModel.load(broken, "cpu")


def test_an_unknown_prediction_is_refused(broken):
    rewrite(broken / "scheduler" / "scheduler_config.json", prediction_type="flow")
    with pytest.raises(ModelError, match="flow"):
        LatentModel.load(broken, "cpu")


def test_a_config_that_is_no_json_is_refused(broken):
    (broken / UNET_CONFIG).write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        LatentModel.load(broken, "cpu")


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (1, 1, SIZE, SIZE), (3, SIZE, SIZE)])
def test_images_of_another_shape_are_refused(model, shape):
    for function in (model.encode, model.decode):
        with pytest.raises(ModelError, match=rf"\(N, 3, {SIZE}, {SIZE}\)"):
            function(torch.zeros(shape))


def test_devices_are_chosen_or_named():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ModelError, match=r"'tpu'.*auto or cpu"):
        choose_device("tpu")
    with pytest.raises(ModelError, match="cuda:99"):
        choose_device("cuda:99")


def celeba_crops(*numbers):
    with zipfile.ZipFile(SHARED / "celeba10k" / "img_align_celeba.zip") as images:
        names = [f"img_align_celeba/{number:06d}.jpg" for number in numbers]
        faces = [Image.open(io.BytesIO(images.read(name))).crop((12, 28, 76, 92)) for name in names]
    pixels = torch.from_numpy(np.stack([np.asarray(face) for face in faces]))
    return pixels.permute(0, 3, 1, 2) / 255


@needs_shared
def test_the_first_real_face_model_keeps_its_figures():
    """Real faces it has not seen come back as well as its README says, or better."""
    pixels = celeba_crops(9501, 9700, 9900, 10000)
    model = LatentModel.load(SHARED / "ddim64_start", "cpu")
    again = model.decode(model.encode(pixels, iterations=3))
    assert (again - pixels).square().mean() < MSE_OF_THE_README


@pytest.mark.parametrize("part", [".", "refiner"])
def test_the_model_of_real_faces_is_whole_and_says_what_it_is_for(part):
    folder = find_model("celeba-64") / part
    weights = list((folder / "unet").glob("*.safetensors"))
    sizes = [path.stat().st_size for path in weights]
    assert max(sizes) <= 16_000_000
    assert sum(sizes) <= 40_000_000
    listed = (folder / CHECKSUMS).read_text()
    assert all(path.name in listed for path in weights)
    card = (folder / "README.md").read_text()
    assert all(word in card for word in ("non-commercial", "CelebA", "Start", "Limits"))


def test_the_model_of_real_faces_opens_with_its_refiner():
    model = LatentModel.load("celeba-64", "cpu")
    assert model.image_size == 64
    assert model.refiner is not None
    assert model.refiner.image_size == 128


@needs_shared
def test_real_faces_come_back_from_the_bundled_model():
    pixels = celeba_crops(9_998, 10_000)
    model = LatentModel.load("celeba-64", "cpu")
    again = model.decode(model.encode_source(pixels))
    assert (again - pixels).square().mean() < 1e-5


def test_the_bundled_model_is_small_and_keeps_heads_it_has_not_seen():
    folder = find_model()
    assert all(path.stat().st_size <= 8_000_000 for path in folder.rglob("*.safetensors"))
    assert (folder / CHECKSUMS).is_file()
    assert (folder / "README.md").is_file()
    model, heads = LatentModel.load(device="cpu"), unseen_heads(8, 64)
    z = model.encode(heads)
    assert (model.decode(z) - heads).square().mean() < 0.001
    assert z.square().mean().sqrt().item() == pytest.approx(1, abs=0.1)


def test_the_bundled_model_draws_heads():
    """What it draws is as bright, as coloured and as smooth as the heads it learned."""
    drawn, heads = LatentModel.load(device="cpu").decode(noise(12, 64)), unseen_heads(60, 64)

    def looks(images):
        roughness = (images.diff(dim=-1).abs().mean() / images.std()).item()
        middle = images[:, :, 16:48, 16:48].mean(dim=(0, 2, 3))
        return [*middle.tolist(), roughness]

    np.testing.assert_allclose(looks(drawn), looks(heads), atol=0.12)
