"""Check the configs of a model folder before anything is built from them.

diffusers takes any value, and fails later: with a traceback, with no end, or with other images. So
each value that the engine depends on is checked here first: its type, its range, and whether it
fits the other values. An error is one line: the file, the key, the value given, the values allowed.

The engine does one family: a `UNet2DModel` without conditions on pixels, trained by steps of noise.
Other families are refused by their name (`check_pipeline`, `check_network`, `check_scheduler`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotation.errors import ModelError

Config = Mapping[str, Any]

PREDICTIONS = ("epsilon", "sample", "v_prediction")
"""What a network may predict: the noise, the image, or v."""

NETWORK = "UNet2DModel"
SCHEDULERS = (
    "DDIMScheduler",
    "DDIMInverseScheduler",
    "DDIMParallelScheduler",
    "DDPMScheduler",
    "DDPMParallelScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "UniPCMultistepScheduler",
)
"""Samplers of networks trained by the same steps of noise. The engine reads the steps alone."""

BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")

MAX_SIDE = 1024
"""The largest side of images, in pixels."""
MAX_CHANNELS = 4096
MAX_BLOCKS = 8
MAX_LAYERS = 16
MAX_STEPS = 100_000
MAX_PARAMETERS = 2_000_000_000
"""8 GB in float32. The largest public model of this family has 0.1 billion."""
MAX_FEATURES = 1 << 28
"""Numbers in the first feature maps of one image: 1 GiB in float32."""

_DOWN_BLOCKS = ("AttnDownBlock2D", "DownBlock2D", "ResnetDownsampleBlock2D")
_UP_BLOCKS = tuple(name.replace("Down", "Up") for name in _DOWN_BLOCKS)
_ACTIVATIONS = ("gelu", "mish", "relu", "silu", "swish")
_PARTS = frozenset({"unet", "scheduler"})


@dataclass(frozen=True)
class Kind:
    """The values that a key may have: what they are called, and how they are recognised."""

    allowed: str
    accepts: Callable[[Any], bool]


def check_pipeline(path: Path, config: Config) -> None:
    """Check a `model_index.json`: the pipeline has no parts but network and scheduler.

    Raises:
        ModelError: it has other parts. The message names the pipeline, the parts, and what works.
    """
    parts = sorted(
        key
        for key, value in config.items()
        if not key.startswith("_") and isinstance(value, list) and any(value)
    )
    further = [part for part in parts if part not in _PARTS]
    if further:
        raise ModelError(
            f"{path}: the pipeline is a {_show(config.get('_class_name'))} with "
            f"{', '.join(further)}. {_FAMILY}"
        )


def check_network(path: Path, config: Config) -> None:
    """Check the config of a network.

    Raises:
        ModelError: the network is of another family, or a value is missing or does not fit.
    """
    _check_class(path, config, "network", (NETWORK,))
    _check_keys(path, config, _NETWORK_KEYS)
    _refuse_conditions(path, config)
    _check_channels(path, config)
    _check_blocks(path, config)
    _check_groups(path, config)
    _check_side(path, config)
    _check_memory(path, config)


def check_scheduler(path: Path, config: Config) -> None:
    """Check the config of a scheduler.

    Raises:
        ModelError: the scheduler is of another family, or a value is missing or does not fit.
    """
    _check_class(path, config, "scheduler", SCHEDULERS)
    for option, harmless in _UNKNOWN_OPTIONS.items():
        if config.get(option) not in (None, False, harmless):
            raise _wrong(path, option, config[option], "none or false")
    _check_keys(path, config, _SCHEDULER_KEYS)
    if config["beta_schedule"] == "squaredcos_cap_v2":
        return  # it has no beta_start and beta_end
    _check_keys(path, config, _BETA_KEYS)
    if not config["beta_start"] < config["beta_end"]:
        raise _wrong(path, "beta_end", config["beta_end"], f"more than {config['beta_start']}")


def _wrong(path: Path, key: str, given: object, allowed: str) -> ModelError:
    return ModelError(f"{path}, key {key!r}: {_show(given)} was given; allowed: {allowed}.")


def _show(value: object) -> str:
    """A value as text that fits in a message."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _check_class(path: Path, config: Config, what: str, known: Sequence[str]) -> None:
    kind = config.get("_class_name")
    if kind is None:
        raise ModelError(
            f"{path}, key '_class_name': it is missing; without it nobody knows what the {what} "
            f"does. Allowed: {', '.join(known)}."
        )
    if kind not in known:
        raise ModelError(
            f"{path}, key '_class_name': the {what} is a {_show(kind)}; allowed: "
            f"{', '.join(known)}. {_FAMILY}"
        )


def _check_keys(path: Path, config: Config, kinds: Mapping[str, Kind]) -> None:
    for key, kind in kinds.items():
        if key not in config:
            if key in _NEEDED:
                raise ModelError(f"{path}, key {key!r}: it is missing; allowed: {kind.allowed}.")
        elif not kind.accepts(config[key]):
            raise _wrong(path, key, config[key], kind.allowed)


def _refuse_conditions(path: Path, config: Config) -> None:
    """Refuse networks that need more than an image and a time."""
    for key in ("class_embed_type", "num_class_embeds"):
        if config.get(key) is not None:
            raise _wrong(path, key, config[key], f"null. The network asks for a class. {_FAMILY}")
    if config.get("time_embedding_type") == "learned" and not config.get("num_train_timesteps"):
        needed = "a whole number, since time_embedding_type is 'learned'"
        raise _wrong(path, "num_train_timesteps", config.get("num_train_timesteps"), needed)


def _check_channels(path: Path, config: Config) -> None:
    channels = config["in_channels"]
    side = math.isqrt(channels // 3)
    if side < 1 or 3 * side * side != channels:
        allowed = "3 (RGB) or 3 r^2 (r x r blocks: 12, 27, 48)"
        raise _wrong(path, "in_channels", channels, allowed)
    if config["out_channels"] != channels:
        allowed = f"{channels}, as many as in_channels"
        raise _wrong(path, "out_channels", config["out_channels"], allowed)


def _check_blocks(path: Path, config: Config) -> None:
    count = len(config["block_out_channels"])
    for key in ("down_block_types", "up_block_types"):
        if len(config[key]) != count:
            allowed = f"a list of {count}, as many as block_out_channels"
            raise _wrong(path, key, config[key], allowed)


def _check_groups(path: Path, config: Config) -> None:
    """Normalisation and attention divide the channels of each block."""
    groups = config.get("norm_num_groups", 32)
    heads = config.get("attention_head_dim", 8)
    uses_attention = config.get("add_attention", True)
    blocks = [*config["down_block_types"], *reversed(config["up_block_types"])]
    channels = list(config["block_out_channels"])
    for number, width in enumerate(channels):
        if width % groups:
            allowed = f"multiples of norm_num_groups, {groups}"
            raise _wrong(path, "block_out_channels", channels, allowed)
        at = (blocks[number], blocks[len(channels) + number])
        attends = any("Attn" in name for name in at)
        is_last = number == len(channels) - 1
        if (attends or (is_last and uses_attention)) and heads is not None and heads > width:
            raise _wrong(path, "attention_head_dim", heads, f"null, or 1 to {width}")


def _check_side(path: Path, config: Config) -> None:
    """The sides of the image and of all blocks are whole numbers of pixels."""
    side, patch = config["sample_size"], math.isqrt(config["in_channels"] // 3)
    halvings = 2 ** (len(config["block_out_channels"]) - 1)
    largest = MAX_SIDE // patch
    if side % halvings or not 1 <= side <= largest:
        allowed = f"multiples of {halvings} up to {largest}"
        raise _wrong(path, "sample_size", side, f"{allowed}, for {halvings.bit_length()} blocks")


def _check_memory(path: Path, config: Config) -> None:
    widths, layers = config["block_out_channels"], config["layers_per_block"]
    parameters = sum(45 * (2 * layers + 1) * width * width for width in widths)
    features = config["sample_size"] ** 2 * max(widths[0], config["in_channels"])
    if parameters > MAX_PARAMETERS or features > MAX_FEATURES:
        allowed = (
            f"networks of at most about {MAX_PARAMETERS / 1e9:g} billion parameters, whose first "
            f"block holds at most {MAX_FEATURES:,} numbers for one image"
        )
        raise _wrong(path, "block_out_channels", list(widths), allowed)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return (_is_whole(value) or isinstance(value, float)) and math.isfinite(value)  # type: ignore[arg-type]


def _whole(low: int, high: int) -> Kind:
    return Kind(
        f"a whole number from {low:,} to {high:,}",
        lambda value: _is_whole(value) and low <= value <= high,
    )


def _number(low: float, high: float) -> Kind:
    return Kind(
        f"a number from {low:g} to {high:g}",
        lambda value: _is_number(value) and low <= value <= high,
    )


def _one_of(*known: object) -> Kind:
    return Kind(
        ", ".join("null" if value is None else str(value) for value in known),
        lambda value: any(
            value is one or (value == one and type(value) is type(one)) for one in known
        ),
    )


def _list_of(kind: Kind, longest: int) -> Kind:
    return Kind(
        f"a list of 1 to {longest}, each {kind.allowed}",
        lambda value: (
            isinstance(value, list | tuple)
            and 1 <= len(value) <= longest
            and all(map(kind.accepts, value))
        ),
    )


def _or_null(kind: Kind) -> Kind:
    return Kind(f"null or {kind.allowed}", lambda value: value is None or kind.accepts(value))


_SHOWN = 80
_FAMILY = (
    "The engine turns heads with networks that are trained on RGB pixels by steps of noise and "
    "need neither text, class nor another network: DDPM and DDIM models."
)
_BOOLEAN = Kind("true or false", lambda value: isinstance(value, bool))
_NETWORK_KEYS = {
    "sample_size": _whole(1, MAX_SIDE),
    "in_channels": _whole(3, MAX_CHANNELS),
    "out_channels": _whole(3, MAX_CHANNELS),
    "block_out_channels": _list_of(_whole(1, MAX_CHANNELS), MAX_BLOCKS),
    "down_block_types": _list_of(_one_of(*_DOWN_BLOCKS), MAX_BLOCKS),
    "up_block_types": _list_of(_one_of(*_UP_BLOCKS), MAX_BLOCKS),
    "layers_per_block": _whole(1, MAX_LAYERS),
    "mid_block_type": _one_of("UNetMidBlock2D", None),
    "norm_num_groups": _whole(1, MAX_CHANNELS),
    "attn_norm_num_groups": _or_null(_whole(1, MAX_CHANNELS)),
    "attention_head_dim": _or_null(_whole(1, MAX_CHANNELS)),
    "add_attention": _BOOLEAN,
    # "fourier" belongs to networks that take another measure of noise, such as NCSN++.
    "time_embedding_type": _one_of("positional", "learned"),
    "time_embedding_dim": _or_null(_whole(1, 4 * MAX_CHANNELS)),
    "num_train_timesteps": _or_null(_whole(1, MAX_STEPS)),
    "freq_shift": _number(0, 1),
    "flip_sin_to_cos": _BOOLEAN,
    "center_input_sample": _BOOLEAN,
    "mid_block_scale_factor": _number(1e-6, 1e6),
    "downsample_padding": _whole(0, 1),
    "downsample_type": _one_of("conv", "resnet"),
    "upsample_type": _one_of("conv", "resnet"),
    "dropout": _number(0, 1),
    "act_fn": _one_of(*_ACTIVATIONS),
    "norm_eps": _number(1e-12, 1),
    "resnet_time_scale_shift": _one_of("default", "scale_shift"),
}
_SCHEDULER_KEYS = {
    "num_train_timesteps": _whole(2, MAX_STEPS),
    "beta_schedule": _one_of(*BETA_SCHEDULES),
    "prediction_type": _one_of(*PREDICTIONS),
}
_BETA_KEYS = {"beta_start": _number(1e-12, 0.999), "beta_end": _number(1e-12, 0.999)}
_NEEDED = frozenset(
    {
        "sample_size",
        "in_channels",
        "out_channels",
        "block_out_channels",
        "down_block_types",
        "up_block_types",
        "layers_per_block",
        "num_train_timesteps",
        "beta_schedule",
        "beta_start",
        "beta_end",
    }
)
# Options that change the steps of noise, and values of them that do not.
_UNKNOWN_OPTIONS = {
    "trained_betas": None,
    "rescale_betas_zero_snr": False,
    "use_flow_sigmas": False,
    "timestep_type": "discrete",
}
