#!/usr/bin/env python3
"""Time the encoding of images, beside a plain loop over diffusers' `DDIMInverseScheduler`.

All methods encode the same rendered heads of unseen people with the same network, in interleaved
repeats. The plain loop follows diffusers' documentation, with `clip_sample` off, since it does not
invert otherwise. Its latents are decoded by `DDIMScheduler`, all others by this project's sampler.
A speed is the median of images per second. A ratio is relative to the batched plain loop of the
same repeat, with a 95 % bootstrap interval over repeats. If the model folder holds no embedding
network, one evaluation of the diffusion network is timed in its place, without an error. On a busy
machine, use `--clock cpu` with OMP_NUM_THREADS=1 to measure processor seconds.

Example:
    python benchmarks/embedding_speed.py --count 32 --steps 10 --repeats 5
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _project  # noqa: F401
import click
import numpy as np
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddim_inverse import DDIMInverseScheduler
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from rotation.diffusion.latent_model import LatentModel
from rotation.errors import ModelError
from rotation.latents.encoder_network import EmbeddingNetwork
from rotation.latents.encoders import NetworkEncoder, SmoothedInversionEncoder
from rotation.training.previews import unseen_heads

PLAIN, BATCHED, NETWORK = "plain loop, one by one", "plain loop, batch", "(b) network"
TOLERANCES = {"(a) exact": 2e-4, "(a) to 1e-6": 1e-3, "(a) to 1e-4": 1e-2}
BOOTSTRAPS = 2000
Embed = Callable[[torch.Tensor], torch.Tensor]
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}


class PlainLoop:
    """Inversion and decoding as one writes them from diffusers' documentation, in float32."""

    def __init__(self, model: LatentModel) -> None:
        config = dict(model.denoising.scheduler)
        plain = {"clip_sample": False, "timestep_spacing": "leading"}
        self._unet, self._patch = model.denoising.unet, model.denoising.patch
        self._up = DDIMInverseScheduler.from_config(config, **plain)
        self._down = DDIMScheduler.from_config(config, **plain)
        for scheduler in (self._up, self._down):
            scheduler.set_timesteps(model.steps)

    @torch.inference_mode()
    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Latents (N, 3, S, S) of images (N, 3, S, S) in [0, 1]."""
        return self._run(self._up, images * 2 - 1)

    @torch.inference_mode()
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Images in [0, 1] of latents."""
        return ((self._run(self._down, z) + 1) / 2).clamp(0, 1)

    def _run(self, scheduler: Any, x: torch.Tensor) -> torch.Tensor:
        sample = pixel_unshuffle(x, self._patch)
        for at in scheduler.timesteps:
            output = self._unet(sample, at).sample
            sample = scheduler.step(output, at, sample).prev_sample
        return pixel_shuffle(sample, self._patch)


def methods(model: LatentModel, bf16: bool) -> tuple[dict[str, Embed], bool]:
    """What is compared, the plain loops first, and whether there is an embedding network."""
    plain = PlainLoop(model)

    def exactly(tolerance: float, half: bool) -> Embed:
        return lambda images: model.encode_exactly(images, tolerance, bf16=half).z

    found: dict[str, Embed] = {
        PLAIN: lambda images: torch.cat([plain.embed(one) for one in images.split(1)]),
        BATCHED: plain.embed,
    }
    found["smooth: one evaluation a step"] = SmoothedInversionEncoder(model)
    found |= {name: exactly(tolerance, False) for name, tolerance in TOLERANCES.items()}
    if bf16:
        found["(a) bfloat16, to its noise"] = exactly(2e-3, True)
    trained = False
    try:
        found[NETWORK] = NetworkEncoder(EmbeddingNetwork.load(None, str(model.device)))
        trained = True
    except ModelError:
        found[NETWORK] = torch.inference_mode()(lambda images: model.eps(images * 2 - 1, 127))
    return found, trained


def interval(ratios: np.ndarray) -> tuple[float, float]:
    """The 95 % bootstrap interval of the median of ratios (R,)."""
    rng = np.random.default_rng(0)
    drawn = np.median(rng.choice(ratios, (BOOTSTRAPS, len(ratios))), axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5]).tolist()
    return low, high


def measure(
    model: LatentModel, images: torch.Tensor, found: dict[str, Embed], repeats: int, clock: Clock
) -> tuple[dict[str, list[float]], dict[str, torch.Tensor]]:
    """The seconds of every repeat of every method, and the latents of the last."""
    seconds: dict[str, list[float]] = {name: [] for name in found}
    latents: dict[str, torch.Tensor] = {}
    model.eps(images[:1], 100)  # the first evaluation sets up the kernels
    for _ in range(repeats):
        for name, embed in found.items():
            start = clock()
            latents[name] = embed(images)
            seconds[name].append(clock() - start)
    return seconds, latents


def compare(
    model: LatentModel, images: torch.Tensor, repeats: int, bf16: bool, clock: Clock
) -> dict[str, dict[str, Any]]:
    """Speed, ratio and error of every method."""
    found, trained = methods(model, bf16)
    seconds, latents = measure(model, images, found, repeats, clock)
    base = np.array(seconds[BATCHED])
    rows: dict[str, dict[str, Any]] = {}
    for name, spent in seconds.items():
        decode = PlainLoop(model).decode if name in (PLAIN, BATCHED) else model.decode
        again = decode(latents[name])
        errors = (again - images).square().mean(dim=(1, 2, 3)).numpy()
        untrained = name == NETWORK and not trained
        rows[name] = {
            "images_per_s": round(len(images) / float(np.median(spent)), 2),
            "ratio": round(float(np.median(base / np.array(spent))), 3),
            "ratio_95": [round(end, 3) for end in interval(base / np.array(spent))],
            "mse": None if untrained else float(errors.mean()),
            "mse_95th": None if untrained else float(np.percentile(errors, 95)),
        }
    return rows


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The figures as Markdown."""
    lines = [
        "| way | images/s | times the batched plain loop [95 %] | MSE | 95th percentile |",
        "|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        low, high = row["ratio_95"]
        errors = ["-" if row[k] is None else f"{row[k]:.1e}" for k in ("mse", "mse_95th")]
        ratio = f"{row['ratio']:.2f} [{low:.2f}, {high:.2f}]"
        lines.append(f"| {name} | {row['images_per_s']} | {ratio} | " + " | ".join(errors) + " |")
    return "\n".join(lines)


@click.command(
    epilog="Example: python benchmarks/embedding_speed.py --count 32 --steps 10 --repeats 5"
)
@click.option("--count", type=click.IntRange(1), default=32, show_default=True)
@click.option("--steps", default="10,20,50", show_default=True)
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--bf16/--no-bf16", default=True, show_default=True)
@click.option("--clock", type=click.Choice(list(CLOCKS)), default="wall", show_default=True)
@click.option("--json", "out", type=click.Path(path_type=Path), help="Also write the figures here.")
def main(
    count: int, steps: str, repeats: int, device: str, bf16: bool, clock: str, out: Path | None
) -> None:
    """Measure, print a table for every number of steps."""
    figures: dict[str, Any] = {"count": count, "threads": torch.get_num_threads(), "clock": clock}
    for number in map(int, steps.split(",")):
        model = LatentModel.load(None, device, steps=number)
        images = unseen_heads(count, model.image_size)
        rows = compare(model, images, repeats, bf16, CLOCKS[clock])
        figures[f"{number} steps"] = rows
        click.echo(f"\n{number} steps, load {os.getloadavg()[0]:.1f}\n\n{table(rows)}")
    if out is not None:
        out.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
