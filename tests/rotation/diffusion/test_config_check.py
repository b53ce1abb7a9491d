"""Configs of model folders: refused before anything is built, in one line that says what to do."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

from rotation.diffusers_pipeline import HeadRotationPipeline
from rotation.diffusion.config_check import check_network
from rotation.diffusion.denoising import build_denoising
from rotation.diffusion.latent_model import LatentModel
from rotation.diffusion.model_folder import SCHEDULER_CONFIG, UNET_CONFIG, UNET_WEIGHTS
from rotation.errors import ModelError
from tests.rotation.modelling import tiny_folder

SECONDS = 20.0
"""Far more than reading a config takes, and far less than building a network of absurd size."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model") / "sound")


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """A copy of a sound model folder without checksums."""
    for name in (UNET_CONFIG, SCHEDULER_CONFIG, UNET_WEIGHTS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((sound / name).read_bytes())
    return tmp_path


def change(path: Path, **values: Any) -> None:
    config = json.loads(path.read_text("utf-8")) | values
    path.write_text(json.dumps(config), "utf-8")


def refusal(folder: Path) -> str:
    """The one line that opening the folder fails with, in time."""
    started = time.monotonic()
    with pytest.raises(ModelError) as caught:
        LatentModel.load(folder, "cpu")
    assert time.monotonic() - started < SECONDS
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    return message


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("sample_size", 0, "a whole number from 1 to 1,024"),
        ("sample_size", 7, "multiples of 2 up to"),
        ("sample_size", None, "a whole number"),
        ("sample_size", [64, 32], "a whole number"),
        ("sample_size", 100_000, "a whole number from 1 to 1,024"),
        ("sample_size", "16", "a whole number"),
        ("sample_size", True, "a whole number"),
        ("sample_size", 16.0, "a whole number"),
        ("block_out_channels", [-16, 32], "each a whole number from 1 to 4,096"),
        ("block_out_channels", [16, 10**12], "each a whole number from 1 to 4,096"),
        ("block_out_channels", [16, 33], "multiples of norm_num_groups"),
        ("block_out_channels", [], "a list of 1 to 8"),
        ("block_out_channels", "16", "a list of 1 to 8"),
        ("block_out_channels", [16] * 400, "a list of 1 to 8"),
        ("down_block_types", ["DownBlock2D"], "a list of 2, as many as block_out_channels"),
        ("down_block_types", ["DownBlock2D", "CrossAttnDownBlock2D"], "AttnDownBlock2D"),
        ("layers_per_block", 0, "a whole number from 1 to 16"),
        ("layers_per_block", 10**9, "a whole number from 1 to 16"),
        ("norm_num_groups", 0, "a whole number from 1"),
        ("norm_num_groups", None, "a whole number from 1"),
        ("attention_head_dim", 64, "null, or 1 to 32"),
        ("in_channels", 5, "3 r^2"),
        ("out_channels", 6, "as many as in_channels"),
        ("class_embed_type", "timestep", "null"),
        ("num_class_embeds", 10, "null"),
        ("time_embedding_type", "fourier", "positional, learned"),
        ("act_fn", "none", "silu"),
        ("dropout", float("nan"), "a number from 0 to 1"),
        ("norm_eps", -1, "a number from"),
        ("mid_block_type", "UNetMidBlock2DCrossAttn", "UNetMidBlock2D, null"),
        ("norm_eps", 10**400, "a number from"),
        ("out_channels", 24, "learned variance"),
        ("attn_norm_num_groups", 3, "a divisor of 32"),
        ("num_class_embeds", "ten", "asks for a class"),
    ],
)
def test_a_network_that_cannot_be(folder: Path, key: str, value: Any, allowed: str) -> None:
    change(folder / UNET_CONFIG, **{key: value})
    message = refusal(folder)
    assert message.startswith(f"{folder / UNET_CONFIG}, key {key!r}: {repr(value)[:80]}")
    assert allowed in message


@pytest.mark.parametrize("key", ["sample_size", "block_out_channels", "in_channels"])
def test_a_network_without_a_key(folder: Path, key: str) -> None:
    config = json.loads((folder / UNET_CONFIG).read_text("utf-8"))
    del config[key]
    (folder / UNET_CONFIG).write_text(json.dumps(config), "utf-8")
    assert f"key {key!r}: it is missing" in refusal(folder)


def test_a_network_larger_than_any_memory(folder: Path) -> None:
    wide = {
        "block_out_channels": [4096] * 8,
        "down_block_types": ["DownBlock2D"] * 8,
        "up_block_types": ["UpBlock2D"] * 8,
        "sample_size": 256,
    }
    change(folder / UNET_CONFIG, **wide)
    assert "billion parameters" in refusal(folder)


def test_attention_larger_than_any_memory(folder: Path) -> None:
    attention = {"down_block_types": ["AttnDownBlock2D"] * 2, "attention_head_dim": 8}
    change(folder / UNET_CONFIG, sample_size=256, **attention)
    assert "pairs of pixels" in refusal(folder)


def test_a_table_of_times_of_another_length(folder: Path) -> None:
    change(folder / UNET_CONFIG, time_embedding_type="learned", num_train_timesteps=10)
    assert "1,000, as in the scheduler's config" in refusal(folder)


def test_a_network_other_than_its_weights_is_never_allocated(folder: Path) -> None:
    change(folder / UNET_CONFIG, block_out_channels=[1024, 2048])
    assert "does not fit unet/config.json" in refusal(folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prediction_type": "velocity"}, "key 'prediction_type': 'velocity' was given; allowed: "),
        ({"prediction_type": None}, "key 'prediction_type': None was given; allowed: epsilon, "),
        ({"num_train_timesteps": 10**12}, "key 'num_train_timesteps'"),
        ({"num_train_timesteps": 1}, "a whole number from 2"),
        ({"beta_schedule": "quadratic"}, "allowed: linear, scaled_linear, squaredcos_cap_v2"),
        ({"beta_schedule": "linear", "beta_start": "low", "beta_end": 0.02}, "key 'beta_start'"),
        ({"beta_schedule": "linear", "beta_start": 0.02, "beta_end": 0.01}, "more than 0.02"),
        ({"trained_betas": [0.1, 0.2]}, "key 'trained_betas'"),
        ({"trained_betas": [0.5] * 999 + [1.0]}, "each above 0 and below 1"),
        ({"rescale_betas_zero_snr": 1}, "key 'rescale_betas_zero_snr'"),
        ({"thresholding": True}, "cannot run backwards"),
        ({"clip_sample": True, "clip_sample_range": 3.0}, "images lie in -1 to 1"),
        ({"timestep_spacing": "odd"}, "leading, trailing, linspace"),
        ({"timestep_type": "continuous"}, "EDM"),
        ({"variance_type": "learned_range"}, "learned variance"),
        ({"predict_epsilon": False}, "sample, as predict_epsilon says"),
        ({"predict_epsilon": 1}, "true or false"),
        ({"use_flow_sigmas": True}, "key 'use_flow_sigmas'"),
        (
            {"_class_name": "FlowMatchEulerDiscreteScheduler"},
            "is a FlowMatchEulerDiscreteScheduler; flow",
        ),
        ({"_class_name": "EDMEulerScheduler"}, "the scheduler is a EDMEulerScheduler; EDM"),
        ({"_class_name": None}, "key '_class_name': it is missing"),
    ],
)
def test_a_scheduler_that_cannot_be(folder: Path, values: dict[str, Any], message: str) -> None:
    change(folder / SCHEDULER_CONFIG, **values)
    found = refusal(folder)
    assert found.startswith(f"{folder / SCHEDULER_CONFIG}, key ")
    assert message in found


def test_an_empty_scheduler_config(folder: Path) -> None:
    (folder / SCHEDULER_CONFIG).write_text("{}", "utf-8")
    assert "key '_class_name': it is missing" in refusal(folder)


def test_a_scheduler_without_its_betas(folder: Path) -> None:
    config = {"_class_name": "DDPMScheduler", "num_train_timesteps": 1000}
    for key, value in (("beta_schedule", "linear"), ("beta_start", 1e-4), ("beta_end", 0.02)):
        (folder / SCHEDULER_CONFIG).write_text(json.dumps(config), "utf-8")
        assert f"key {key!r}: it is missing" in refusal(folder)
        config[key] = value
    (folder / SCHEDULER_CONFIG).write_text(json.dumps(config), "utf-8")
    assert "key 'prediction_type': it is missing" in refusal(folder)


@pytest.mark.parametrize(
    ("older", "prediction"),
    [
        ({"predict_epsilon": True}, "epsilon"),
        ({"predict_epsilon": False}, "sample"),
        ({"_diffusers_version": "0.1.1"}, "epsilon"),
        ({"_class_name": "RePaintScheduler"}, "epsilon"),
    ],
)
def test_what_older_versions_wrote_of_the_prediction(
    folder: Path, older: dict[str, Any], prediction: str
) -> None:
    config = dict(diffusers.DDPMScheduler().config) | {"_class_name": "DDPMScheduler"} | older
    del config["prediction_type"]
    (folder / SCHEDULER_CONFIG).write_text(json.dumps(config), "utf-8")
    assert LatentModel.load(folder, "cpu").denoising.prediction == prediction
    assert HeadRotationPipeline.from_pretrained(folder).scheduler.config.prediction_type == (
        prediction
    )


@pytest.mark.parametrize("network", ["UNet2DConditionModel", "AutoencoderKL", None, 3])
def test_another_network_is_refused_by_its_name(folder: Path, network: Any) -> None:
    change(folder / UNET_CONFIG, _class_name=network)
    message = refusal(folder)
    assert "key '_class_name'" in message
    assert "UNet2DModel" in message
    assert network is None or f"the network is a {network}; " in message


def test_another_pipeline_is_refused_by_its_name(folder: Path) -> None:
    index = {
        "_class_name": "LDMPipeline",
        "unet": ["diffusers", "UNet2DModel"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "safety_checker": [None, None],
        "vqvae": ["diffusers", "VQModel"],
    }
    path = folder / "model_index.json"
    path.write_text(json.dumps(index), "utf-8")
    assert f"{path}: the pipeline is a LDMPipeline with vqvae; a latent" in refusal(folder)
    del index["vqvae"]
    path.write_text(json.dumps(index), "utf-8")
    assert f"{path}: the pipeline is a LDMPipeline; a latent" in refusal(folder)
    index["_class_name"] = "DDIMPipeline"
    path.write_text(json.dumps(index | {"unet": ["diffusers", "UNet2DConditionModel"]}), "utf-8")
    assert "key 'unet': the unet is a UNet2DConditionModel; a network with" in refusal(folder)
    path.write_text(json.dumps(index), "utf-8")
    assert LatentModel.load(folder, "cpu").image_size == 16


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(folder: Path, value: float) -> None:
    weights = load_file(folder / UNET_WEIGHTS)
    for name in ("conv_in.bias", "conv_in.weight", "conv_out.bias", "conv_out.weight"):
        weights[name].view(-1)[-1] = value
    save_file(weights, folder / UNET_WEIGHTS)
    message = refusal(folder)
    assert message.startswith(f"{folder / UNET_WEIGHTS}: 4 of {len(weights)} tensors hold numbers")
    assert "conv_in.bias, conv_in.weight, conv_out.bias and 1 more" in message


def test_weights_stay_when_their_file_changes(folder: Path) -> None:
    model = LatentModel.load(folder, "cpu")
    before = {k: v.clone() for k, v in model.denoising.unet.state_dict().items()}
    with (folder / UNET_WEIGHTS).open("r+b") as file:
        file.truncate(100)
    after = model.denoising.unet.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}


@pytest.mark.parametrize("time_embedding", ["positional", "learned"])
@pytest.mark.parametrize("kind", ["", "Attn", "Resnet"])
def test_networks_that_pass_can_be_built_and_run(kind: str, time_embedding: str) -> None:
    last = {"Resnet": ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D")}.get(
        kind, (f"{kind}DownBlock2D", f"{kind}UpBlock2D")
    )
    network = diffusers.UNet2DModel(
        sample_size=(16, 16),
        layers_per_block=1,
        block_out_channels=(32, 64),
        down_block_types=("UNetResDownBlock2D", last[0]),
        up_block_types=(last[1], "UpBlock2D"),
        norm_num_groups=8,
        time_embedding_type=time_embedding,
        num_train_timesteps=1000,
    )
    config = check_network("a test", dict(network.config) | {"_class_name": "UNet2DModel"})
    scheduler = dict(diffusers.DDPMScheduler().config) | {"_class_name": "DDPMScheduler"}
    denoising = build_denoising(config, scheduler)
    with torch.no_grad():
        assert denoising.predict(torch.zeros(1, 3, 16, 16), torch.tensor([5])).isfinite().all()
