"""Training runs on tiny models: repeatable, resumable, honest about what they were given."""

import json
import os
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from rotation.diffusion.denoising import load_denoising
from rotation.diffusion.latent_model import LatentModel
from rotation.diffusion.model_folder import UNET_WEIGHTS
from rotation.errors import DatasetError, ModelError
from rotation.training.checkpoints import CHECKPOINT
from rotation.training.config import TrainingConfig
from rotation.training.export import export_model
from rotation.training.loop import learning_rate_factor, train
from rotation.training.losses import Batch, draw_batch, held_out_loss, power_table, training_loss
from rotation.training.previews import noise
from tests.rotation.modelling import (
    SIZE,
    gradients,
    tiny_config,
    tiny_denoising,
    tiny_folder,
    training_images,
)

PREDICTIONS = ["v_prediction", "epsilon", "sample"]


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in one order, so that equal runs are equal to the bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(out, resume=True, count=24, **settings):
    return train(tiny_config(**settings), training_images(count), out, resume=resume, quiet=True)


def log_of(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def assert_equal_files(first, second):
    ours, theirs = load_file(first), load_file(second)
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        assert torch.equal(value, theirs[key]), key


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_run_ends_with_a_model_sheets_and_figures(tmp_path, prediction):
    outcome = run(tmp_path, prediction=prediction)
    assert outcome.finished
    assert outcome.steps == 6
    model = LatentModel.load(outcome.model, "cpu", steps=3)
    assert model.decode(noise(2, SIZE)).shape == (2, 3, SIZE, SIZE)
    assert (tmp_path / "sheets" / "samples-0000006.png").is_file()
    assert (tmp_path / "sheets" / "reconstructions-0000006.png").is_file()
    (line,) = log_of(tmp_path)
    assert line["images"] == 24
    assert line["held_out_v_loss"] > 0


def test_a_run_that_holds_nobody_out_says_that_it_did_not_measure(tmp_path):
    outcome = run(tmp_path, holdout=0)
    assert log_of(tmp_path)[-1]["held_out_v_loss"] is None
    assert "v-loss not measured" in (outcome.model / "README.md").read_text()


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_training_lowers_the_held_out_loss(tmp_path, prediction):
    settings = {"prediction": prediction, "learning_rate": 3e-3, "ema": 0.5}
    images = training_images(24)
    before = held_out_loss(tiny_denoising(prediction=prediction), images.pixels)
    run(tmp_path, steps=40, **settings)
    after = held_out_loss(load_denoising(tmp_path / "model"), images.pixels)
    assert after < 0.8 * before


def test_a_run_in_two_sittings_ends_with_the_very_weights_of_one(tmp_path):
    """Budgets of steps decide the learning rate, so the first session is ended by a signal."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(whole, steps=8)
    interrupt_after(3, parts, steps=8)
    resumed = run(parts, steps=8)
    assert resumed.steps == 8
    assert_equal_files(whole / CHECKPOINT, parts / CHECKPOINT)
    assert_equal_files(whole / "model" / UNET_WEIGHTS, parts / "model" / UNET_WEIGHTS)


def interrupt_after(last, out, **settings):
    """Run until `last` steps are done, then signal the own process, as Ctrl-C does."""

    def interrupt(step, _):
        if step == last:
            os.kill(os.getpid(), signal.SIGINT)

    config, images = tiny_config(**settings), training_images(24)
    outcome = train(config, images, out, quiet=True, callback=interrupt)
    assert (outcome.steps, outcome.finished) == (last, False)


def test_equal_settings_give_equal_weights_and_another_seed_others(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(tmp_path / name, seed=seed)
    first, equal, other = (load_file(tmp_path / n / "model" / UNET_WEIGHTS) for n in "abc")
    assert all(torch.equal(value, equal[key]) for key, value in first.items())
    assert not all(torch.equal(value, other[key]) for key, value in first.items())


def test_a_finished_run_does_nothing_more_and_a_longer_budget_goes_on(tmp_path):
    run(tmp_path)
    before = (tmp_path / "log.jsonl").read_text()
    assert run(tmp_path).steps == 6
    assert (tmp_path / "log.jsonl").read_text() == before
    assert run(tmp_path, steps=9).steps == 9


def test_no_resume_begins_anew(tmp_path):
    run(tmp_path)
    run(tmp_path, resume=False, steps=4)
    assert [line["step"] for line in log_of(tmp_path)] == [4]


def test_other_settings_do_not_go_on_with_a_run(tmp_path):
    run(tmp_path)
    with pytest.raises(ModelError, match=r"batch_size was 4, is 8.*--no-resume"):
        run(tmp_path, batch_size=8)


def test_other_images_do_not_go_on_with_a_run(tmp_path):
    run(tmp_path)
    with pytest.raises(ModelError, match="images was 24, is 30"):
        run(tmp_path, count=30)


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path):
    run(tmp_path)
    data = (tmp_path / CHECKPOINT).read_bytes()
    (tmp_path / CHECKPOINT).write_bytes(data[:-100])
    with pytest.raises(ModelError, match=f"{CHECKPOINT} cannot be read"):
        run(tmp_path)


@pytest.mark.parametrize("patch", [1, 2])
def test_training_goes_on_from_another_model_with_its_architecture(tmp_path, patch):
    start = tiny_folder(tmp_path / "start", patch=patch, prediction="epsilon")
    outcome = run(tmp_path / "out", steps=1, learning_rate=1e-9, init=str(start))
    before, after = load_denoising(start), load_denoising(outcome.model)
    assert (after.prediction, after.patch) == ("epsilon", patch)
    for ours, theirs in zip(after.unet.parameters(), before.unet.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_the_average_smooths_the_weights(tmp_path):
    """With decay 0 the exported weights are the last ones; with decay they lag behind."""
    run(tmp_path / "last", ema=0.0)
    run(tmp_path / "mean", ema=0.9)
    last, mean = (load_file(tmp_path / n / CHECKPOINT) for n in ("last", "mean"))
    key = "conv_out.weight"
    assert torch.equal(last[f"average.{key}"], last[f"unet.{key}"])
    assert not torch.equal(mean[f"average.{key}"], mean[f"unet.{key}"])
    assert torch.equal(mean[f"unet.{key}"], last[f"unet.{key}"])


def test_the_learning_rate_warms_up_stays_and_falls_to_zero():
    config = tiny_config(warmup=10, decay_from=0.5)
    assert learning_rate_factor(config, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate_factor(config, 9, 0.1) == learning_rate_factor(config, 500, 0.5) == 1
    assert learning_rate_factor(config, 900, 0.75) == pytest.approx(0.5)
    assert (
        learning_rate_factor(config, 999, 1.0)
        == learning_rate_factor(config, 1200, 1.3)
        == pytest.approx(0)
    )


def test_a_batch_mirrors_half_its_images_and_spreads_its_times():
    images = (gradients(400) * 255).byte()
    batch = draw_batch(images, torch.Generator().manual_seed(0), 1000)
    plain = images.float() / 127.5 - 1
    as_is = (batch.x == plain).flatten(1).all(1)
    mirrored = (batch.x == plain.flip(-1)).flatten(1).all(1)
    assert (as_is | mirrored).all()
    assert 0.4 < as_is.float().mean() < 0.6
    counts = torch.histc(batch.times.float(), bins=40, min=0, max=1000)
    assert (counts - 10).abs().max() <= 1
    assert batch.times.min() >= 0
    assert batch.times.max() < 1000


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_loss_is_the_error_of_the_networks_own_prediction(prediction):
    """A network that says nothing is wrong by the mean square of what it should have said."""
    model = tiny_denoising(prediction=prediction)
    for parameter in model.unet.conv_out.parameters():
        parameter.zero_()
    batch = draw_batch((gradients(8) * 255).byte(), torch.Generator().manual_seed(1), 1000)
    signal, sigma = power_table(model.schedule, model.device)[:, batch.times, None, None, None]
    targets = {
        "epsilon": batch.noise,
        "sample": batch.x,
        "v_prediction": signal * batch.noise - sigma * batch.x,
    }
    loss = training_loss(model, batch, power_table(model.schedule, model.device))
    torch.testing.assert_close(loss, targets[prediction].square().mean())


def test_the_held_out_loss_is_the_same_every_time_and_in_units_of_v():
    """From time 500 on, an error in eps counts more in v: it is divided by the signal."""
    images = (gradients(70) * 255).byte()
    model = tiny_denoising()
    assert held_out_loss(model, images) == held_out_loss(model, images)
    silent = tiny_denoising(prediction="epsilon")
    for parameter in silent.unet.conv_out.parameters():
        parameter.zero_()
    batch = draw_batch(images, torch.Generator().manual_seed(20_230_806), 1000)
    signal = power_table(silent.schedule, silent.device)[0, batch.times, None, None, None]
    expected = (batch.noise / signal).square().mean().item()
    assert held_out_loss(silent, images) == pytest.approx(expected, rel=1e-3)


def test_batches_move_between_devices_whole():
    batch = draw_batch((gradients(2) * 255).byte(), torch.Generator().manual_seed(0), 10)
    moved = batch.to(torch.device("cpu"))
    assert isinstance(moved, Batch)
    assert torch.equal(moved.times, batch.times)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": None}, "budget"),
        ({"prediction": "flow"}, "prediction"),
        ({"width": (16, 20)}, "multiple of 16"),
        ({"width": (16,)}, "last of them at least 32; not 16"),
        ({"width": (16, 16)}, "last of them at least 32; not 16,16"),
        ({"width": (0, 32)}, "multiple of 16"),
        ({"width": ()}, "not none"),
        ({"patch": 0}, "patch"),
        ({"image_size": 0}, "image_size"),
        ({"image_size": 18}, "multiple of 4"),
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate": -1.0}, "learning_rate"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ModelError, match=message):
        tiny_config(**settings)


def test_images_of_another_size_are_refused(tmp_path):
    with pytest.raises(ModelError, match="32"):
        train(tiny_config(), training_images(24, size=32), tmp_path, quiet=True)


def test_too_few_images_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"too few .* Give a smaller --holdout"):
        run(tmp_path, count=4)


def test_latents_of_a_sheet_depend_on_their_number_alone():
    assert torch.equal(noise(5, SIZE)[3], noise(4, SIZE)[3])
    assert not torch.equal(noise(1, SIZE, seed=1), noise(1, SIZE, seed=2))


def test_the_model_card_tells_how_the_model_came_about(tmp_path):
    outcome = run(tmp_path)
    card = (outcome.model / "README.md").read_text()
    line = log_of(tmp_path)[-1]
    assert "20 images to train on, 4 held out" in card
    assert str(line["held_out_v_loss"]) in card
    assert str(tmp_path) not in card


def test_an_export_replaces_the_one_before_whole(tmp_path):
    folder = tiny_folder(tmp_path / "m", seed=0)
    (folder / "left over").touch()
    export_model(folder, tiny_denoising(seed=1), "new")
    assert not (folder / "left over").exists()
    assert not list(tmp_path.glob("*.partial"))
    LatentModel.load(folder, "cpu")


def test_settings_are_kept_as_they_were(tmp_path):
    config = tiny_config()
    assert config.to_dict()["width"] == [16, 32]
    assert TrainingConfig(**{**config.to_dict(), "width": (16, 32)}) == config
    assert replace(config, seed=1) != config
