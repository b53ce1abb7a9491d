"""The device a model computes on, and whether bfloat16 is worthwhile there."""

from __future__ import annotations

import torch

from rotation.errors import ModelError


def choose_device(name: str = "auto") -> torch.device:
    """The torch device for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    `auto` is the first GPU, or the CPU where there is none.

    Raises:
        ModelError: there is no such device; the message lists those there are.
    """
    available = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    if name == "auto":
        return torch.device(available[1] if len(available) > 1 else "cpu")
    wanted = {"cuda": "cuda:0", "mps:0": "mps"}.get(name, name)
    if wanted not in available:
        raise ModelError(f"There is no device {name!r} here; give auto or {', '.join(available)}.")
    return torch.device(wanted)


def bf16_is_faster(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 faster than in float32.

    GPUs with bfloat16 tensor cores do. So do CPUs with AMX (14 times as fast) or AVX-512 BF16 (2 to
    4 times). Other CPUs emulate it: one with plain AVX-512 is 35 times slower.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return device.type == "cpu" and bool(native)
