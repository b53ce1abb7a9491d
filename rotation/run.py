"""What the commands do: files opened, the pipeline run, frames and report written."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from rotation.cli.option_types import AUTO
from rotation.dataset.celeba import Tables, read_tables
from rotation.dataset.sources import ImageSource, open_source, safe_name
from rotation.devices import bf16_pays, choose_device
from rotation.directions.fit import Fit
from rotation.editing.flow_editing import CARRIED_GAIN
from rotation.editing.pipeline import Data, Options, Rotation, rotate
from rotation.editing.pose_readers import READERS, TaughtReaders
from rotation.embedders import EmbeddedModel, choose_embedding
from rotation.embedding import Progress, read_image
from rotation.errors import DatasetError, SelectionError
from rotation.images import (
    check_writable,
    save_text,
)
from rotation.latents import LatentStore
from rotation.model_folder import find_model
from rotation.output import read_wanted, write_pictures
from rotation.poses import poses_csv
from rotation.posing import (
    PoseBook,
    book_from_csv,
    book_from_detector,
    book_from_landmarks,
    cache_file,
)
from rotation.postprocess import describe_finish
from rotation.records import LABELS, UNKNOWN, read_labels, read_probabilities
from rotation.report import versions, write_report
from rotation.report_page import write_page
from rotation.unet import LatentModel

REAL_FACES = "celeba-64"
SMOOTH_GAIN = 1.5
"""Takes smoothly embedded photographs as far as asked, in the median (docs/real-faces.md)."""

TRUTH = "truth.csv"  # beside rendered heads alone


def run_rotation(given: Mapping[str, Any], command: str, progress: Progress) -> dict[str, Any]:
    """`rotation run`: turn one head and write frames, strip and report into `given["out"]`.

    `given` holds the command's options by name. Returns the report.
    """
    given = with_defaults(given)
    for folder in (given["out"], given["save_pipeline"]):
        if folder is not None:
            check_writable(folder)
    clock = Clock(progress)
    options, wanted = _options(given), read_wanted(given)
    labels = read_labels(given["labels"])
    with open_source(given["images"]) as images:
        tables = read_tables(given["images"])
        poses = open_poses(given, images, tables, cache_file(given["cache"], given["images"]))
        model = load_model(
            given["model"], given["device"], given["steps"], given["iterations"], given["bf16"]
        )
        encoder = choose_embedding(model, given["embedding"], given["model"])
        store = open_store(given["cache"], encoder)
        encoder = encoder.remembering(open_sources(given["cache"], encoder))
        clock.mark("load")
        sure = read_probabilities(given["labels"]) if options.min_probability else {}
        readers = TaughtReaders(images, poses, given["cache"] / READERS)
        data = Data(images, tables, labels, poses, given["source"], sure, readers)
        result = rotate(data, encoder, store, options, clock)
        if given["paste_back"]:
            wanted = replace(wanted, photograph=read_image(images, safe_name(given["source"])))
    clock.mark("turn")
    shown = write_pictures(result, options.yaws_deg, wanted, given["out"])
    if given["save_pipeline"] is not None:
        light = result.source.light
        save_pipeline(given["model"], light, result.fit, given["save_pipeline"])
    clock.mark("write")
    report = describe(result, options, given) | {
        "model": {
            "name": model.name,
            "fingerprint": encoder.fingerprint,
            "steps": model.steps,
            "iterations": model.iterations,
            "embedding": encoder.way,
        },
        "seconds": clock.seconds,
        "command": command,
    }
    write_report(report, given["out"] / "report.json")
    write_page(report, result, shown, given["out"] / "report.html")
    return report


def with_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options, the model and the ways of embedding and turning filled in where not given.

    Photographs are embedded smoothly and carried, rendered heads embedded exactly and turned in
    the closed loop, each by its bundled model: what was measured to do best (docs/real-faces.md,
    docs/closed-loop.md). Raises `SelectionError` for ways of turning that exclude each other.
    """
    rendered = (given["images"] / TRUTH).is_file()
    model = given["model"] or find_model(None if rendered else REAL_FACES)
    embedding = given["embedding"] or ("inversion" if rendered else "smooth")
    smooth = embedding == "smooth"
    carry, loop, gain = given.get("carry"), given.get("closed_loop"), given.get("gain")
    if carry and loop:
        raise SelectionError("--carry and --closed-loop are two ways to turn; give one of them.")
    if carry is None:
        carry = smooth and not loop
    if loop is None:
        loop = not smooth and not carry
    if carry and gain == AUTO:
        raise SelectionError(
            "--gain auto reads steps along the line alone: give --no-carry as well, or a number."
        )
    usual = CARRIED_GAIN if carry else SMOOTH_GAIN if smooth else AUTO
    filled = {"model": model, "embedding": embedding, "gain": gain or usual}
    return {**given, **filled, "carry": carry, "closed_loop": loop}


def measure_all(given: Mapping[str, Any], progress: Progress) -> tuple[int, int]:
    """`rotation poses`: the poses of all images into `given["out"]`; how many have one, of all."""
    check_writable(given["out"].parent)
    with open_source(given["images"]) as images:
        tables = read_tables(given["images"])
        book = open_poses({**given, "poses": None}, images, tables, given["out"])
        names = images.names()
        found = book.poses(names, progress)
    if book.cache is None:  # from a landmark file: quick enough to be written anew
        save_text(poses_csv(names, found), given["out"])
    return int(np.isfinite(found.yaw_deg).sum()), len(names)


def read_truth(folder: Path) -> dict[str, str]:
    """Filename -> light of a synthetic data set, less those on the boundary of two classes."""
    with (folder / TRUTH).open(encoding="ascii", newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["filename"]: row["light"] for row in rows if row["light"] in LABELS}


class Clock:
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
    given: Mapping[str, Any], images: ImageSource, tables: Tables, measured: Path
) -> PoseBook:
    """Where poses come from: the user's CSV, a landmark file, or the detector.

    What the detector measures is kept in the file `measured`.
    """
    if given["poses"] is not None:
        return book_from_csv(given["poses"])
    choice = given["landmarks"]
    if choice not in ("auto", "mtcnn"):
        if not Path(choice).is_file():
            raise DatasetError(f"--landmarks {choice}: no such file; give a file, auto or mtcnn.")
        return book_from_landmarks(Path(choice))
    if choice == "auto" and tables.landmarks is not None:
        return book_from_landmarks(tables.landmarks)
    return book_from_detector(images, measured, choose_device(given["device"]))


def load_model(
    folder: Path | None, device: str, steps: int, iterations: int, bf16: bool | None
) -> LatentModel:
    """The model; `bf16` None takes bfloat16 where the device computes with it natively."""
    place = choose_device(device)
    native = bf16_pays(place) if bf16 is None else bf16
    return LatentModel.load(
        folder, device=str(place), steps=steps, iterations=iterations, bf16=native
    )


def open_store(cache: Path, model: LatentModel | EmbeddedModel) -> LatentStore:
    """The model's latents of clusters on disk."""
    return _open_latents(cache, model.fingerprint, model.image_size)


def open_sources(cache: Path, model: EmbeddedModel) -> LatentStore:
    """The latents on disk of faces that were turned, which are found with more care."""
    return _open_latents(cache, model.source_fingerprint, model.image_size)


def _open_latents(cache: Path, fingerprint: str, size: int) -> LatentStore:
    try:
        return LatentStore(cache / "latents", fingerprint, (3, size, size))
    except OSError as error:
        raise DatasetError(f"--cache {cache}: cannot be written ({error.strerror}).") from None


def save_pipeline(folder: Path | None, light: str | None, fit: Fit, out: Path) -> None:
    """Write the model with the direction of this light as a `HeadRotationPipeline`."""
    from rotation.diffusers_pipeline import HeadRotationPipeline  # late: loads all of diffusers

    pipeline = HeadRotationPipeline.from_pretrained(find_model(folder))
    pipeline.directions[light or "any"] = fit.direction
    pipeline.save_pretrained(out)


def describe(result: Rotation, options: Options, given: Mapping[str, Any]) -> dict[str, Any]:
    """The report of a rotation, less what only the command knows."""
    selection, direction = result.selection, result.fit.direction
    return {
        "source": {
            "name": given["source"],
            "yaw_deg": result.source.yaw_deg,
            "light": result.source.light,
        },
        "yaws_deg": options.yaws_deg,
        "clusters": {
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
        },
        "fit": {
            "method": options.method,
            "shrink": options.shrink,
            "r2_left": direction.r2_left,
            "r2_right": direction.r2_right,
            "split_half_cosine_left": result.fit.cosine_left,
            "split_half_cosine_right": result.fit.cosine_right,
            "worth": result.fit.worth and asdict(result.fit.worth),
            "angles": [asdict(fit) for fit in result.angle_fits],
        },
        "carried": {"detail": options.detail} if options.carry else None,
        "gain": given["gain"],
        "turn": asdict(result.turn),
        "finish": describe_finish(given),
        "latent_norm": {"source": result.source_norm, "frames": result.norms},
        "reconstruction_mse": result.reconstruction_mse,
        "seed": options.seed,
        "versions": versions(),
    }


def _options(given: Mapping[str, Any]) -> Options:
    named = given["attributes"]
    attributes = None
    if named is not None:
        listed = () if named == "none" else named.split(",")
        attributes = tuple(name.strip() for name in listed if name.strip())
    return Options(
        yaws_deg=given["yaws"],
        light=given["light"],
        light_filter=not given["no_light_filter"],
        attributes=attributes,
        minimum=given["min_cluster"],
        maximum=max(given["max_cluster"], given["min_cluster"]),
        half_width_deg=given["window"],
        max_half_width_deg=given["max_window"],
        min_probability=given["min_probability"],
        same_person=given["same_person"],
        similar=given["similar"],
        method=given["method"],
        shrink=given["shrink"],
        keep_norm=given["keep_norm"],
        gain=None if given["gain"] == AUTO else given["gain"],
        closed_loop=given["closed_loop"],
        carry=given["carry"],
        detail=given["detail"],
        seed=given["seed"],
    )
