"""The training loop: updates, weight averaging, learning rate, previews, checkpoints."""

from __future__ import annotations

import copy
import json
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from rotation.diffusion.denoising import Denoising
from rotation.diffusion.devices import bf16_is_faster, choose_device
from rotation.errors import ModelError
from rotation.training.checkpoints import (
    CHECKPOINT,
    Progress,
    TrainingState,
    load_checkpoint,
    read_config,
    save_checkpoint,
)
from rotation.training.config import TrainingConfig, refuse_other_settings
from rotation.training.export import export_model
from rotation.training.images import Images, Split, batch_rows, split_rows
from rotation.training.tasks import DenoisingTask, Task, rounded

Callback = Callable[[int, float], None]
LOG = logging.getLogger(__name__)
LOG_FILE, MODEL, SHEETS = "log.jsonl", "model", "sheets"


@dataclass(frozen=True)
class TrainingResult:
    """The result of a session: model folder, total steps, and whether the budget is used up."""

    model: Path
    steps: int
    finished: bool


@dataclass
class _Run:
    """The state of a running training."""

    config: TrainingConfig
    images: Images
    split: Split
    out: Path
    state: TrainingState
    live: Denoising
    averaged: Denoising
    progress: Progress
    data_name: str
    task: Task
    smooth_loss: float = float("nan")

    @property
    def share(self) -> float:
        """The used share of the budget, 0 to 1: the larger one of steps and time."""
        steps = self.progress.step / self.config.steps if self.config.steps else 0.0
        spent = self.progress.seconds / 60
        return max(steps, spent / self.config.minutes if self.config.minutes else 0.0)


def train(
    config: TrainingConfig,
    images: Images,
    out: Path,
    resume: bool = True,
    data_name: str = "images",
    quiet: bool = False,
    callback: Callback | None = None,
    task: Task | None = None,
) -> TrainingResult:
    """Train a network and write it to `out`/model.

    Every few minutes, `out` gets a checkpoint, a model folder with the averaged weights, sheets of
    samples and reconstructions, and a line in log.jsonl. SIGINT and SIGTERM save and end the
    session; the result is then not finished.

    Parameters:
        config: the settings.
        images: the training images.
        out: the folder of the run. No other process may write there meanwhile; commands keep
            others out with `rotation.file_locks.own_folder`.
        resume: whether to continue from a checkpoint in `out`. With a budget of steps, a resumed
            run gives the same weights as an uninterrupted one (same machine, same threads).
        data_name: the name of the data in the model card.
        quiet: whether to hide the progress bar.
        callback: called after each step with the steps done and the loss.
        task: what is trained; None: the diffusion model.

    Raises:
        ModelError: the checkpoint belongs to another run, or sizes differ.
        DatasetError: there are too few images.
    """
    task = task or DenoisingTask()
    config = task.adopt(config)
    _check_size(config, images, task.planes)
    out.mkdir(parents=True, exist_ok=True)
    run = _begin(config, images, out, data_name, task)
    if resume and (out / CHECKPOINT).is_file():
        refuse_other_settings(_settings(run), read_config(out), out)
        run.progress = load_checkpoint(out, run.state)
    elif (out / LOG_FILE).is_file():
        (out / LOG_FILE).unlink()
    done = run.progress.step
    with _stop_on_signals() as stop:
        _loop(run, stop, quiet, callback)
    if run.progress.step > done or not (out / MODEL).is_dir():
        _save(run)
        _preview(run)
    return TrainingResult(out / MODEL, run.progress.step, run.share >= 1)


def _begin(config: TrainingConfig, images: Images, out: Path, data_name: str, task: Task) -> _Run:
    torch.manual_seed(config.seed)
    device = choose_device(config.device)
    start = task.start(config)
    unet = start.unet.to(device).train().requires_grad_(True)
    average = copy.deepcopy(unet).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(
        unet.parameters(),
        lr=config.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=config.weight_decay,
        fused=device.type in ("cpu", "cuda"),
    )
    bf16 = bf16_is_faster(device)
    live = replace(start, unet=unet, bf16=bf16)
    averaged = replace(start, unet=average, bf16=bf16)
    split = split_rows(images.people, config.holdout, config.seed, config.holdout_last)
    state = TrainingState(unet, average, optimizer)
    return _Run(config, images, split, out, state, live, averaged, Progress(), data_name, task)


def _check_size(config: TrainingConfig, images: Images, planes: int) -> None:
    size = config.image_size
    found, wanted = tuple(images.pixels.shape[1:]), (planes, size, size)
    if found != wanted:
        raise ModelError(f"The model takes images of {wanted}, these are {found}.")


def _loop(run: _Run, stop: threading.Event, quiet: bool, callback: Callback | None) -> None:
    saved = previewed = run.progress.seconds
    start = time.monotonic() - run.progress.seconds  # as if never interrupted
    with tqdm(initial=run.progress.step, total=run.config.steps, unit="step", disable=quiet) as bar:
        while run.share < 1 and not stop.is_set():
            loss = _step(run)
            run.progress.seconds = time.monotonic() - start
            _report(run, bar, loss)
            if callback:
                callback(run.progress.step, loss)
            if run.progress.seconds - saved > 60 * run.config.checkpoint_minutes:
                _save(run)
                saved = run.progress.seconds
            if run.progress.seconds - previewed > 60 * run.config.preview_minutes:
                _preview(run)
                previewed = run.progress.seconds


def _step(run: _Run) -> float:
    """One update. All randomness is a function of (seed, step); see `checkpoints`."""
    config, step = run.config, run.progress.step
    rows = batch_rows(run.split.train, config.batch_size, step, config.seed)
    generator = torch.Generator().manual_seed(config.seed * 2**32 + step)
    images = run.images.pixels[torch.from_numpy(rows)].contiguous()
    optimizer = run.state.optimizer
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * learning_rate_factor(config, step, run.share)
    optimizer.zero_grad(set_to_none=True)
    loss = run.task.loss(run.live, images, generator, run.share)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.state.unet.parameters(), 1.0)
    optimizer.step()
    _update_average(run)
    run.progress.step += 1
    return float(loss.detach())


def learning_rate_factor(config: TrainingConfig, step: int, share: float) -> float:
    """The learning rate relative to its peak: warm-up, plateau, then a half cosine to zero."""
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    late = max(0.0, share - config.decay_from) / max(1e-9, 1 - config.decay_from)
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, late)))


@torch.no_grad()
def _update_average(run: _Run) -> None:
    """Update the exponential moving average. Its decay is lower in the first steps."""
    step = run.progress.step
    decay = min(run.config.ema, (1 + step) / (10 + step))
    mean: list[torch.Tensor] = list(run.state.average.parameters())
    new: list[torch.Tensor] = list(run.state.unet.parameters())
    torch._foreach_lerp_(mean, new, 1 - decay)


def _report(run: _Run, bar: Any, loss: float) -> None:
    before = loss if math.isnan(run.smooth_loss) else run.smooth_loss
    run.smooth_loss = 0.98 * before + 0.02 * loss
    minutes = run.progress.seconds / 60
    left = minutes / run.share - minutes if run.share else float("nan")
    bar.set_postfix_str(f"loss {run.smooth_loss:.4f}, {left:.0f} min left", refresh=False)
    bar.update()


def _save(run: _Run) -> None:
    save_checkpoint(run.out, run.state, run.progress, _settings(run))


def _settings(run: _Run) -> dict[str, Any]:
    return run.config.to_dict() | {"images": len(run.images), "task": run.task.name}


def _preview(run: _Run) -> None:
    """Save sheets, log the metrics, and export the averaged weights."""
    held_out = run.images.pixels[torch.from_numpy(run.split.held_out)]
    step, sheet = run.progress.step, run.config.sheet
    line: dict[str, Any] = {
        "step": step,
        "minutes": round(run.progress.seconds / 60, 2),
        "images": step * run.config.batch_size,
        "loss": rounded(run.smooth_loss),
    }
    line |= run.task.preview(run.averaged, held_out, run.out / SHEETS, step, sheet)
    with (run.out / LOG_FILE).open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")
    LOG.info("%s", line)
    _export(run)


def _export(run: _Run) -> None:
    lines = (run.out / LOG_FILE).read_text("utf-8").splitlines()
    log = [json.loads(line) for line in lines]
    card = run.task.card(run.config, run.data_name, run.split, log)
    export_model(run.out / MODEL, run.averaged, card, run.task.extra_files())


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; outside the main thread it is never set."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda *_: stop.set()) for n in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
