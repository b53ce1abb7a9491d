"""`rotation run`: its options, and the summary that it prints."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from rotation.cli.common import (
    CLUSTERS,
    JsonProgress,
    Progress,
    embedding_options,
    images_option,
    model_options,
    pose_options,
    poses_csv_option,
    ray_option,
    refine_option,
    relight_option,
    rotation_errors_as_messages,
    window_options,
)
from rotation.cli.option_types import Gain, InputPath, OutputFolder, Yaws
from rotation.data.file_names import is_image_name
from rotation.data.name_lists import read_names_file
from rotation.directions.fit import FIT_METHODS
from rotation.editing.method import EDITING_METHODS
from rotation.errors import SelectionError
from rotation.file_locks import own_folder
from rotation.options import (
    AUTO,
    ClusterOptions,
    EditingOptions,
    FitOptions,
    ModelOptions,
    OutputOptions,
    PoseOptions,
    RunOptions,
    TurnOptions,
)
from rotation.reading import real_path, user_path
from rotation.remote_paths import redact

if TYPE_CHECKING:
    from rotation.report.bulk_index import SourceRow

ANIMATIONS = ("gif", "webp", "mp4")
PROGRESS_JSON = "--progress-json"
FIT, EDITING, OUTPUT = FitOptions(), EditingOptions(), OutputOptions()  # the defaults


def _describe_methods(methods: Mapping[str, Any]) -> str:
    """What each method of a registry does, for the help text."""
    return "; ".join(f"{name}: {method.description}" for name, method in methods.items())


@click.command()
@images_option
@pose_options
@poses_csv_option
@click.option("--labels", type=InputPath(), required=True, help="labels.csv of `export labels`.")
@click.option(
    "--source",
    metavar="NAME",
    help="The image whose head is turned, named relative to --images.",
)
@click.option(
    "--sources",
    metavar="LIST|NAME,...",
    help="Instead of --source: many images, as a list (a CSV file with a column filename, or one "
    "name per line) or by name. Each gets a folder, and --out an index.",
)
@click.option(
    "--source-file",
    type=InputPath(),
    metavar="FILE",
    help="Instead of --source: a picture that is not among --images. Say its light with --light.",
)
@click.option(
    "--subset",
    type=InputPath(),
    help="Pick the clusters from these images only: a list, as `subsets export` writes it.",
)
@click.option(
    "--yaw",
    "yaws",
    type=Yaws(),
    default="-30:30:10",
    show_default=True,
    help="Degrees, > 0 to the viewer's right: first:last:step or a,b,c.",
)
@click.option(
    "--source-yaw",
    type=click.FloatRange(-90, 90),
    metavar="DEGREES",
    help="The source's own yaw, where its pose is not known or doubtful.",
)
@click.option("--out", type=OutputFolder(), required=True, help="Folder for frames, strip, report.")
@click.option(
    "--attributes",
    metavar="A,B|none",
    help="Attributes that members share with the source, where a file tells them; the last is "
    "dropped first [Male,Young,Eyeglasses,Smiling; none with --method regression].",
)
@click.option(
    "--light",
    type=click.Choice(["auto", "left", "center", "right"]),
    default=CLUSTERS.light,
    show_default=True,
    help="The source's light; auto: its label.",
)
@click.option(
    "--light-window",
    type=click.FloatRange(0, 180, min_open=True),
    metavar="DEGREES",
    help="Pick members by the azimuth of their light, within so many degrees of the source's. "
    "Images without an azimuth are picked by their label.",
)
@click.option(
    "--azimuths",
    type=InputPath(),
    metavar="FILE",
    help="With --light-window: a CSV with filename and azimuth_deg, such as the proposals.csv of "
    "`classifier predict` [the file of --labels].",
)
@click.option(
    "--light-azimuth",
    type=click.FloatRange(-180, 180),
    metavar="DEGREES",
    help="With --light-window: where the source's light comes from; 0 is the camera, negative the "
    "viewer's left [that of the file].",
)
@click.option("--no-light-filter", is_flag=True, help="Clusters of every light, for comparison.")
@click.option(
    "--min-probability",
    type=click.FloatRange(0, 1),
    default=CLUSTERS.min_probability,
    show_default=True,
    help="Least probability of a member's label (p_left, p_center, p_right of labels.csv).",
)
@click.option("--similar", is_flag=True, help="Members that look like the source count more.")
@click.option("--same-person", is_flag=True, help="Also take other images of the source's person.")
@window_options
@click.option(
    "--max-cluster",
    type=click.IntRange(1),
    default=CLUSTERS.maximum,
    show_default=True,
    help="Most images a cluster; larger ones are thinned at random.",
)
@click.option(
    "--method",
    type=click.Choice(list(FIT_METHODS)),
    default=FIT.method,
    show_default=True,
    help=f"How the direction is fitted. {_describe_methods(FIT_METHODS)}.",
)
@click.option(
    "--shrink/--no-shrink",
    default=FIT.shrink,
    show_default=True,
    help="Damp frequencies on which halves of the images disagree.",
)
@click.option(
    "--editing",
    type=click.Choice(list(EDITING_METHODS)),
    help=f"How frames are made. {_describe_methods(EDITING_METHODS)} "
    "[geometry with --embedding network or smooth, else closed-loop].",
)
@click.option("--carry/--no-carry", default=None, help="The same as --editing flow, or not that.")
@click.option(
    "--closed-loop/--no-closed-loop",
    default=None,
    help="The same as --editing closed-loop, or not that.",
)
@click.option(
    "--detail",
    type=click.FloatRange(0, 1),
    default=EDITING.detail,
    show_default=True,
    help="With flow: share of the warped image's detail that frames get back.",
)
@relight_option
@click.option(
    "--gain",
    type=Gain(),
    help="With geometry, line and flow: multiplies the displacement; auto: trial frames "
    "[geometry 1, flow 0.5, line with --embedding network or smooth 1.5, else auto].",
)
@click.option(
    "--keep-norm/--no-keep-norm",
    default=EDITING.keep_norm,
    show_default=True,
    help="With line: give each moved latent the length of the source's.",
)
@embedding_options
@refine_option
@click.option(
    "--contact-sheets",
    is_flag=True,
    help="Also the clusters' mean images, and the frames over them.",
)
@click.option("--grid", is_flag=True, help="Also the strip in rows.")
@click.option("--gif", is_flag=True, help="Also an animation.")
@click.option("--webp", is_flag=True, help="Also an animation without loss of colours.")
@click.option("--mp4", is_flag=True, help="Also a video (needs requirements/pictures.txt).")
@click.option(
    "--show-size",
    type=click.IntRange(16, 2048),
    metavar="PIXELS",
    help="Side of the images written, smoothly enlarged.",
)
@click.option("--match-colours", is_flag=True, help="Give frames the source's colours (Lab).")
@click.option(
    "--sharpen",
    type=click.FloatRange(0, 3),
    default=OUTPUT.sharpen,
    show_default=True,
    help="Unsharp mask: 0.5 is gentle, 1 strong.",
)
@click.option(
    "--super-resolution",
    type=InputPath(),
    metavar="FILE.onnx",
    help="Your model to enlarge frames (needs requirements/pictures.txt).",
)
@click.option(
    "--paste-back",
    is_flag=True,
    help="Also the whole photograph with each frame in it; geometry always writes it.",
)
@click.option(
    "--save-pipeline",
    type=OutputFolder(),
    metavar="DIR",
    help="Also the model with this direction, for HeadRotationPipeline.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of all random draws."
)
@ray_option
@click.option(
    PROGRESS_JSON,
    is_flag=True,
    help="Tell the progress to another program: lines of JSON on standard error, with stage, done "
    "and total.",
)
def run(**params: Any) -> None:
    """Turn the head of a source face.

    The command selects images of other people with the same light at several head angles. It
    encodes them into the model's latent space, fits a direction to their latents, and moves the
    source along it.

    \b
    Example:
      python manage.py rotation run --images ~/CelebA --labels labels.csv \\
          --source 000123.jpg --yaw -30:30:10 --out turned/
      python manage.py rotation run --images ~/CelebA --labels labels.csv \\
          --source 000123.jpg --yaw -30:30:2 --out turned/ --show-size 256 \\
          --match-colours --sharpen 0.5 --webp --paste-back
      python manage.py rotation run --images ~/CelebA --labels labels.csv \\
          --sources sources.csv --subset subset.csv --out turned/
      python manage.py rotation run --images ~/CelebA --labels labels.csv \\
          --sources sources.csv --out turned/ --ray 10.0.0.1:6379
    """
    if sum(params[name] is not None for name in ("source", "sources", "source_file")) != 1:
        raise click.UsageError(
            "Give --source NAME, --source-file FILE or --sources LIST|NAME,..., one of them."
        )
    if params["sources"] is not None:
        _run_bulk(params)
    elif params["ray"] is not None:
        raise click.UsageError(
            "--ray shares many heads out: give them by --sources LIST|NAME,.... One head is turned "
            "in this process; leave --ray out."
        )
    else:
        _run_one(params)


def _run_one(params: dict[str, Any]) -> None:
    from rotation.run import run_rotation

    with rotation_errors_as_messages():
        options = read_options(params)
        telling = JsonProgress() if params["progress_json"] else Progress()
        with _own_outputs(options), telling as progress:
            report = run_rotation(options, _command_line(), progress)
    _print_summary(report, options)


def _command_line() -> str:
    """The command line for the report, without what only concerns the program that called.

    URLs tell neither user nor query there, which may be secrets.
    """
    return " ".join(redact(word) for word in sys.argv if word != PROGRESS_JSON)


def _run_bulk(params: dict[str, Any]) -> None:
    """Turn many heads, and say of each what became of it.

    Raises:
        click.UsageError: an option is about a single head.
        click.ClickException: sources could not be turned; exit status 1.
    """
    from rotation.bulk.running import run_bulk
    from rotation.passes.running import open_runner

    for name in ("source_yaw", "save_pipeline", "progress_json"):
        if params[name] is not None and params[name] is not False:
            raise click.UsageError(f"--{name.replace('_', '-')} is about one head: use --source.")
    with rotation_errors_as_messages():
        sources = _source_names(params["sources"])
        options = read_options(params)
        with _own_outputs(options), open_runner(params["ray"]) as runner:
            rows = run_bulk(options, sources, _command_line(), _Countdown(), runner)
    failed = sum(not row.is_done for row in rows)
    click.echo(f"index: {options.out / 'index.html'}")
    if failed:
        raise click.ClickException(
            f"{failed:,} of {len(rows):,} sources were not turned. The index has the reasons. The "
            "same command tries them again."
        )


def _source_names(given: str) -> list[str]:
    """The names of a list, or those that stand there themselves.

    Raises:
        DatasetError: the list cannot be read.
    """
    path = user_path(given)
    # Not `Path.is_file`: many names are too long for that of a file, which is an error to it.
    is_list = os.path.isfile(path) and not is_image_name(path.name)
    names = read_names_file(path) if is_list else given.split(",")
    found = [name for name in names if name.strip()]
    if not found:
        raise SelectionError("--sources names no image. Give a file, or names with commas between.")
    return found


class _Countdown:
    """Prints a line for each source: how many are done, what became of it, and the time left."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._output = sys.stdout  # before a connection to Ray sends it elsewhere

    def __call__(self, done: int, total: int, row: SourceRow) -> None:
        spent = time.monotonic() - self._began
        left = tqdm.format_interval(spent / done * (total - done))
        what = "turned" if row.is_done else f"failed: {row.reason}"
        click.echo(f"{done:,} of {total:,}: {row.source} {what} ({left} left)", self._output)


def read_options(params: dict[str, Any]) -> RunOptions:
    """The options of a run from the parameters of the command.

    Raises:
        SelectionError: the parameters ask for two editing methods.
    """
    from rotation.run import resolve_model_options

    model = resolve_model_options(model_options(params), params["images"])
    return RunOptions(
        images=params["images"],
        labels=params["labels"],
        source=params["source"] or (params["source_file"].name if params["source_file"] else ""),
        out=params["out"],
        cache=params["cache"],
        turn=TurnOptions(
            yaws_deg=params["yaws"],
            clusters=_clusters(params),
            fit=FitOptions(params["method"], params["shrink"]),
            editing=EditingOptions(
                method=_editing(params, model),
                gain=params["gain"],
                keep_norm=params["keep_norm"],
                detail=params["detail"],
                relight=params["relight"],
            ),
            seed=params["seed"],
            source_yaw_deg=params["source_yaw"],
        ),
        model=model,
        poses=PoseOptions(params["poses"], params["landmarks"]),
        output=_output(params),
        azimuths=params["azimuths"],
        subset=params["subset"],
        source_file=params["source_file"],
    )


def _clusters(params: dict[str, Any]) -> ClusterOptions:
    named, attributes = params["attributes"], None
    if named is not None:
        listed = () if named == "none" else named.split(",")
        attributes = tuple(name.strip() for name in listed if name.strip())
        if listed and not attributes:
            raise SelectionError("--attributes names none; give A,B, the word none, or leave it.")
    window = params["light_window"]
    for name in ("azimuths", "light_azimuth"):
        if params[name] is not None and window is None:
            raise SelectionError(
                f"--{name.replace('_', '-')} needs --light-window DEGREES; 30 is a usual value."
            )
    if window is not None and params["no_light_filter"]:
        raise SelectionError("--light-window and --no-light-filter exclude each other; give one.")
    return ClusterOptions(
        light=params["light"],
        light_filter=not params["no_light_filter"],
        light_window_deg=window,
        azimuth_deg=params["light_azimuth"],
        attributes=attributes,
        minimum=params["min_cluster"],
        maximum=max(params["max_cluster"], params["min_cluster"]),
        half_width_deg=params["window"],
        max_half_width_deg=params["max_window"],
        min_probability=params["min_probability"],
        same_person=params["same_person"],
        similar=params["similar"],
    )


def _editing(params: dict[str, Any], model: ModelOptions) -> str:
    """The editing method that `--editing`, `--carry` and `--closed-loop` ask for."""
    from rotation.run import default_editing_method

    chosen, flow, loop = params["editing"], params["carry"], params["closed_loop"]
    if flow and loop:
        raise SelectionError("--carry and --closed-loop are two editing methods; give one of them.")
    if chosen is None:
        return default_editing_method(model, flow, loop)
    for flag, name, asked in (("carry", "flow", flow), ("closed-loop", "closed-loop", loop)):
        if asked is not None and asked != (chosen == name):
            said = f"--{flag}" if asked else f"--no-{flag}"
            raise SelectionError(f"--editing {chosen} and {said} exclude each other; give one.")
    return str(chosen)


def _output(params: dict[str, Any]) -> OutputOptions:
    return OutputOptions(
        animations=tuple(kind for kind in ANIMATIONS if params[kind]),
        contact_sheets=params["contact_sheets"],
        grid=params["grid"],
        side=params["show_size"] or 0,
        match_colours=params["match_colours"],
        sharpen=params["sharpen"],
        super_resolution=params["super_resolution"],
        paste_back=params["paste_back"],
        save_pipeline=params["save_pipeline"],
    )


@contextmanager
def _own_outputs(options: RunOptions) -> Iterator[None]:
    """Keep other commands from writing into the folders of this run."""
    with ExitStack() as stack:
        for folder in {
            real_path(each) for each in (options.out, options.output.save_pipeline) if each
        }:
            stack.enter_context(own_folder(folder))
        yield


def _print_summary(report: dict[str, Any], options: RunOptions) -> None:
    """Print what a run did, in a few lines."""
    clusters, reached = report["clusters"], report["turn"]["reached"]
    sizes = " ".join(str(size) for size in clusters["sizes"])
    click.echo(f"clusters: {sizes} images at {clusters['angles_deg']} degrees")
    if clusters["widening"]:
        click.echo(f"to reach {options.turn.clusters.minimum}: {'; '.join(clusters['widening'])}")
    if clusters["unsure_left_out"]:
        left_out = clusters["unsure_left_out"]
        click.echo(f"left out: {left_out} images whose label is less probable than asked")
    pairs = zip(report["yaws_deg"], reached or (), strict=False)
    missed = [f"{yaw:+g}" for yaw, there in pairs if not there]
    if missed:
        click.echo(f"not reached: {', '.join(missed)} degrees; the frames turn as far as they can")
    if report["turn"]["fallback"]:
        click.echo(f"turned by flow, not by geometry: {report['turn']['fallback']}")
    for yaw, doubt in zip(report["yaws_deg"], report["turn"]["doubts"] or (), strict=False):
        if doubt:
            click.echo(f"doubtful at {yaw:+g} degrees: {doubt}")
    if report["gain"] == AUTO and reached is None:
        click.echo("no face could be read off the trial frames: turned by the plain slope (gain 1)")
    click.echo(f"strip: {options.out / 'strip.png'}")
    click.echo(f"report: {options.out / 'report.html'}")
