"""`rotation directions`: how reliable the direction of each fit method is on an image set."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotation.clusters.members import (
    encode_members,
    member_covariates,
    read_members,
)
from rotation.clusters.selection import (
    Covariates,
    Criteria,
    Selection,
    cluster_angles,
    select,
    too_small_message,
)
from rotation.data.crop import Pixels
from rotation.data.image_set import open_images, read_matching_tables
from rotation.data.image_source import ImageSource
from rotation.data.labels_csv import read_labels
from rotation.data.records import UNKNOWN, Records, join_records
from rotation.data.sources import open_source
from rotation.diffusion.devices import choose_device
from rotation.directions.fit import STUDIED_METHODS
from rotation.directions.fit_method import Sample
from rotation.directions.principal_components import principal_components
from rotation.directions.reliability import DirectionReliability, Resampling, measure_reliability
from rotation.errors import DatasetError, SelectionError
from rotation.latents.encoders import encode_here, open_cluster_store, open_codec
from rotation.options import ModelOptions, PoseOptions
from rotation.output_paths import check_folder
from rotation.poses.estimation import Poses
from rotation.poses.source import open_pose_source, pose_cache_path
from rotation.progress import Progress
from rotation.report.json_report import package_versions, write_json_report
from rotation.run import resolve_model_options
from rotation.synthetic_heads.dataset import TRUTH, read_truth, write_dataset

ANY = "any"
NOBODY = Records(("",), np.array(["center"]), np.array([UNKNOWN]), (), np.empty((1, 0), np.int64))
"""Stands in for a source, so that no person's images are left out."""


@dataclass(frozen=True)
class StudyOptions:
    """All that `rotation directions` needs.

    Attributes:
        cache: keeps latents, poses and rendered heads.
        criteria: the criteria of the clusters, apart from the light.
        images, labels: the image set and its labels.csv; None: rendered heads.
        heads: the number of rendered heads.
        light: the light that the direction is for; None: any light.
        yaws_deg: target yaws, which decide how far the clusters reach.
        methods: names among `STUDIED_METHODS`.
        components: the number of principal components of the images, for the second table.
        resampling: the number of resamples and splits.
        model, poses: the diffusion model, and where poses come from.
        seed: the seed of all random steps.
        out: a folder for directions.json; None: it is not written.
    """

    cache: Path
    criteria: Criteria
    images: Path | None = None
    labels: Path | None = None
    heads: int = 480
    light: str | None = "center"
    yaws_deg: tuple[float, ...] = tuple(float(yaw) for yaw in range(-30, 31, 10))
    methods: tuple[str, ...] = tuple(STUDIED_METHODS)
    components: int = 50
    resampling: Resampling = field(default_factory=Resampling)
    model: ModelOptions = field(default_factory=ModelOptions)
    poses: PoseOptions = field(default_factory=PoseOptions)
    seed: int = 0
    out: Path | None = None


def study_directions(options: StudyOptions, command: str, progress: Progress) -> dict[str, Any]:
    """Fit by each method and measure how reliable its direction is.

    Returns the report. It is also written to `directions.json` in the folder `options.out`.
    """
    methods = [STUDIED_METHODS[name] for name in choose_methods(options.methods)]
    if options.out is not None:
        check_folder(options.out)
    start = time.perf_counter()
    sample, crops, about = gather(options, progress)
    embedded = time.perf_counter()
    components = principal_components(crops, options.components, options.seed)
    spaces = {"latent": None, "components": components}
    found: dict[str, dict[str, DirectionReliability]] = {}
    for method in methods:
        for space, basis in spaces.items():
            measured = measure_reliability(sample, method, options.resampling, options.seed, basis)
            found.setdefault(method.name, {})[space] = measured
            done = sum(map(len, found.values()))
            progress("fit", done, len(methods) * len(spaces))
    report = about | {
        "components": len(components),
        **asdict(options.resampling),
        "ways": {
            name: {space: asdict(one) for space, one in measured.items()}
            for name, measured in found.items()
        },
        "seed": options.seed,
        "seconds": {"gather": embedded - start, "fit": time.perf_counter() - embedded},
        "versions": package_versions(),
        "command": command,
    }
    if options.out is not None:
        write_json_report(report, options.out / "directions.json")
    return report


def choose_methods(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, if all are known; raises `SelectionError` otherwise."""
    for name in names:
        if name not in STUDIED_METHODS:
            known = ", ".join(STUDIED_METHODS)
            raise SelectionError(f"--methods: {name!r} is no method; there are {known}.")
    return names


def gather(options: StudyOptions, progress: Progress) -> tuple[Sample, Pixels, dict[str, Any]]:
    """The sample that directions are fitted to, the members' crops, and a description."""
    folder, labels, poses_from = _labelled(options, progress)
    chosen = resolve_model_options(options.model, folder)
    codec = open_codec(chosen)
    store = open_cluster_store(options.cache, codec)
    with open_images(folder) as images:
        known = set(images.names())
        tables = read_matching_tables(folder, known)
        measured = pose_cache_path(options.cache, folder)
        source = open_pose_source(
            poses_from, images, tables, measured, choose_device(chosen.device)
        )
        records = join_records(labels, known, tables)
        poses = source.find_poses(records.filenames, progress)
        selection, crops = _select(options, images, records, poses, codec.image_size, progress)
    members = selection.members
    covariates = member_covariates(members, records, poses, options.light)
    sizes = _lit_sizes(selection, covariates, options.criteria.minimum)
    latents = encode_members(encode_here(codec.encode), store, members, crops, progress)
    sample = Sample(
        selection=selection,
        rows=latents.reshape(len(latents), -1),
        shape=latents.shape[1:],
        people=_people(records)[members.rows],
        covariates=covariates,
    )
    about = {
        "images": len(crops),
        "people": len(np.unique(sample.people)),
        "people_known": bool((records.identities != UNKNOWN).all()),
        "light": options.light or ANY,
        "angles_deg": selection.angles_deg,
        "sizes": sizes,
        "model": {
            "name": codec.model.name,
            "fingerprint": codec.fingerprint,
            "steps": codec.model.steps,
        },
    }
    return sample, np.stack(list(crops.values())), about


def _labelled(
    options: StudyOptions, progress: Progress
) -> tuple[Path, dict[str, str], PoseOptions]:
    """The image set, its labels and its poses; rendered heads if no image set is given."""
    if options.images is not None:
        if options.labels is None:
            raise DatasetError("--labels is needed with --images: what light is on each image.")
        with open_source(options.images) as source:
            labels = read_labels(options.labels, set(source.names()))
        return options.images, labels, options.poses
    folder = options.cache / f"heads-{options.heads}"
    write_dataset(folder, options.heads, progress=lambda d, n: progress("render", d, n))
    return folder, read_truth(folder), replace(options.poses, csv=folder / TRUTH)


def _select(
    options: StudyOptions,
    images: ImageSource,
    records: Records,
    poses: Poses,
    size: int,
    progress: Progress,
) -> tuple[Selection, dict[int, Pixels]]:
    """Select clusters of every light. Only the regression learns from all of them."""
    rng = np.random.default_rng(options.seed)
    angles = cluster_angles(options.yaws_deg)
    selection = select(records, poses, NOBODY, angles, options.criteria, rng)
    return read_members(images, selection, records, size, options.criteria, progress)


def _people(records: Records) -> NDArray[np.int64]:
    """The person of each record. Each record of an unknown person counts as one person."""
    alone = -1 - np.arange(len(records))
    return np.where(records.identities == UNKNOWN, alone, records.identities)


def _lit_sizes(selection: Selection, covariates: Covariates, minimum: int) -> list[int]:
    """The number of members under the given light; `SelectionError` if a cluster has too few."""
    lit, light = covariates.has_source_light, covariates.source_light
    edges = np.cumsum((0, *selection.sizes)).tolist()
    sizes = [int(lit[a:b].sum()) for a, b in pairwise(edges)]
    if min(sizes) < minimum:
        found = dict(zip(selection.angles_deg, sizes, strict=True))
        raise SelectionError(
            too_small_message(found, Criteria(light, minimum=minimum), "any attributes")
        )
    return sizes
