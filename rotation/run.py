"""`rotation run` from files to files: open, turn, write; and what other commands open alike."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rotation.data.celeba import Tables, read_tables
from rotation.data.crop import read_image
from rotation.data.labels_csv import read_labels, read_probabilities
from rotation.data.records import UNKNOWN
from rotation.data.sources import ImageSource, open_source, safe_name
from rotation.diffusion.devices import bf16_pays, choose_device
from rotation.diffusion.latent_model import LatentModel
from rotation.diffusion.model_folder import find_model
from rotation.directions.fit import Fit, fit_method
from rotation.editing.method import EstimatorFactory, editing_method
from rotation.editing.pipeline import Data, Rotation, rotate
from rotation.errors import DatasetError
from rotation.imaging.finishing import describe_finish
from rotation.imaging.images import check_writable, save_text
from rotation.latents.encoders import EmbeddedModel, choose_embedding
from rotation.latents.store import LatentStore
from rotation.options import ClusterOptions, FitOptions, ModelOptions, PoseOptions, RunOptions
from rotation.poses.pose_csv import poses_csv
from rotation.poses.source import PoseSource, cache_file, from_csv, from_detector, from_landmarks
from rotation.progress import Progress
from rotation.report.html_report import write_page
from rotation.report.json_report import versions, write_report
from rotation.report.output_files import open_output, write_pictures
from rotation.synthetic_heads.dataset import TRUTH

if TYPE_CHECKING:
    from rotation.editing.pose_estimators import PoseEstimators


REAL_FACES = "celeba-64"
ESTIMATORS = "pose-readers"  # the folder of a cache that keeps pose estimators


def run_rotation(options: RunOptions, command: str, progress: Progress) -> dict[str, Any]:
    """Turn one head, and write frames, strip and report into `options.out`.

    `command` is told in the report, which is returned. Raises a `RotationError` for whatever in
    the options or files does not fit.
    """
    options = with_defaults(options)
    timer = StageTimer(progress)
    output = open_output(options.output)
    labels = read_labels(options.labels)
    with open_source(options.images) as images:
        tables = read_tables(options.images)
        device = choose_device(options.model.device)
        measured = cache_file(options.cache, options.images)
        poses = open_poses(options.poses, images, tables, measured, device)
        model, encoder = open_model(options.model)
        store = open_cluster_latents(options.cache, encoder)
        encoder = encoder.remembering(open_source_latents(options.cache, encoder))
        timer.mark("load")
        sure = read_probabilities(options.labels) if options.turn.clusters.min_probability else {}
        estimators = _estimators(images, poses, options.cache / ESTIMATORS, str(device))
        data = Data(images, tables, labels, poses, options.source, sure, estimators, device)
        result = rotate(data, encoder, store, options.turn, timer)
        if options.output.paste_back:
            photograph = read_image(images, safe_name(options.source))
            output = replace(output, photograph=photograph)
    timer.mark("turn")
    shown = write_pictures(result, options.turn.yaws_deg, output, options.out)
    if options.output.save_pipeline is not None:
        light = result.source.light
        save_pipeline(options.model.folder, light, result.fit, options.output.save_pipeline)
    timer.mark("write")
    report = describe(result, options) | {
        "model": describe_model(model, encoder) | {"iterations": model.iterations},
        "seconds": timer.seconds,
        "command": command,
    }
    write_report(report, options.out / "report.json")
    write_page(report, result, shown, options.out / "report.html")
    return report


def with_defaults(options: RunOptions) -> RunOptions:
    """The options with model, embedding and gain filled in where they were left open.

    Raises a `RotationError` at once for what would only fail after long work: an unknown method,
    a gain that the editing method cannot take, a folder that cannot be written.
    """
    fit_method(options.turn.fit.method)
    model = with_model_defaults(options.model, options.images)
    editing = options.turn.editing
    method, smooth = editing_method(editing.method), model.embedding == "smooth"
    editing = replace(editing, gain=method.choose_gain(editing.gain, smooth))
    for folder in (options.out, options.output.save_pipeline):
        if folder is not None:
            check_writable(folder)
    return replace(options, model=model, turn=replace(options.turn, editing=editing))


def with_model_defaults(model: ModelOptions, images: Path) -> ModelOptions:
    """The options with the model and the embedding that suit the images, where left open.

    Photographs are embedded smoothly, rendered heads exactly, each by its bundled model.
    """
    rendered = (images / TRUTH).is_file()
    folder = model.folder or find_model(None if rendered else REAL_FACES)
    embedding = model.embedding or ("inversion" if rendered else "smooth")
    return replace(model, folder=folder, embedding=embedding)


def choose_editing(
    model: ModelOptions, warp: bool | None = None, closed_loop: bool | None = None
) -> str:
    """The editing method that suits an embedding, where nothing or little was asked for.

    Smoothly embedded faces are warped along the flow, others turned in the closed loop: what
    was measured to do best (docs/real-faces.md, docs/closed-loop.md). `warp` and `closed_loop`
    ask for one of these, or rule it out.
    """
    if warp or (warp is None and not closed_loop and model.embedding == "smooth"):
        return "flow"
    if closed_loop or (closed_loop is None and model.embedding != "smooth"):
        return "closed-loop"
    return "line"


def measure_all(
    images: Path, poses: PoseOptions, device: str, out: Path, progress: Progress
) -> tuple[int, int]:
    """`rotation poses`: the poses of all images into `out`; how many have one, of all."""
    check_writable(out.parent)
    with open_source(images) as source:
        tables = read_tables(images)
        book = open_poses(poses, source, tables, out, choose_device(device))
        names = source.names()
        found = book.poses(names, progress)
    if book.cache is None:  # from a landmark file: quick enough to be written anew
        save_text(poses_csv(names, found), out)
    return int(np.isfinite(found.yaw_deg).sum()), len(names)


class StageTimer:
    """Hands progress on, and adds up the seconds of each stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.mark(stage)
        self._progress(stage, done, total)

    def mark(self, stage: str) -> None:
        """Book the time since the last mark on `stage`."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


def open_poses(
    options: PoseOptions, images: ImageSource, tables: Tables, measured: Path, device: Any
) -> PoseSource:
    """Where poses come from: the user's CSV, a landmark file, or the detector on `device`.

    What the detector measures is kept in the file `measured`.
    """
    if options.csv is not None:
        return from_csv(options.csv)
    choice = options.landmarks
    if choice not in ("auto", "mtcnn"):
        if not Path(choice).is_file():
            raise DatasetError(f"--landmarks {choice}: no such file; give a file, auto or mtcnn.")
        return from_landmarks(Path(choice))
    if choice == "auto" and tables.landmarks is not None:
        return from_landmarks(tables.landmarks)
    return from_detector(images, measured, device)


def open_model(options: ModelOptions) -> tuple[LatentModel, EmbeddedModel]:
    """The model, and the same with its embedding (None: inversion).

    `bf16` None takes bfloat16 where the device computes with it natively.
    """
    place = choose_device(options.device)
    native = bf16_pays(place) if options.bf16 is None else options.bf16
    model = LatentModel.load(
        options.folder, str(place), options.steps, options.iterations, bf16=native
    )
    return model, choose_embedding(model, options.embedding or "inversion", options.folder)


def open_cluster_latents(cache: Path, model: EmbeddedModel) -> LatentStore:
    """The model's latents of clusters on disk."""
    return _open_latents(cache, model.fingerprint, model.image_size)


def open_source_latents(cache: Path, model: EmbeddedModel) -> LatentStore:
    """The latents on disk of faces that were turned, which are found with more care."""
    return _open_latents(cache, model.source_fingerprint, model.image_size)


def _open_latents(cache: Path, fingerprint: str, size: int) -> LatentStore:
    try:
        return LatentStore(cache / "latents", fingerprint, (3, size, size))
    except OSError as error:
        raise DatasetError(f"--cache {cache}: cannot be written ({error.strerror}).") from None


def _estimators(
    images: ImageSource, poses: PoseSource, cache: Path, device: str
) -> EstimatorFactory:
    """Pose estimators taught by the image set; what they need is imported when one is made."""

    def make(size: int, seed: int, progress: Progress | None) -> PoseEstimators:
        from rotation.editing.pose_estimators import TrainedEstimators

        return TrainedEstimators(images, poses, cache, device)(size, seed, progress)

    return make


def save_pipeline(folder: Path | None, light: str | None, fit: Fit, out: Path) -> None:
    """Write the model with the direction of this light as a `HeadRotationPipeline`."""
    from rotation.diffusers_pipeline import HeadRotationPipeline  # late: loads all of diffusers

    pipeline = HeadRotationPipeline.from_pretrained(find_model(folder))
    pipeline.directions[light or "any"] = fit.direction
    pipeline.save_pretrained(out)


def describe_model(model: LatentModel, encoder: EmbeddedModel) -> dict[str, Any]:
    """A model and its embedding, as reports tell of them."""
    return {
        "name": model.name,
        "fingerprint": encoder.fingerprint,
        "steps": model.steps,
        "embedding": encoder.way,
    }


def describe(result: Rotation, options: RunOptions) -> dict[str, Any]:
    """The report of a rotation, less what only the command knows."""
    turn = options.turn
    return {
        "source": {
            "name": options.source,
            "yaw_deg": result.source.yaw_deg,
            "light": result.source.light,
        },
        "yaws_deg": turn.yaws_deg,
        "clusters": _describe_clusters(result, turn.clusters),
        "fit": _describe_fit(result, turn.fit),
        "carried": None if result.warped is None else {"detail": turn.editing.detail},
        "gain": turn.editing.gain,
        "turn": asdict(result.turn),
        "finish": describe_finish(options.output),
        "latent_norm": {"source": result.source_norm, "frames": result.norms},
        "reconstruction_mse": result.reconstruction_mse,
        "seed": turn.seed,
        "versions": versions(),
    }


def _describe_clusters(result: Rotation, options: ClusterOptions) -> dict[str, Any]:
    selection = result.selection
    return {
        "angles_deg": selection.angles_deg,
        "sizes": selection.sizes,
        "attributes": selection.attributes,
        "attributes_dropped": selection.dropped,
        "half_width_deg": options.half_width_deg,
        "half_widths_deg": selection.half_widths_deg,
        "mean_yaws_deg": selection.mean_yaws_deg,
        "effective_sizes": [cluster.effective_size for cluster in selection.clusters],
        "widening": selection.widening,
        "min_probability": options.min_probability,
        "unsure_left_out": selection.unsure,
        "similar": options.similar,
        "same_person": options.same_person,
        "identity_known": bool(result.source.record.identities[0] != UNKNOWN),
    }


def _describe_fit(result: Rotation, options: FitOptions) -> dict[str, Any]:
    fit = result.fit
    return {
        "method": options.method,
        "shrink": options.shrink,
        "r2_left": fit.direction.r2_left,
        "r2_right": fit.direction.r2_right,
        "split_half_cosine_left": fit.cosine_left,
        "split_half_cosine_right": fit.cosine_right,
        "worth": fit.reliability and asdict(fit.reliability),
        "angles": [asdict(one) for one in result.angle_fits],
    }
