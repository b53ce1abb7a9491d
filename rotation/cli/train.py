"""`rotation train`, `train-embedding` and `samples`: train models, and draw what they make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rotation.cli.option_types import InputPath, OutputFile, OutputFolder, WordOrPath

if TYPE_CHECKING:
    from rotation.training.images import Images
    from rotation.training.loop import TrainingResult

SYNTHETIC = "synthetic"


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every training run: budget, split and folder."""
    options = (
        click.option("--out", required=True, type=OutputFolder(), help="Folder of the run."),
        click.option(
            "--minutes", type=click.FloatRange(min=0, min_open=True), help="Budget of time."
        ),
        click.option("--steps", type=click.IntRange(min=1), help="Budget of updates."),
        click.option(
            "--resume/--no-resume",
            default=True,
            show_default=True,
            help="Go on from the checkpoint in --out.",
        ),
        click.option(
            "--holdout",
            type=click.IntRange(min=0),
            default=500,
            show_default=True,
            help="Images never trained on; nobody is on both sides.",
        ),
        click.option(
            "--holdout-last/--holdout-random",
            default=False,
            show_default=True,
            help="Hold out the last images in their order, or people drawn at random.",
        ),
        click.option(
            "--images",
            "count",
            type=click.IntRange(min=2),
            default=30_000,
            show_default=True,
            help="How many heads to render (synthetic data), or pairs to make (refiner).",
        ),
        click.option(
            "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N, mps."
        ),
        click.option(
            "--seed",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="Of all random draws.",
        ),
        click.option(
            "--preview-minutes",
            type=float,
            default=5.0,
            show_default=True,
            help="Between two lines of the log, with their sheets.",
        ),
        click.option(
            "--checkpoint-minutes",
            type=float,
            default=2.0,
            show_default=True,
            help="Between two checkpoints. An interrupted run continues from the last one.",
        ),
        click.option("--cache", type=OutputFolder(), help="Prepared images [--out/images]."),
    )
    for option in reversed(options):
        command = option(command)
    return command


data_option = click.option(
    "--data",
    type=WordOrPath(SYNTHETIC),
    default=SYNTHETIC,
    show_default=True,
    help="'synthetic' for rendered heads, or a folder or zip of images (CelebA as distributed): "
    "for an embedding network the model's own data.",
)


@click.command("train")
@data_option
@run_options
@click.option(
    "--init",
    type=InputPath(),
    help="Model (folder or bundled name) to start from; brings its own --width, --size, --patch, "
    "--prediction.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Images a step.",
)
@click.option(
    "--lr", "learning_rate", type=float, default=5e-4, show_default=True, help="Peak learning rate."
)
@click.option(
    "--width",
    default="64,96,128",
    show_default=True,
    help="Channels per level, parted by commas.",
)
@click.option(
    "--prediction",
    type=click.Choice(["v_prediction", "epsilon", "sample"]),
    default="v_prediction",
    show_default=True,
    help="What the network predicts: velocity, noise or clean image.",
)
@click.option("--size", "image_size", default=64, show_default=True, help="Side of the images.")
@click.option("--patch", default=2, show_default=True, help="Side of the blocks taken as channels.")
@click.option(
    "--sheet",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Samples on a sheet; a quarter as many reconstructions.",
)
def train_command(
    data: str,
    out: Path,
    resume: bool,
    width: str,
    count: int,
    cache: Path | None,
    init: Path | None,
    **settings: Any,
) -> None:
    """Train a diffusion model, or continue a training run.

    Training ends at --minutes or --steps, whichever comes first, where the learning rate has fallen
    to zero. Ctrl-C stops and saves it at any time; the same command continues. The finished model
    is OUT/model. Sheets of samples are in OUT/sheets and measurements in OUT/log.jsonl.

    \b
    Examples:
      python manage.py rotation train --minutes 60 --out runs/heads
      python manage.py rotation train --data ~/CelebA --minutes 600 --out runs/celeba
    """
    from rotation.diffusion.devices import choose_device
    from rotation.diffusion.model_folder import find_model
    from rotation.errors import RotationError
    from rotation.file_locks import own_folder
    from rotation.training.config import TrainingConfig, adopt_architecture
    from rotation.training.loop import train

    require(settings["minutes"] or settings["steps"], "Give a budget: --minutes or --steps.")
    store = cache or out / "images"
    try:
        start = str(find_model(init)) if init else None
        asked = TrainingConfig(width=_widths(width), init=start, **settings)
        config = adopt_architecture(asked)
        choose_device(config.device)  # before images are prepared, which may take minutes
        with own_folder(out):
            images, name = _training_images(data, count, store, config.image_size)
            outcome = train(config, images, out, resume, name)
    except RotationError as error:
        raise click.ClickException(str(error)) from error
    print_outcome(outcome, "model")


@click.command("train-embedding")
@data_option
@run_options
@click.option("--model", type=InputPath(), help="Folder, or bundled name [synthetic-heads-64].")
@click.option(
    "--init",
    type=InputPath(),
    help="Network to start from [a copy of the model's]: that of a smaller model, or its embedding "
    "network, makes a smaller one.",
)
@click.option("--ddim-steps", type=click.IntRange(2), default=10, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--lr", "learning_rate", type=float, default=1e-3, show_default=True)
def train_embedding_command(
    model: Path | None,
    data: str,
    out: Path,
    resume: bool,
    ddim_steps: int,
    count: int,
    cache: Path | None,
    init: Path | None,
    **settings: Any,
) -> None:
    """Train the embedding network of a diffusion model, or continue a training run.

    The network gives latents in one evaluation instead of the many of inversion. Copy the finished
    OUT/model to MODEL/embedding to use it with --embedding network.

    \b
    Examples:
      python manage.py rotation train-embedding --minutes 45 --out runs/embedding
      python manage.py rotation train-embedding --model celeba-64 --data ~/CelebA \\
          --init rotation/models/synthetic-heads-64/embedding --minutes 45 --out runs/embedding
    """
    from rotation.diffusion.model_folder import find_model
    from rotation.errors import RotationError
    from rotation.file_locks import own_folder
    from rotation.training.config import TrainingConfig, adopt_architecture
    from rotation.training.encoder_task import EmbeddingTask
    from rotation.training.loop import train

    require(settings["minutes"] or settings["steps"], "Give a budget: --minutes or --steps.")
    try:
        start = str(find_model(init or model))
        asked = TrainingConfig(init=start, warmup=20, ema=0.98, **settings)
        config = adopt_architecture(asked)
        task = EmbeddingTask(model, ddim_steps, config.device)
        task.check_start(config)
        with own_folder(out):
            images, name = _training_images(data, count, cache or out / "images", config.image_size)
            outcome = train(config, images, out, resume, name, task=task)
    except RotationError as error:
        raise click.ClickException(str(error)) from error
    print_outcome(outcome, "network")


@click.command("samples")
@click.option("--model", type=InputPath(), help="Folder, or bundled name [synthetic-heads-64].")
@click.option("--out", required=True, type=OutputFile(), help="PNG to write.")
@click.option("--count", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--reconstruct", is_flag=True, help="Draw images over their reconstructions.")
@click.option(
    "--data",
    type=WordOrPath(SYNTHETIC),
    default=SYNTHETIC,
    show_default=True,
    help="Images to reconstruct: rendered heads, or the last ones of a folder or zip.",
)
@click.option(
    "--iterations",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Corrections a step when encoding; 0 is naive inversion.",
)
def samples_command(
    model: Path | None,
    out: Path,
    count: int,
    reconstruct: bool,
    data: str,
    **settings: Any,
) -> None:
    """Draw a sheet of samples of a model, or of images and their reconstructions.

    \b
    Examples:
      python manage.py rotation samples --out samples.png
      python manage.py rotation samples --reconstruct --count 16 --out again.png
      python manage.py rotation samples --reconstruct --data ~/CelebA --out again.png
    """
    from rotation.diffusion.latent_model import LatentModel
    from rotation.errors import RotationError
    from rotation.training.images import last_crops
    from rotation.training.previews import save_reconstructions, save_samples, unseen_heads

    try:
        loaded = LatentModel.load(model, **settings)
        if not reconstruct:
            save_samples(loaded, out, count)
            return
        size = loaded.image_size
        known = data == SYNTHETIC
        images = unseen_heads(count, size) if known else last_crops(Path(data), count, size)
        result = save_reconstructions(loaded, images, out)
    except RotationError as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"Mean squared error in [0, 1]: {result.mse:.5f}; size of the latents: "
        f"{result.latent_size:.3f} (noise: 1)."
    )


def _training_images(data: str, count: int, store: Path, size: int) -> tuple[Images, str]:
    """The images to train on, and their description for the model card."""
    from rotation.training.images import folder_images, synthetic_images

    if data == SYNTHETIC:
        return synthetic_images(count, store, size), "rendered synthetic heads"
    return folder_images(Path(data), store, size), f"face crops of {Path(data).name}"


def print_outcome(outcome: TrainingResult, what: str) -> None:
    state = "Finished" if outcome.finished else "Interrupted; the same command goes on"
    click.echo(f"{state}, after {outcome.steps} steps. The {what} is in {outcome.model}.")


def _widths(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    require(all(part.isdecimal() for part in parts), f"--width takes numbers as 64,96, not {text}.")
    return tuple(int(part) for part in parts)


def require(condition: object, message: str) -> None:
    if not condition:
        raise click.UsageError(message)
