"""Check the configs of a model folder before anything is built from them.

diffusers takes any value, and fails later: with a traceback, with no end, or with other images. So
each value that the engine depends on is checked here first: its type, its range, and whether it
fits the other values. An error is one line: the file, the key, the value given, the values allowed.

Nothing stands in for what a file does not say, unless every version of diffusers that left it out
meant the same. Other families of models are refused by their name (`rotation.diffusion.families`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from rotation.diffusion.config_kinds import (
    BOOLEAN,
    Config,
    Kind,
    check_class,
    check_keys,
    list_of,
    listed,
    number,
    one_of,
    or_null,
    refuse_class,
    show_name,
    whole,
    wrong,
)
from rotation.diffusion.families import (
    NETWORK,
    SCHEDULERS,
    WHAT_WORKS,
    explain,
    is_foreign_pipeline,
)
from rotation.diffusion.scheduler_check import MAX_STEPS
from rotation.errors import ModelError

MAX_SIDE = 1024
"""The largest side of images, in pixels."""
MAX_CHANNELS = 4096
MAX_BLOCKS = 8
MAX_LAYERS = 16
MAX_PARAMETERS = 2_000_000_000
"""8 GB in float32. The largest public model of this family has 0.1 billion."""
MAX_FEATURES = 1 << 28
"""Numbers in the first feature maps, or in one attention, of one image: 1 GiB in float32."""

_DOWN_BLOCKS = ("AttnDownBlock2D", "DownBlock2D", "ResnetDownsampleBlock2D")
_UP_BLOCKS = tuple(name.replace("Down", "Up") for name in _DOWN_BLOCKS)
_ACTIVATIONS = ("gelu", "mish", "relu", "silu", "swish")
_PARTS = {"unet": (NETWORK,), "scheduler": SCHEDULERS}
_OLD_BLOCK = "UNetRes"  # the first versions of diffusers put it before the names of blocks


def check_pipeline(path: object, config: Config) -> None:
    """Check a `model_index.json`: the pipeline has no parts but network and scheduler.

    Raises:
        ModelError: it is of another family, or has other parts. The message names the pipeline,
            the parts, and what works.
    """
    kind = config.get("_class_name")
    parts = {
        key: value
        for key, value in config.items()
        if not key.startswith("_") and (isinstance(value, str) or _is_part(value))
    }
    further = sorted(part for part in parts if part not in _PARTS)
    if further or is_foreign_pipeline(kind):
        named = f" with {listed(further)}" if further else ""
        raise ModelError(f"{path}: the pipeline is a {show_name(kind)}{named}; {explain(kind)}")
    for part, known in _PARTS.items():
        if isinstance(parts.get(part), list) and parts[part][-1] not in known:
            refuse_class(path, part, part, parts[part][-1])


def check_network(path: object, config: Config, planes: int = 3) -> dict[str, Any]:
    """Check the config of a network.

    Parameters:
        planes: how many planes it takes: 3, or those of a refiner.

    Returns:
        The config as the engine reads it: blocks by their present names, `sample_size` as one
        number.

    Raises:
        ModelError: the network is of another family, or a value is missing or does not fit.
    """
    check_class(path, config, "network", (NETWORK,))
    config = _in_present_form(config)
    _refuse_conditions(path, config)
    check_keys(path, config, _NETWORK_KEYS, _NEEDED)
    if planes == 3:
        _check_channels(path, config)
    else:
        _check_planes(path, config, planes)
    _check_blocks(path, config)
    _check_groups(path, config)
    _check_side(path, config)
    _check_memory(path, config)
    return config


def _is_part(value: object) -> bool:
    return isinstance(value, list) and any(value)


def _in_present_form(config: Config) -> dict[str, Any]:
    found = dict(config)
    for key in ("down_block_types", "up_block_types"):
        if isinstance(found.get(key), list | tuple):
            found[key] = [
                name.removeprefix(_OLD_BLOCK) if isinstance(name, str) else name
                for name in found[key]
            ]
    side = found.get("sample_size")
    if isinstance(side, list | tuple) and len(side) == 2 and side[0] == side[1]:
        found["sample_size"] = side[0]
    return found


def _refuse_conditions(path: object, config: Config) -> None:
    """Refuse networks that need more than an image and a time."""
    for key in ("class_embed_type", "num_class_embeds"):
        if config.get(key) is not None:
            allowed = f"null. The network asks for a class of each image. {WHAT_WORKS}"
            raise wrong(path, key, config[key], allowed)


def _check_channels(path: object, config: Config) -> None:
    channels = config["in_channels"]
    side = math.isqrt(channels // 3)
    if 3 * channels == 8 * config["out_channels"]:
        allowed = "3 r^2. This is a refiner; give the model that it belongs to"
        raise wrong(path, "in_channels", channels, allowed)
    if side < 1 or 3 * side * side != channels:
        allowed = "3 (RGB) or 3 r^2 (r x r blocks: 12, 27, 48); latent models have 4 or 16"
        raise wrong(path, "in_channels", channels, allowed)
    if config["out_channels"] == 2 * channels:
        allowed = (
            f"{channels}. The network also predicts a variance (learned variance), which the "
            f"sampler of the engine does not use; keep the first {channels} channels of conv_out, "
            "or take a model with fixed variance"
        )
        raise wrong(path, "out_channels", config["out_channels"], allowed)
    if config["out_channels"] != channels:
        allowed = f"{channels}, as many as in_channels"
        raise wrong(path, "out_channels", config["out_channels"], allowed)


def _check_planes(path: object, config: Config, planes: int) -> None:
    """Check the channels of a refiner, which takes more planes than it gives."""
    side = math.isqrt(config["out_channels"] // 3)
    if side < 1 or 3 * side * side != config["out_channels"]:
        raise wrong(path, "out_channels", config["out_channels"], "3 r^2 (3, 12, 27, 48)")
    if config["in_channels"] != planes * side * side:
        allowed = f"{planes * side * side}, for the {planes} planes of a refiner"
        raise wrong(path, "in_channels", config["in_channels"], allowed)


def _check_blocks(path: object, config: Config) -> None:
    count = len(config["block_out_channels"])
    for key in ("down_block_types", "up_block_types"):
        if len(config[key]) != count:
            allowed = f"a list of {count}, as many as block_out_channels"
            raise wrong(path, key, config[key], allowed)


def _check_groups(path: object, config: Config) -> None:
    """Normalisation and attention divide the channels of each block."""
    groups = config.get("norm_num_groups", 32)
    heads = config.get("attention_head_dim", 8)
    channels = list(config["block_out_channels"])
    for width in channels:
        if width % groups:
            allowed = f"multiples of norm_num_groups, {groups}"
            raise wrong(path, "block_out_channels", channels, allowed)
    for level in _attention_levels(config):
        if heads is not None and heads > channels[level]:
            allowed = f"null, or 1 to {channels[level]}"
            raise wrong(path, "attention_head_dim", heads, allowed)
        if channels[level] % (config.get("attn_norm_num_groups") or groups):
            given = config["attn_norm_num_groups"]
            allowed = f"null, or a divisor of {channels[level]}"
            raise wrong(path, "attn_norm_num_groups", given, allowed)


def _attention_levels(config: Config) -> Iterator[int]:
    """The levels that have attention; level 0 has the size of the image."""
    down, up = config["down_block_types"], config["up_block_types"]
    last = len(down) - 1
    for level in range(last + 1):
        attends = any("Attn" in name for name in (down[level], up[last - level]))
        if attends or (level == last and config.get("add_attention", True)):
            yield level


def _check_side(path: object, config: Config) -> None:
    """The sides of the image and of all blocks are whole numbers of pixels."""
    side, patch = config["sample_size"], math.isqrt(config["in_channels"] // 3)
    halvings = 2 ** (len(config["block_out_channels"]) - 1)
    largest = MAX_SIDE // patch
    if side % halvings or not 1 <= side <= largest:
        allowed = f"multiples of {halvings} up to {largest}"
        raise wrong(path, "sample_size", side, f"{allowed}, for {halvings.bit_length()} blocks")


def _check_memory(path: object, config: Config) -> None:
    widths, layers = config["block_out_channels"], config["layers_per_block"]
    parameters = sum(45 * (2 * layers + 1) * width * width for width in widths)
    features = config["sample_size"] ** 2 * max(widths[0], config["in_channels"])
    if parameters > MAX_PARAMETERS or features > MAX_FEATURES:
        allowed = (
            f"networks of at most about {MAX_PARAMETERS / 1e9:g} billion parameters, whose first "
            f"block holds at most {MAX_FEATURES:,} numbers for one image"
        )
        raise wrong(path, "block_out_channels", list(widths), allowed)
    for level in _attention_levels(config):
        heads = widths[level] // (config.get("attention_head_dim") or widths[level])
        pixels = (config["sample_size"] // 2**level) ** 2
        if pixels**2 * heads > MAX_FEATURES:
            allowed = (
                f"attention between at most {MAX_FEATURES:,} pairs of pixels and heads; here it is "
                f"{pixels**2 * heads:,}. Take smaller images, or attention in later blocks"
            )
            raise wrong(path, "down_block_types", list(config["down_block_types"]), allowed)


_NETWORK_KEYS = {
    "sample_size": Kind(
        f"a whole number from 1 to {MAX_SIDE:,}, the side of square images",
        whole(1, MAX_SIDE).accepts,
    ),
    "in_channels": whole(3, MAX_CHANNELS),
    "out_channels": whole(3, MAX_CHANNELS),
    "block_out_channels": list_of(whole(1, MAX_CHANNELS), MAX_BLOCKS),
    "down_block_types": list_of(one_of(*_DOWN_BLOCKS), MAX_BLOCKS),
    "up_block_types": list_of(one_of(*_UP_BLOCKS), MAX_BLOCKS),
    "layers_per_block": whole(1, MAX_LAYERS),
    "mid_block_type": one_of("UNetMidBlock2D", None),
    "norm_num_groups": whole(1, MAX_CHANNELS),
    "attn_norm_num_groups": or_null(whole(1, MAX_CHANNELS)),
    "attention_head_dim": or_null(whole(1, MAX_CHANNELS)),
    "add_attention": BOOLEAN,
    "time_embedding_type": Kind(
        "positional, learned (fourier is that of score SDE models)",
        one_of("positional", "learned").accepts,
    ),
    "time_embedding_dim": or_null(whole(1, 4 * MAX_CHANNELS)),
    "num_train_timesteps": or_null(whole(1, MAX_STEPS)),
    "freq_shift": number(0, 1),
    "flip_sin_to_cos": BOOLEAN,
    "center_input_sample": BOOLEAN,
    "mid_block_scale_factor": number(1e-6, 1e6),
    "downsample_padding": whole(0, 1),
    "downsample_type": one_of("conv", "resnet"),
    "upsample_type": one_of("conv", "resnet"),
    "dropout": number(0, 1),
    "act_fn": one_of(*_ACTIVATIONS),
    "norm_eps": number(1e-12, 1),
    "resnet_time_scale_shift": one_of("default", "scale_shift"),
}
# A first version of diffusers, and all since, wrote each of these, and weights do not tell them.
_NEEDED = frozenset(
    {
        *("sample_size", "in_channels", "out_channels", "block_out_channels"),
        *("down_block_types", "up_block_types", "layers_per_block"),
        *("norm_num_groups", "norm_eps", "act_fn", "attention_head_dim", "time_embedding_type"),
        *("freq_shift", "flip_sin_to_cos", "center_input_sample"),
        *("downsample_padding", "mid_block_scale_factor"),
    }
)
