"""The ways from image to latent behind one interface, on tiny networks."""

import json
import shutil
from dataclasses import dataclass, replace

import pytest
import torch

from rotation.diffusion.denoising import load_denoising
from rotation.diffusion.inversion import TOLERANCE
from rotation.diffusion.latent_model import LatentModel
from rotation.diffusion.model_folder import CHECKSUMS, UNET_WEIGHTS, content_hash
from rotation.errors import ModelError
from rotation.latents.encoder_network import (
    FOLDER,
    SETTINGS,
    EmbeddingNetwork,
    copy_network,
    has_network,
)
from rotation.latents.encoders import (
    ExactInversionEncoder,
    NetworkEncoder,
    RefinedEncoder,
    build_codec,
)
from rotation.latents.refinement import refine_by_gradient
from rotation.latents.store import LatentStore
from rotation.training.config import adopt_architecture
from rotation.training.encoder_task import EmbeddingTask, scaled_error
from rotation.training.export import export_model
from rotation.training.loop import train
from rotation.training.previews import unseen_heads
from tests.rotation.modelling import (
    SIZE,
    add_network,
    gradients,
    tiny_config,
    tiny_denoising,
    tiny_folder,
    training_images,
)

STEPS = 3


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_smooth_latents_give_heads_back_better_for_the_same_cost():
    """As many evaluations as the usual inversion, half its error at most, smaller latents."""
    model, heads = LatentModel.load(device="cpu"), unseen_heads(4, 64)
    smooth = build_codec(model, "smooth")
    z, naive = smooth.encode(heads), model.encode(heads, iterations=0)
    errors = [(model.decode(latents) - heads).square().mean() for latents in (z, naive)]
    assert errors[0] < 0.5 * errors[1]
    assert z.square().mean() < naive.square().mean()
    sharp = smooth.encode_source(heads)  # between the smooth latent and the exact one
    torch.testing.assert_close(sharp * 2 - z, model.encode_exactly(heads).z, atol=1e-4, rtol=0)
    assert (model.decode(sharp) - heads).square().mean() < 0.6 * errors[0]
    prints = {smooth.fingerprint, smooth.source_fingerprint, model.fingerprint}
    assert len(prints | {model.exact_fingerprint}) == 4


def test_the_bundled_network_gives_heads_back_by_one_evaluation():
    model, heads = LatentModel.load(device="cpu"), unseen_heads(6, 64)
    network = build_codec(model, "network")
    again = model.decode(network.encode(heads))
    assert (again - heads).square().mean() < 0.004  # 0.002 of 64, the card says
    with pytest.raises(ModelError, match="trained through 10 steps"):
        build_codec(LatentModel.load(device="cpu", steps=5), "network")


def calm_folder(path, **settings):
    """A model whose predictions are small, as training makes them: inversion converges."""
    denoising = tiny_denoising(**settings)
    denoising.unet.conv_out.weight.mul_(0.05)
    return export_model(path, denoising, "A model for tests.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder with an embedding network."""
    home = calm_folder(tmp_path_factory.mktemp("models") / "calm")
    add_network(home, STEPS)
    return home


@pytest.fixture(scope="module")
def model(folder):
    return LatentModel.load(folder, "cpu", steps=STEPS, iterations=2)


def loss(model, z, images):
    return (model.decode(z) - images).square().mean().item()


def test_every_way_gives_latents_that_do_not_depend_on_neighbours(folder, model):
    images = gradients(3)
    for way in ("inversion", "network", "refined"):
        encoder = build_codec(model, way, folder)
        # A search that ends at a tolerance may, by rounding, end an evaluation earlier or later.
        for encode, atol in ((encoder.encode, 1e-4), (encoder.encode_source, 10 * TOLERANCE)):
            z = encode(images)
            assert z.shape == (3, 3, SIZE, SIZE)
            assert not z.requires_grad
            torch.testing.assert_close(z[1:2], encode(images[1:2]), rtol=0, atol=atol)
        assert encoder.encode(images[:0]).shape == (0, 3, SIZE, SIZE)
    # Far below its tolerance the search, too, gives the same beside any others.
    whole, alone = (model.encode_exactly(part, tolerance=1e-5).z for part in (images, images[1:2]))
    torch.testing.assert_close(whole[1:2], alone, rtol=0, atol=1e-4)


def test_the_source_is_inverted_exactly_and_the_clusters_cheaply(folder, model):
    images, encoder = gradients(2), build_codec(model, "inversion", folder)
    assert loss(model, encoder.encode_source(images), images) < 1e-6
    torch.testing.assert_close(encoder.encode(images), model.encode(images))


def test_ways_do_not_share_stored_latents(folder, model):
    ways = [build_codec(model, way, folder) for way in ("inversion", "network", "refined")]
    exact = replace(ways[0], clusters=ExactInversionEncoder(model))
    assert ways[0].fingerprint == model.fingerprint
    assert len({encoder.fingerprint for encoder in [*ways, exact]}) == 4
    more = replace(ways[2], clusters=RefinedEncoder(model, ways[1].clusters, steps=11))
    assert more.fingerprint != ways[2].fingerprint


@pytest.mark.parametrize("method", ["adam", "sweep"])
def test_refinement_betters_its_start(folder, model, method):
    images = gradients(2)
    start = NetworkEncoder(EmbeddingNetwork.load(folder, "cpu"))
    refined = RefinedEncoder(model, start, steps=8, method=method, rate=0.05)
    assert loss(model, refined(images), images) < 0.7 * loss(model, start(images), images)


def test_the_penalty_keeps_latents_small(model):
    images, z = gradients(1), torch.randn(1, 3, SIZE, SIZE)
    free = refine_by_gradient(model, z, images, 20, 0.05, penalty=0.0)
    tied = refine_by_gradient(model, z, images, 20, 0.05, penalty=5.0)
    assert tied.norm() < free.norm()


def test_a_network_for_other_weights_or_steps_is_refused(folder, model, tmp_path):
    with pytest.raises(ModelError, match="through 3 steps"):
        build_codec(LatentModel.load(folder, "cpu", steps=5), "network", folder)
    plain = calm_folder(tmp_path / "plain")
    with pytest.raises(ModelError, match="no embedding network"):
        EmbeddingNetwork.load(plain, "cpu")
    settings = {"model": "0" * 64, "time": 127, "steps": STEPS}
    export_model(plain / FOLDER, load_denoising(plain), "Embeds.", {SETTINGS: settings})
    with pytest.raises(ModelError, match="other weights"):
        EmbeddingNetwork.load(plain, "cpu")
    settings = {"model": content_hash(plain), "time": 5000, "steps": STEPS}
    export_model(plain / FOLDER, load_denoising(plain), "Embeds.", {SETTINGS: settings})
    with pytest.raises(ModelError, match="no time 5000"):
        EmbeddingNetwork.load(plain, "cpu")
    (plain / FOLDER / CHECKSUMS).unlink()
    (plain / FOLDER / SETTINGS).write_text(json.dumps({"time": "soon"}))
    with pytest.raises(ModelError, match="cannot be read"):
        EmbeddingNetwork.load(plain, "cpu")


def test_a_copy_of_a_model_keeps_its_network(folder, tmp_path):
    """Also in another precision, in which the weights have another hash."""
    export_model(tmp_path / "copy", load_denoising(folder), "A copy.")
    assert not has_network(tmp_path / "copy", STEPS)
    copy_network(folder, tmp_path / "copy")
    assert has_network(tmp_path / "copy", STEPS)
    assert not has_network(tmp_path / "copy", STEPS + 1)
    images = gradients(2)
    networks = [EmbeddingNetwork.load(one, "cpu") for one in (folder, tmp_path / "copy")]
    first, second = (NetworkEncoder(network)(images) for network in networks)
    torch.testing.assert_close(first, second)
    other = calm_folder(tmp_path / "other", width=(16, 48))
    shutil.copytree(folder / FOLDER, other / FOLDER)
    assert not has_network(other, STEPS)  # it belongs to other weights
    copy_network(other, export_model(tmp_path / "more", load_denoising(other), "A copy."))
    assert not (tmp_path / "more" / FOLDER).exists()


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_training_lowers_the_loss_of_both_stages(tmp_path, share, monkeypatch):
    monkeypatch.setattr("rotation.training.encoder_task.FIRST_SHARE", 1.0 if share == 0.0 else 0.0)
    home, losses = calm_folder(tmp_path / "m"), []
    config = tiny_config(init=str(home), steps=30, learning_rate=2e-3)
    task = EmbeddingTask(home, STEPS, "cpu")
    train(
        config,
        training_images(24),
        tmp_path / "run",
        quiet=True,
        callback=lambda _, loss: losses.append(loss),
        task=task,
    )
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_a_trained_network_is_exported_whole_and_an_interrupted_run_goes_on(tmp_path):
    home, images = calm_folder(tmp_path / "m"), training_images(24)
    config = tiny_config(init=str(home), steps=4)

    def run(out, steps):
        task = EmbeddingTask(home, STEPS, "cpu")
        return train(replace(config, steps=steps), images, out, quiet=True, task=task)

    done = run(tmp_path / "once", 4)
    (home / FOLDER).mkdir()
    for path in done.model.rglob("*"):
        if path.is_file():
            target = home / FOLDER / path.relative_to(done.model)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    network = EmbeddingNetwork.load(home, "cpu")
    assert network.steps == STEPS
    assert NetworkEncoder(network)(gradients(2)).shape == (2, 3, SIZE, SIZE)
    again = run(tmp_path / "again", 4)
    assert (again.model / UNET_WEIGHTS).read_bytes() == (done.model / UNET_WEIGHTS).read_bytes()
    assert "Held out" in (done.model / "README.md").read_text()


def test_a_network_may_be_narrower_than_its_model(tmp_path):
    home, small = calm_folder(tmp_path / "m", width=(16, 48)), calm_folder(tmp_path / "s")
    config = adopt_architecture(tiny_config(init=str(small), steps=2))
    task = EmbeddingTask(home, STEPS, "cpu")
    task.check_start(config)
    done = train(config, training_images(24), tmp_path / "run", quiet=True, task=task)
    shutil.copytree(done.model, home / FOLDER)
    assert NetworkEncoder(EmbeddingNetwork.load(home, "cpu"))(gradients(2)).shape == (
        2,
        3,
        SIZE,
        SIZE,
    )
    size = (home / FOLDER / UNET_WEIGHTS).stat().st_size
    assert size == (small / UNET_WEIGHTS).stat().st_size < (home / UNET_WEIGHTS).stat().st_size


def test_a_network_for_other_pictures_is_no_start(tmp_path):
    home = calm_folder(tmp_path / "m")
    other = adopt_architecture(tiny_config(init=str(tiny_folder(tmp_path / "s", image_size=32))))
    with pytest.raises(ModelError, match="of 32 pixels, the model of 16"):
        EmbeddingTask(home, STEPS, "cpu").check_start(other)


def test_a_run_of_the_other_kind_is_not_gone_on_with(tmp_path):
    home, images = calm_folder(tmp_path / "m"), training_images(24)
    config = tiny_config(init=str(home), steps=2)
    train(config, images, tmp_path / "run", quiet=True)
    with pytest.raises(ModelError, match="task was denoising"):
        train(config, images, tmp_path / "run", quiet=True, task=EmbeddingTask(home, 3, "cpu"))


def test_scaled_error_counts_coarse_errors_more_than_fine_ones_of_the_same_size():
    coarse = torch.ones(1, 3, SIZE, SIZE)
    fine = coarse.clone()
    fine[..., ::2] = -1
    assert scaled_error(coarse) > 10 * scaled_error(fine)
    noise = torch.randn(8, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    assert scaled_error(noise) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def test_bfloat16_moves_images_by_less_than_a_grey_level_and_latents_by_a_hundredth(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    images = unseen_heads(1, 64)
    full, half = (LatentModel.load(None, device, bf16=bf16) for bf16 in (False, True))
    z = full.encode_exactly(images).z
    assert (half.decode(z) - images).abs().mean() < 1 / 255
    near = half.encode_exactly(images, bf16=True)
    assert (near.residual <= 4e-3).all()
    assert (half.decode(near.z) - images).square().mean() < 3e-6


def test_the_source_is_embedded_once_and_apart_from_the_clusters(folder, model, tmp_path):
    images = (gradients(2) * 255).round() / 255
    asked = []

    @dataclass(frozen=True)
    class Counting:
        settings: str = "counting"

        def __call__(self, images):
            asked.append(len(images))
            return model.encode_exactly(images).z

    encoder = build_codec(model, "inversion", folder)
    store = LatentStore(tmp_path, encoder.source_fingerprint, (3, SIZE, SIZE))
    kept = replace(encoder, source=Counting()).with_source_cache(store)
    first, again = kept.encode_source(images), kept.encode_source(images)
    assert asked == [2]
    assert torch.equal(first, again)
    assert (first - encoder.encode_source(images)).abs().max() < 0.01  # float16
    assert encoder.source_fingerprint != encoder.fingerprint
    other = LatentModel.load(folder, "cpu", steps=STEPS, iterations=9)
    assert build_codec(other, "inversion").source_fingerprint == encoder.source_fingerprint
    by_network = build_codec(model, "network", folder)
    assert by_network.source_fingerprint == by_network.fingerprint
