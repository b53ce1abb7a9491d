"""`rotation run`: from a data set on disk to frames and reports on disk.

`run_rotation` tells the whole story. The stages of the method itself, steps 1 to 6 of the algorithm
in docs/method.md, are `rotation.editing.pipeline.rotate`. This module opens what they need, writes
what they give, and fills in the options that were left open.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from rotation.data.csv_text import FAULTS_SHOWN, shown
from rotation.data.decoding import decode
from rotation.data.image_names import match_names
from rotation.data.image_set import open_images, read_matching_tables
from rotation.data.image_source import ImageSource
from rotation.data.labels_csv import read_azimuths, read_labels, read_probabilities
from rotation.data.name_lists import read_names_file
from rotation.diffusion.devices import choose_device
from rotation.diffusion.model_folder import find_model
from rotation.directions.fit import fit_method
from rotation.editing.method import editing_method
from rotation.editing.pipeline import Data, Rotation, rotate
from rotation.editing.pose_estimators import TrainedEstimators
from rotation.errors import DatasetError, ImageError, SelectionError
from rotation.latents.encoder_network import has_network
from rotation.latents.encoders import (
    DiffusionCodec,
    open_cluster_store,
    open_codec,
    open_source_store,
)
from rotation.latents.store import LatentStore
from rotation.options import EASILY_EDITED, ModelOptions, RunOptions
from rotation.output_paths import check_folder
from rotation.passes.running import Runner, run_here
from rotation.poses.source import open_pose_source, pose_cache_path
from rotation.progress import Progress
from rotation.reading import read_bytes
from rotation.remote_paths import ImagePlace, existing_files
from rotation.report.html_report import HTML_REPORT, write_html_report
from rotation.report.json_report import describe_model, describe_run, write_json_report
from rotation.report.output_files import OutputPlan, plan_output, write_images
from rotation.synthetic_heads.dataset import TRUTH

PHOTOGRAPH_MODEL = "celeba-64"
"""The bundled model for photographs."""

ESTIMATOR_FOLDER = "pose-readers"
"""The folder of a cache that keeps pose estimators."""


def run_rotation(options: RunOptions, command: str, progress: Progress) -> dict[str, Any]:
    """Turn one head, and write frames, strip and reports into the folder `options.out`.

    The report contains the command line `command`; it is returned too.

    Raises:
        RotationError: the options or files do not fit.
    """
    timer = StageTimer(progress)
    # 1. Complete the options and check the outputs, before any long work.
    options = resolve_options(options)
    output = plan_output(options.output)
    # 2. Open the data set, the model, and the stores of its latents.
    with open_run(options) as opened:
        timer.mark("load")
        # 3. Turn the head: steps 1 to 6 of the algorithm in docs/method.md.
        result = rotate(opened.data, opened.codec, opened.store, options.turn, timer)
        timer.mark("turn")
    # 4. Write the frames and whatever else was asked for, and the reports.
    return write_result(result, options, output, opened.codec, timer, command)


@dataclass(frozen=True)
class OpenedRun:
    """What turning needs: the data set, the codec, and the store of the clusters' latents."""

    data: Data
    codec: DiffusionCodec
    store: LatentStore


@contextmanager
def open_run(options: RunOptions, runner: Runner = run_here) -> Iterator[OpenedRun]:
    """Open the data set and the model of a run.

    Parameters:
        runner: where poses are measured.

    Raises:
        RotationError: files cannot be read, or do not fit together.
    """
    with open_images(options.images) as images:
        data = _open_data(options, images, runner)
        codec = open_codec(options.model)
        store = open_cluster_store(options.cache, codec)
        if options.source_file is None:  # else nothing of the picture stays behind
            codec = keep_sources(codec, options.cache)
        yield OpenedRun(data, codec, store)


def keep_sources(codec: DiffusionCodec, cache: Path) -> DiffusionCodec:
    """The codec, which keeps sources' latents in a cache folder and finds them there.

    Raises:
        DatasetError: the folder cannot be written.
    """
    return codec.with_source_cache(open_source_store(cache, codec))


def write_result(
    result: Rotation,
    options: RunOptions,
    output: OutputPlan,
    codec: DiffusionCodec,
    timer: StageTimer,
    command: str,
) -> dict[str, Any]:
    """Write a turned head into the folder `options.out`; returns the report.

    `HTML_REPORT` comes last. So a folder that has it is complete.

    Raises:
        DatasetError: a file cannot be written.
    """
    output = replace(output, photograph=_pasted_photograph(options, result))
    shown = write_images(result, options.turn.yaws_deg, output, options.out)
    _save_pipeline(options, result)
    timer.mark("write")
    report = describe_run(result, options) | {
        "model": describe_model(codec) | {"iterations": codec.model.iterations},
        "seconds": timer.seconds,
        "command": command,
    }
    write_json_report(report, options.out / "report.json")
    write_html_report(report, result, shown, options.out / HTML_REPORT)
    return report


def resolve_options(options: RunOptions) -> RunOptions:
    """The options with model, encoder and gain filled in if they were left open.

    Raises:
        RotationError: a method is unknown, the editing method cannot take the gain, or a folder
            cannot be written. These errors would otherwise come after long work.
    """
    by_azimuth = options.turn.clusters.light_window_deg is not None
    if fit_method(options.turn.fit.method).every_light and by_azimuth:
        raise SelectionError(
            f"--method {options.turn.fit.method} learns from images of every light, so it has no "
            "use for --light-window; leave one of them out."
        )
    model = resolve_model_options(options.model, options.images)
    editing = options.turn.editing
    method, is_easy = editing_method(editing.method), model.embedding in EASILY_EDITED
    editing = replace(editing, gain=method.choose_gain(editing.gain, is_easy))
    for folder in (options.out, options.output.save_pipeline):
        if folder is not None:
            check_folder(folder)
    return replace(options, model=model, turn=replace(options.turn, editing=editing))


def resolve_model_options(model: ModelOptions, images: ImagePlace) -> ModelOptions:
    """The options with the bundled model and the encoder that suit the images.

    Photographs use `celeba-64` and its embedding network, rendered heads `synthetic-heads-64` and
    `inversion`. A model of photographs without a network for these steps uses `smooth`.
    """
    is_rendered = bool(existing_files([images / TRUTH]))
    folder = find_model(model.folder or (None if is_rendered else PHOTOGRAPH_MODEL))
    embedding = model.embedding
    if embedding is None and is_rendered:
        embedding = "inversion"
    elif embedding is None:
        embedding = "network" if has_network(folder, model.steps) else "smooth"
    return replace(model, folder=folder, embedding=embedding)


def default_editing_method(
    model: ModelOptions, flow: bool | None = None, closed_loop: bool | None = None
) -> str:
    """The name of the editing method that suits the encoder.

    This is `geometry` for the encoders of photographs and `closed-loop` for the others.
    docs/results.md compares them.

    Parameters:
        flow, closed_loop: True asks for the method, False excludes it. Geometry editing may fall
            back to the flow, so excluding the flow excludes geometry too.
    """
    if flow:
        return "flow"
    if flow is None and not closed_loop and model.embedding in EASILY_EDITED:
        return "geometry"
    if closed_loop or (closed_loop is None and model.embedding not in EASILY_EDITED):
        return "closed-loop"
    return "line"


class StageTimer:
    """Passes progress on, and adds up the seconds of each stage.

    Attributes:
        seconds: by stage.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """See `Progress`."""
        self.mark(stage)
        self._progress(stage, done, total)

    def mark(self, stage: str) -> None:
        """Add the time since the last mark to `stage`."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


def _open_data(options: RunOptions, images: ImageSource, runner: Runner) -> Data:
    """The image set with its tables, labels and poses."""
    known = set(images.names())
    outside = options.source_file
    labels = read_labels(options.labels, known)
    tables = read_matching_tables(options.images, known)
    device = choose_device(options.model.device)
    cache = pose_cache_path(options.cache, options.images)
    poses = open_pose_source(options.poses, images, tables, cache, device, runner)
    asks_probability = options.turn.clusters.min_probability > 0
    asks_azimuth = options.turn.clusters.light_window_deg is not None
    azimuths = read_azimuths(options.azimuths or options.labels, known) if asks_azimuth else {}
    return Data(
        images=images,
        tables=tables,
        labels=labels,
        poses=poses,
        source=options.source if outside is None else _outside_name(options.source, known),
        photograph=None if outside is None else _read_outside(outside),
        probabilities=read_probabilities(options.labels, known) if asks_probability else {},
        azimuths=azimuths,
        estimators=TrainedEstimators(images, poses, options.cache / ESTIMATOR_FOLDER, str(device)),
        device=device,
        pool=None if options.subset is None else _read_pool(options.subset, known, labels),
    )


def _outside_name(name: str, known: Collection[str]) -> str:
    """A name that no image of the set has, so that nothing known of another one is taken for it."""
    while name in known:
        name = f"_{name}"
    return name


def _read_outside(path: Path) -> Image.Image:
    """A picture that is not in the image set, upright, RGB.

    Raises:
        ImageError: it cannot be read or decoded.
    """
    try:
        return decode(read_bytes(path), path.name)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from None


def _read_pool(path: Path, known: set[str], labels: Mapping[str, str]) -> frozenset[str]:
    """The images of a subset.

    Raises:
        DatasetError: the list cannot be read, names other images, or has no labelled image.
    """
    names = match_names(read_names_file(path), known, doubles=True)
    unknown = [name for name in names if name not in known]
    if unknown:
        some = ", ".join(map(shown, unknown[:FAULTS_SHOWN]))
        more = ", ..." if len(unknown) > FAULTS_SHOWN else "."
        raise DatasetError(
            f"--subset {path}: {len(unknown):,} of its {len(names):,} images are not in the image "
            f"set: {some}{more}"
        )
    if not labels.keys() & set(names):
        raise DatasetError(
            f"--subset {path}: none of its {len(names):,} images has a label in --labels."
        )
    return frozenset(names)


def _pasted_photograph(options: RunOptions, result: Rotation) -> Image.Image | None:
    """The image of the source, if frames are to be pasted back into it."""
    pasted = options.output.paste_back or result.turn.fallback is not None
    return result.source.photograph if pasted else None


def _save_pipeline(options: RunOptions, result: Rotation) -> None:
    """Save the model with the direction as a `HeadRotationPipeline`, if that is asked for."""
    if options.output.save_pipeline is None:
        return
    from rotation.diffusers_pipeline import HeadRotationPipeline  # imports all of diffusers

    pipeline = HeadRotationPipeline.from_pretrained(find_model(options.model.folder))
    direction = replace(result.fit.direction, encoder=options.model.embedding or "")
    pipeline.directions[result.source.light or "any"] = direction
    pipeline.save_pretrained(options.output.save_pipeline)
