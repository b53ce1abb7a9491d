"""`rotation train-refiner`: train what draws the hidden parts of turned heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rotation.cli.option_types import InputPath
from rotation.cli.train import print_outcome, require, run_options


@click.command("train-refiner")
@click.option(
    "--data", required=True, type=InputPath(), help="A folder or zip of photographs of people."
)
@run_options
@click.option(
    "--more-data",
    multiple=True,
    type=InputPath(),
    help="A further folder or zip of photographs; may be given several times.",
)
@click.option(
    "--left-out",
    type=InputPath(),
    help="File with the names of images that are never used, one a line.",
)
@click.option(
    "--init",
    type=InputPath(),
    help="Diffusion model (folder or bundled name), or refiner (folder), to start from; brings its "
    "own widths.",
)
@click.option(
    "--size",
    "image_size",
    default=128,
    show_default=True,
    help="Side of the images: a multiple of the side of --init.",
)
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--lr", "learning_rate", type=float, default=4e-4, show_default=True)
def train_refiner_command(
    data: Path,
    more_data: tuple[Path, ...],
    left_out: Path | None,
    out: Path,
    resume: bool,
    count: int,
    cache: Path | None,
    init: Path | None,
    **settings: Any,
) -> None:
    """Train a refiner, which draws what a turn of the head hid, or continue a training run.

    Heads in photographs are turned forth and back. The refiner learns to get the photographs back.
    Copy the finished OUT/model to MODEL/refiner to use it with `rotation run` and `rotation turn`.

    \b
    Examples:
      python manage.py rotation train-refiner --data ~/CelebA --init celeba-64 --minutes 60 \\
          --out runs/refiner
      python manage.py rotation train-refiner --data lfw.zip --more-data ~/CelebA --images 8000 \\
          --left-out judged.txt --init celeba-64 --minutes 60 --out runs/refiner
      python manage.py rotation train-refiner --data ~/CelebA --minutes 60 \\
          --init rotation/models/celeba-64/refiner --out runs/longer
    """
    from rotation.diffusion.devices import choose_device
    from rotation.diffusion.model_folder import find_model
    from rotation.errors import RotationError
    from rotation.file_locks import own_folder
    from rotation.training.config import TrainingConfig
    from rotation.training.loop import train
    from rotation.training.refiner_task import RefinerTask
    from rotation.training.return_pairs import read_names, return_pairs

    require(settings["minutes"] or settings["steps"], "Give a budget: --minutes or --steps.")
    sources = [data, *more_data]
    try:
        start = str(find_model(init)) if init else None
        task = RefinerTask()
        config = task.adopt(TrainingConfig(init=start, patch=4, prediction="sample", **settings))
        choose_device(config.device)  # before heads are turned, which may take minutes
        with own_folder(out):
            names = read_names(left_out) if left_out else []
            store = cache or out / "images"
            pairs = return_pairs(sources, store, config.image_size, count, names, config.seed)
            name = "photographs of " + " and ".join(source.name for source in sources)
            outcome = train(config, pairs, out, resume, name, task=task)
    except RotationError as error:
        raise click.ClickException(str(error)) from error
    print_outcome(outcome, "refiner")
