"""Where a model computes, and in which arithmetic."""

from __future__ import annotations

import torch

from rotation.errors import ModelError


def choose_device(name: str = "auto") -> torch.device:
    """The torch device for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    `auto` takes the first GPU, else the CPU. Raises `ModelError` naming what there is when the
    one asked for is not.
    """
    available = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    if name == "auto":
        return torch.device(available[1] if len(available) > 1 else "cpu")
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in available:
        raise ModelError(f"There is no device {name!r} here; take auto or {', '.join(available)}.")
    return torch.device(wanted)


def bf16_pays(device: torch.device) -> bool:
    """Whether bfloat16 is quicker than float32: tensor cores, or a CPU that multiplies in it.

    AMX makes it 14 times as quick, AVX-512 BF16 2 to 4 times. Elsewhere it is emulated: on a CPU
    with plain AVX-512 35 times slower.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return device.type == "cpu" and bool(native)
