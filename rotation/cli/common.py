"""What the engine's commands share: options, the progress bar and error messages."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import click
from tqdm import tqdm

from rotation.cli.option_types import ImagesPath, InputPath, OutputFolder, RayAddress, WordOrPath
from rotation.errors import RotationError
from rotation.options import ClusterOptions, EncoderName, ModelOptions, PoseOptions
from rotation.reading import home_folder, user_path

JSON_EVERY_S = 0.2  # between two lines about one stage
LINE_EVERY_S = 10.0  # between lines of progress if standard error is no terminal
ENCODER_NAMES: tuple[EncoderName, ...] = get_args(EncoderName)
CLUSTERS, MODEL, POSES = ClusterOptions(), ModelOptions(), PoseOptions()  # the defaults


def default_cache() -> Path:
    """The cache folder: `$XDG_CACHE_HOME/sidelight`, or `~/.cache/sidelight`.

    Raises:
        ClickException: no home folder is known.
    """
    named, home = os.environ.get("XDG_CACHE_HOME"), home_folder()
    if named:
        return user_path(named) / "sidelight"
    if home is None:
        raise click.ClickException(
            "No home folder is known; say where to keep what is computed with --cache DIR."
        )
    return home / ".cache" / "sidelight"


Command = Callable[..., Any]


def cache_option(what: str) -> Callable[[Command], Command]:
    """The option `--cache`; `what` it keeps, for the help text."""
    return click.option(
        "--cache",
        type=OutputFolder(),
        default=default_cache,
        show_default="~/.cache/sidelight",
        help=f"Keeps {what}.",
    )


def combine_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, for commands that share them."""

    def decorated(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


device_option = click.option(
    "--device", default=MODEL.device, show_default=True, help="auto, cpu, cuda, cuda:N."
)
pose_options = combine_options(
    click.option(
        "--landmarks",
        type=WordOrPath("auto", "mtcnn"),
        default=POSES.landmarks,
        show_default=True,
        metavar="FILE|auto|mtcnn",
        help="CelebA's landmark file; auto: the one beside the images, else MTCNN.",
    ),
    device_option,
)
ray_option = click.option(
    "--ray",
    type=RayAddress(),
    metavar="HOST:PORT|local",
    help="Compute on a Ray cluster, or on all processors of this machine "
    "(needs requirements/distributed.txt).",
)
images_option = click.option(
    "--images",
    type=ImagesPath(),
    required=True,
    help="Folder or zip of images, or the URL of one in an object store, such as "
    "s3://bucket/CelebA (needs requirements/remote.txt).",
)
poses_csv_option = click.option(
    "--poses", type=InputPath(), help="Your own poses.csv instead of landmarks."
)
min_cluster_help = (
    "Least images a cluster. To reach it, attributes are dropped first, then windows widened."
)
window_options = combine_options(
    click.option(
        "--min-cluster",
        type=click.IntRange(1),
        default=CLUSTERS.minimum,
        show_default=True,
        help=min_cluster_help,
    ),
    click.option(
        "--window",
        type=click.FloatRange(0.5, 30),
        default=CLUSTERS.half_width_deg,
        show_default=True,
        help="Half width of a cluster in degrees.",
    ),
    click.option(
        "--max-window",
        type=click.FloatRange(0.5, 30),
        default=CLUSTERS.max_half_width_deg,
        show_default=True,
        help="Largest half width, up to which windows of small clusters are widened.",
    ),
)
model_option = click.option(
    "--model",
    type=InputPath(),
    metavar="DIR|NAME",
    help="Diffusion model [celeba-64; of rendered heads synthetic-heads-64].",
)
steps_option = click.option(
    "--steps",
    type=click.IntRange(2, 500),
    default=MODEL.steps,
    show_default=True,
    help="Steps of the sampler.",
)
refine_option = click.option(
    "--refine/--no-refine",
    default=True,
    show_default=True,
    help="Let the model's refiner draw hidden parts, if it has one.",
)
relight_option = click.option(
    "--relight/--no-relight",
    default=True,
    show_default=True,
    help="Let the light stay where it is while geometry turns the head, or turn with it.",
)

bf16_option = click.option(
    "--bf16/--no-bf16",
    default=None,
    help="Compute the network in bfloat16 [where the processor has it].",
)
embedding_options = combine_options(
    model_option,
    steps_option,
    click.option(
        "--iterations",
        type=click.IntRange(0, 100),
        default=MODEL.iterations,
        show_default=True,
        help="With --embedding inversion: corrections a step for the clusters.",
    ),
    click.option(
        "--embedding",
        type=click.Choice(ENCODER_NAMES),
        help="How images become latents. inversion: the sampler undone exactly; smooth: undone by "
        "one evaluation a step, inexact but easier to turn; network: an encoder network predicts; "
        "refined: its prediction is improved [network where the model has one, else smooth; "
        "inversion for rendered heads].",
    ),
    bf16_option,
    cache_option("latents and poses"),
)


def model_options(params: dict[str, Any]) -> ModelOptions:
    """The model options among the parameters of a command."""
    names = ("device", "steps", "iterations", "embedding", "bf16", "refine")
    given = {name: params[name] for name in names if name in params}
    return ModelOptions(folder=params["model"], **given)


@contextmanager
def rotation_errors_as_messages() -> Iterator[None]:
    """Print an expected error as a message, and exit with code 1."""
    try:
        yield
    except RotationError as error:
        raise click.ClickException(str(error)) from None


class Progress:
    """A progress bar for each stage on standard error, with the time left.

    If standard error is no terminal, nothing is shown, or with `lines` a line now and then.
    """

    def __init__(self, lines: bool = False) -> None:
        self._stage, self._began, self._before = "", 0.0, 0
        self._bar = tqdm(disable=True)
        self._lines = lines and not sys.stderr.isatty()
        self._last_line = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.close()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._stage != stage:
            self._bar.close()
            self._stage, self._began, self._before = stage, time.monotonic(), done
            self._bar = tqdm(desc=stage, total=total, disable=None)
        self._bar.update(done - self._bar.n)
        if self._lines and (done == total or time.monotonic() - self._last_line >= LINE_EVERY_S):
            self._last_line = time.monotonic()
            told = f"{time.strftime('%H:%M:%S')} {stage}: {done} of {total}"
            click.echo(told + self._speed(done, total), err=True)

    def _speed(self, done: int, total: int) -> str:
        """How many a second, and the time left; empty before two reports."""
        rate = (done - self._before) / max(time.monotonic() - self._began, 1e-9)
        if done in (self._before, total):
            return ""
        return f", {rate:.3g} a second, {tqdm.format_interval((total - done) / rate)} left"


class JsonProgress:
    """Tells the progress to another program: a line of JSON on standard error for each report.

    A line is an object with `stage`, `done` and `total`. Of one stage there are a few a second.
    """

    def __init__(self) -> None:
        self._stage = ""
        self._last_line = 0.0

    def __enter__(self) -> JsonProgress:
        return self

    def __exit__(self, *exc: object) -> None:
        """Do nothing: each line is complete."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """See `rotation.progress.Progress`."""
        now = time.monotonic()
        if stage == self._stage and done < total and now - self._last_line < JSON_EVERY_S:
            return
        self._stage, self._last_line = stage, now
        click.echo(json.dumps({"stage": stage, "done": done, "total": total}), err=True)
