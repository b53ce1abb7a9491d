"""Commands of the rotation engine: run, poses. Heavy libraries are imported inside of them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from rotation.cli.option_types import AUTO, Gain, Yaws
from rotation.errors import RotationError

FolderPath = click.Path(path_type=Path)
LINE_EVERY_S = 10.0  # of progress, where standard error is no terminal
EMBEDDINGS = ("inversion", "smooth", "network", "refined")
METHOD_NAMES = ("paper", "samples", "one-line", "regression")


def default_cache() -> Path:
    """Where latents and poses are kept: `$XDG_CACHE_HOME/sidelight`, else `~/.cache/sidelight`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sidelight"


Command = Callable[..., Any]


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Options that several commands share, as one decorator."""

    def decorated(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


pose_options = together(
    click.option(
        "--landmarks", default="auto", show_default=True, metavar="FILE|auto|mtcnn",
        help="CelebA's landmark file; auto: the one beside the images, else MTCNN.",
    ),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N."),
)  # fmt: skip
_images = click.option("--images", type=FolderPath, required=True, help="Folder or zip of images.")
own_poses = click.option(
    "--poses", type=FolderPath, help="Your own poses.csv instead of landmarks."
)
window_options = together(
    click.option("--min-cluster", type=click.IntRange(1), default=20, show_default=True,
                 help="Before one is smaller, attributes go, then windows widen."),
    click.option("--window", type=click.FloatRange(0.5, 30), default=5.0, show_default=True,
                 help="Half width of a cluster in degrees."),
    click.option("--max-window", type=click.FloatRange(0.5, 30), default=10.0, show_default=True,
                 help="How far it may grow where a cluster is too small."),
)  # fmt: skip
model_option = click.option(
    "--model", type=FolderPath, metavar="DIR|NAME",
    help="Diffusion model [celeba-64; of rendered heads synthetic-heads-64].",
)  # fmt: skip
embedding_options = together(
    model_option,
    click.option("--steps", type=click.IntRange(2, 500), default=10, show_default=True),
    click.option("--iterations", type=click.IntRange(0, 100), default=4, show_default=True,
                 help="Corrections a step when embedding the clusters."),
    click.option("--embedding", type=click.Choice(EMBEDDINGS),
                 help="Image to latent: sampler undone; undone in one evaluation a step, inexactly "
                 "but easily turned; network; network, then sweeps "
                 "[smooth; inversion for rendered heads]."),
    click.option("--bf16/--no-bf16", default=None, help="bfloat16 [where the processor has it]."),
    click.option("--cache", type=FolderPath, help="Keeps latents and poses [~/.cache/sidelight]."),
)  # fmt: skip


@click.command()
@_images
@pose_options
@own_poses
@click.option("--labels", type=FolderPath, required=True, help="labels.csv of `export labels`.")
@click.option("--source", required=True, metavar="NAME", help="The image whose head is turned.")
@click.option("--yaw", "yaws", type=Yaws(), default="-30:30:10", show_default=True,
              help="Degrees, > 0 to the viewer's right: first:last:step or a,b,c.")  # fmt: skip
@click.option("--out", type=FolderPath, required=True, help="Folder for frames, strip, report.")
@click.option("--attributes", metavar="A,B|none",
              help="To share with the source [Male,Young,Eyeglasses,Smiling].")  # fmt: skip
@click.option("--light", type=click.Choice(["auto", "left", "center", "right"]), default="auto",
              show_default=True, help="The source's light; auto: its label.")  # fmt: skip
@click.option("--no-light-filter", is_flag=True, help="Clusters of every light, for comparison.")
@click.option("--min-probability", type=click.FloatRange(0, 1), default=0.0, show_default=True,
              help="A member's label must be so probable (p_left, ...).")  # fmt: skip
@click.option("--similar", is_flag=True, help="Members that look like the source count more.")
@click.option("--same-person", is_flag=True,
              help="Also take other pictures of the source's person.")  # fmt: skip
@window_options
@click.option("--max-cluster", type=click.IntRange(1), default=300, show_default=True)
@click.option("--method", type=click.Choice(METHOD_NAMES), default="samples", show_default=True,
              help="paper: lines through centroids; samples: through all images; regression: "
              "over every light at once, adjusted for it.")  # fmt: skip
@click.option("--shrink/--no-shrink", default=False, show_default=True,
              help="Damp frequencies on which halves of the images disagree.")  # fmt: skip
@click.option("--carry/--no-carry", default=None,
              help="Carry the picture along the flow between the clusters' means; the line does "
              "the rest [where embedded smoothly, unless in the loop].")  # fmt: skip
@click.option("--detail", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="Share of the carried picture's detail that frames get back.")  # fmt: skip
@click.option("--closed-loop/--no-closed-loop", default=None,
              help="Measure each frame's yaw and correct it by the head's gradient "
              "[unless embedded smoothly].")  # fmt: skip
@click.option("--gain", type=Gain(),
              help="Without the loop: multiplies the displacement; auto: trial frames "
              "[carried 0.5, embedded smoothly 1.5, else auto].")  # fmt: skip
@click.option("--keep-norm/--no-keep-norm", default=True, show_default=True,
              help="Of a latent that is moved along the line alone.")  # fmt: skip
@embedding_options
@click.option(
    "--contact-sheets",
    is_flag=True,
    help="Also the clusters' mean images, and the frames over them.",
)
@click.option("--grid", is_flag=True, help="Also the strip in rows.")
@click.option("--gif", is_flag=True, help="Also an animation.")
@click.option("--webp", is_flag=True, help="Also an animation without loss of colours.")
@click.option("--mp4", is_flag=True, help="Also a video (needs requirements-pictures.txt).")
@click.option("--show-size", type=click.IntRange(16, 2048), metavar="PIXELS",
              help="Side of the pictures written, smoothly enlarged.")  # fmt: skip
@click.option("--match-colours", is_flag=True, help="Give frames the source's colours (Lab).")
@click.option("--sharpen", type=click.FloatRange(0, 3), default=0.0, show_default=True,
              help="Unsharp mask: 0.5 is gentle, 1 strong.")  # fmt: skip
@click.option("--super-resolution", type=FolderPath, metavar="FILE.onnx",
              help="Your model to enlarge frames (needs requirements-pictures.txt).")  # fmt: skip
@click.option("--paste-back", is_flag=True, help="Also the whole photograph with each frame in it.")
@click.option("--save-pipeline", type=FolderPath, metavar="DIR",
              help="Also the model with this direction, for HeadRotationPipeline.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def run(**given: Any) -> None:
    """Turn the head of a source face.

    Clusters of other people with the same light are taken from the labels, embedded in the
    model's latent space, and a line through them per side gives the way to turn.

    \b
    Example:
      python manage.py rotation run --images ~/CelebA --labels labels.csv \\
          --source 000123.jpg --yaw -30:30:10 --out turned/
      python manage.py rotation run --images ~/CelebA --labels labels.csv \\
          --source 000123.jpg --yaw -30:30:2 --out turned/ --show-size 256 \\
          --match-colours --sharpen 0.5 --webp --paste-back
    """
    _quietly(_run, given)


def _run(given: Mapping[str, Any]) -> None:
    from rotation.run import run_rotation

    with Progress() as progress:
        report = run_rotation(given, " ".join(sys.argv), progress)
    sizes = " ".join(str(size) for size in report["clusters"]["sizes"])
    click.echo(f"clusters: {sizes} images at {report['clusters']['angles_deg']} degrees")
    if report["clusters"]["widening"]:
        click.echo(f"to reach {given['min_cluster']}: {'; '.join(report['clusters']['widening'])}")
    if report["clusters"]["unsure_left_out"]:
        left_out = report["clusters"]["unsure_left_out"]
        click.echo(f"left out: {left_out} images whose label is less probable than asked")
    missed = [
        f"{yaw:+g}"
        for yaw, reached in zip(report["yaws_deg"], report["turn"]["reached"] or (), strict=False)
        if not reached
    ]
    if missed:
        click.echo(f"not reached: {', '.join(missed)} degrees; the frames turn as far as they can")
    if report["gain"] == AUTO and report["turn"]["reached"] is None:
        click.echo("no face could be read off the trial frames: turned by the plain slope (gain 1)")
    click.echo(f"strip: {given['out'] / 'strip.png'}")
    click.echo(f"report: {given['out'] / 'report.html'}")


@click.command()
@_images
@pose_options
@click.option("--out", type=FolderPath, required=True, help="The poses.csv to write.")
def poses(**given: Any) -> None:
    """Measure yaw, pitch and roll of every image.

    An interrupted run goes on where it was.

    \b
    Example:
      python manage.py rotation poses --images ~/CelebA --out poses.csv
    """
    _quietly(_poses, given)


def _poses(given: Mapping[str, Any]) -> None:
    from rotation.run import measure_all

    with Progress() as progress:
        found, total = measure_all(given, progress)
    click.echo(f"{found} of {total} images have a pose: {given['out']}")


def _quietly(action: Callable[[Mapping[str, Any]], None], given: Mapping[str, Any]) -> None:
    """Run, and show an expected error as one message and exit code 1."""
    try:
        action({**given, "cache": given.get("cache") or default_cache()})
    except RotationError as error:
        raise click.ClickException(str(error)) from None


class Progress:
    """A bar a stage on standard error, with the time left.

    Silent where that is no terminal, but for a line now and then with `lines`.
    """

    def __init__(self, lines: bool = False) -> None:
        self._stage = ""
        self._bar = tqdm(disable=True)
        self._lines = lines and not sys.stderr.isatty()
        self._told = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.close()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._stage != stage:
            self._bar.close()
            self._stage = stage
            self._bar = tqdm(desc=stage, total=total, disable=None)
        self._bar.update(done - self._bar.n)
        if self._lines and (done == total or time.monotonic() - self._told >= LINE_EVERY_S):
            self._told = time.monotonic()
            click.echo(f"{time.strftime('%H:%M:%S')} {stage}: {done} of {total}", err=True)
