"""Comparison of encoders on rendered heads that no model was trained on."""

from __future__ import annotations

import ctypes
import gc
import resource
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import avg_pool2d

from rotation.diffusion import ddim
from rotation.diffusion.devices import bf16_is_faster, choose_device
from rotation.diffusion.latent_model import LatentModel
from rotation.errors import ModelError
from rotation.latents.encoder_network import EmbeddingNetwork
from rotation.latents.encoders import (
    REFINEMENT_STEPS,
    ImageEncoder,
    NetworkEncoder,
    RefinedEncoder,
    SmoothedInversionEncoder,
)
from rotation.latents.refinement import refine_by_gradient
from rotation.training.previews import noise, save_sheet, unseen_heads

Progress = Callable[[str, int, int], None]
Encode = Callable[[torch.Tensor], torch.Tensor]
SCALES = 4
SAMPLE_SECONDS = 0.005


@dataclass(frozen=True)
class Row:
    """The measures of one encoder at one number of steps. Errors are for images in [0, 1].

    The field names are the keys of the JSON output.

    Attributes:
        way: the name of the encoder.
        steps: steps of the sampler.
        mse, mse_95: mean and 95th percentile of the squared error of image -> z -> image.
        psnr_db: PSNR of the mean error.
        gradient: `gradient_distance` of the same.
        cosine: mean cosine of z -> image -> z, for Gaussian z and unclipped images.
        size: |z| / sqrt(d); 1 for noise.
        lag1: correlation of horizontal neighbours in z; 0 for noise.
        kurtosis: excess kurtosis of z; 0 for noise.
        ms, mb: time and additional peak memory per image in a batch.
    """

    way: str
    steps: int
    mse: float
    mse_95: float
    psnr_db: float
    gradient: float
    cosine: float
    size: float
    lag1: float
    kurtosis: float
    ms: float
    mb: float


def compare(
    model: Path | None,
    count: int,
    device: str,
    steps: Sequence[int],
    sheet: Path | None,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Compare all encoders at all numbers of steps.

    Parameters:
        model: the model folder; None: the bundled model.
        count: the number of images.
        device: auto, cpu, cuda, cuda:N.
        steps: numbers of sampler steps.
        sheet: a PNG of reconstructions at the first number of steps; None: none.
        progress: called as work goes on.

    Returns:
        A `Row` as a dictionary for each encoder and number of steps.
    """
    images, rows, reconstructions = None, [], []
    for number in steps:
        plain = LatentModel.load(model, device, number, iterations=0)
        if images is None:
            images = unseen_heads(count, plain.image_size)
        encoders = _encoders(model, device, number)
        for done, (name, encode) in enumerate(encoders, start=1):
            row, decoded = _measure(name, encode, plain, images, number)
            rows.append(asdict(row))
            if number == steps[0]:
                reconstructions.append(decoded)
            progress(f"{number} steps", done, len(encoders))
    if sheet is not None and images is not None:
        shown = min(8, count)
        save_sheet(torch.cat([part[:shown] for part in (images, *reconstructions)]), sheet, shown)
    return rows


def _encoders(folder: Path | None, device: str, steps: int) -> list[tuple[str, Encode]]:
    """The encoders that this model and this device offer, by name."""
    model = LatentModel.load(folder, device, steps)
    native = bf16_is_faster(choose_device(device))
    encoders: list[tuple[str, Encode]] = [
        ("naive inversion", lambda x: model.encode(x, iterations=0)),
        ("smooth", SmoothedInversionEncoder(model)),
        ("smooth, 1 sweep", RefinedEncoder(model, SmoothedInversionEncoder(model), steps=1)),
        ("5 corrections", lambda x: model.encode(x, iterations=5)),
        ("exact inversion", lambda x: model.encode_exactly(x).z),
    ]
    if native:
        half = LatentModel.load(folder, device, steps, bf16=True)
        encoders += [
            ("5 corrections, bf16", lambda x: half.encode(x, iterations=5)),
            ("exact inversion, bf16", lambda x: half.encode_exactly(x, bf16=True).z),
        ]
    encoders.append(
        (
            f"{REFINEMENT_STEPS} gradients from naive",
            lambda x: refine_by_gradient(model, model.encode(x, iterations=0), x, REFINEMENT_STEPS),
        )
    )
    return encoders + _network_encoders(folder, device, model)


def _network_encoders(
    folder: Path | None, device: str, model: LatentModel
) -> list[tuple[str, Encode]]:
    try:
        network = EmbeddingNetwork.load(folder, device)
    except ModelError:
        return []
    if network.steps != model.steps:
        return []
    start: ImageEncoder = NetworkEncoder(network)
    return [
        ("network", start),
        (f"network, {REFINEMENT_STEPS} gradients", RefinedEncoder(model, start, method="adam")),
        ("network, 1 sweep", RefinedEncoder(model, start, steps=1)),
        (f"network, {REFINEMENT_STEPS} sweeps", RefinedEncoder(model, start)),
    ]


def _measure(
    name: str, encode: Encode, plain: LatentModel, images: torch.Tensor, steps: int
) -> tuple[Row, torch.Tensor]:
    z, seconds, memory = _time_encoding(encode, images)
    decoded = plain.decode(z)
    errors = (decoded - images).square().mean(dim=(1, 2, 3)).double()
    seeds = noise(min(len(images), 8), plain.image_size, seed=1)
    found = _recovered(encode, plain, seeds)
    flat, centred = z.flatten(1).double(), z - z.mean(dim=(1, 2, 3), keepdim=True)
    variance = centred.square().mean(dim=(1, 2, 3))
    row = Row(
        way=name,
        steps=steps,
        mse=float(errors.mean()),
        mse_95=float(errors.quantile(0.95)),
        psnr_db=float(-10 * errors.mean().log10()),
        gradient=gradient_distance(decoded, images),
        cosine=float(torch.cosine_similarity(found, seeds.flatten(1)).mean()),
        size=float(flat.square().mean(dim=1).sqrt().mean()),
        lag1=float(((centred[..., 1:] * centred[..., :-1]).mean(dim=(1, 2, 3)) / variance).mean()),
        kurtosis=float((centred.pow(4).mean(dim=(1, 2, 3)) / variance.square() - 3).mean()),
        ms=1000 * seconds / len(images),
        mb=memory / len(images) / 2**20,
    )
    return row, decoded


@torch.inference_mode()
def _recovered(encode: Encode, plain: LatentModel, seeds: torch.Tensor) -> torch.Tensor:
    """Decode latents and encode the images again; returns flat latents (N, D)."""
    x = ddim.sample(plain.eps, seeds.to(plain.device), plain.schedule, plain.times)
    decoded = ((x + 1) / 2).cpu()
    with torch.inference_mode(False):
        return encode(decoded.clone()).flatten(1)


def gradient_distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """The mean absolute difference of image gradients over `SCALES` scales.

    Images are (N, 3, S, S) in [0, 1]. This replaces a learned perceptual distance, which needs a
    download. Like one, it weighs structure more than brightness, and detects blur.
    """
    total, difference = 0.0, first - second
    for _ in range(SCALES):
        across, down = difference.diff(dim=-1).abs().mean(), difference.diff(dim=-2).abs().mean()
        total += float(across + down) / 2 / SCALES
        difference = avg_pool2d(difference, 2)
    return total


def _time_encoding(encode: Encode, images: torch.Tensor) -> tuple[torch.Tensor, float, float]:
    """Encode images; returns latents, seconds, and additional peak memory in bytes."""
    encode(images[:1])  # warm up: selects kernels, allocates memory pools
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        start = time.perf_counter()
        z = encode(images)
        return z, time.perf_counter() - start, torch.cuda.max_memory_allocated() - before
    gc.collect()
    _trim()
    with _Resident() as resident:
        start = time.perf_counter()
        z = encode(images)
        seconds = time.perf_counter() - start
    return z, seconds, resident.peak - resident.before


def _trim() -> None:
    """Return freed memory to the system, so that the next peak is visible; glibc only."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return


class _Resident:
    """Samples the resident memory of this process in a thread."""

    def __enter__(self) -> _Resident:
        self.before = self.peak = _resident_bytes()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, _resident_bytes())


def _resident_bytes() -> int:
    status = Path("/proc/self/statm")
    if status.is_file():
        return int(status.read_text("ascii").split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def as_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    head = (
        "| way | steps | MSE | 95 % | PSNR | edges | cosine | size | lag 1 | kurtosis | ms | MB |"
    )
    lines = [
        f"| {row['way']} | {row['steps']} | {row['mse']:.1e} | {row['mse_95']:.1e} | "
        f"{row['psnr_db']:.1f} | {row['gradient']:.5f} | {row['cosine']:.4f} | "
        f"{row['size']:.3f} | {row['lag1']:.3f} | {row['kurtosis']:.2f} | "
        f"{row['ms']:.0f} | {row['mb']:.0f} |"
        for row in rows
    ]
    return "\n".join([head, "|" + "---|" * 12, *lines])
