"""`rotation directions`: what each way of fitting is worth on an image set."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotation.clusters import cluster_angles, describe_members, embed_members, read_members
from rotation.dataset.celeba import read_tables
from rotation.dataset.sources import ImageSource, open_source
from rotation.directions.fit import Covariates
from rotation.directions.principal_components import principal_components
from rotation.directions.reliability import Draws, Worth, worth
from rotation.directions.ways import WAYS, Sample
from rotation.embedders import choose_embedding
from rotation.embedding import Progress
from rotation.errors import DatasetError, SelectionError
from rotation.images import Pixels, check_writable
from rotation.poses import Poses
from rotation.posing import cache_file
from rotation.records import UNKNOWN, Records, join_records, read_labels
from rotation.report import versions, write_report
from rotation.run import TRUTH, load_model, open_poses, open_store, read_truth, with_defaults
from rotation.selection import Criteria, Selection, select, too_small
from rotation.synthetic import write_dataset

ANY = "any"
NOBODY = Records(("",), np.array(["center"]), np.array([UNKNOWN]), (), np.empty((1, 0), np.int64))
"""No source: nobody's pictures are left out."""


def study_directions(given: Mapping[str, Any], command: str, progress: Progress) -> dict[str, Any]:
    """Fit every way asked for and tell what it is worth; `given` holds the options by name.

    Returns the report, which is left in the folder `given["out"]` too, as `directions.json`.
    """
    ways = [WAYS[name] for name in choose_ways(given["methods"])]
    if given["out"] is not None:
        check_writable(given["out"])
    start = time.perf_counter()
    sample, crops, about = gather(given, progress)
    embedded = time.perf_counter()
    components = principal_components(crops, given["components"], given["seed"])
    spaces = {"latent": None, "components": components}
    draws, seed = Draws(given["resamples"], given["splits"]), given["seed"]
    found: dict[str, dict[str, Worth]] = {}
    for way in ways:
        for space, basis in spaces.items():
            found.setdefault(way.name, {})[space] = worth(sample, way, draws, seed, basis)
            done = sum(map(len, found.values()))
            progress("fit", done, len(ways) * len(spaces))
    report = about | {
        "components": len(components),
        **asdict(draws),
        "ways": {name: {space: asdict(one) for space, one in spaces.items()}
                 for name, spaces in found.items()},
        "seed": seed,
        "seconds": {"gather": embedded - start, "fit": time.perf_counter() - embedded},
        "versions": versions(),
        "command": command,
    }  # fmt: skip
    if given["out"] is not None:
        write_report(report, given["out"] / "directions.json")
    return report


def choose_ways(names: tuple[str, ...] | None) -> tuple[str, ...]:
    """The ways of these names, all without any; `SelectionError` for one that there is not."""
    for name in names or ():
        if name not in WAYS:
            raise SelectionError(f"--methods: {name!r} is none; there are {', '.join(WAYS)}.")
    return names or tuple(WAYS)


def gather(given: Mapping[str, Any], progress: Progress) -> tuple[Sample, Pixels, dict[str, Any]]:
    """The members of all clusters with their latents, their crops, and the report of them."""
    given, labels = _labelled(given, progress)
    model = load_model(*(given[key] for key in ("model", "device", "steps", "iterations", "bf16")))
    encoder = choose_embedding(model, given["embedding"], given["model"])
    store = open_store(given["cache"], encoder)
    with open_source(given["images"]) as images:
        tables = read_tables(given["images"])
        book = open_poses(given, images, tables, cache_file(given["cache"], given["images"]))
        records = join_records(labels, images.names(), tables)
        poses = book.poses(records.filenames, progress)
        selection, crops = _select(given, images, records, poses, model.image_size, progress)
    members = selection.members
    light = None if given["light"] == ANY else given["light"]
    covariates = describe_members(members, records, poses, light)
    sizes = _lit_sizes(selection, covariates, given["min_cluster"])
    latents = embed_members(encoder, store, members, crops, progress)
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
        "light": given["light"],
        "angles_deg": selection.angles_deg,
        "sizes": sizes,
        "model": {"name": model.name, "fingerprint": encoder.fingerprint, "steps": model.steps},
    }
    return sample, np.stack(list(crops.values())), about


def _labelled(
    given: Mapping[str, Any], progress: Progress
) -> tuple[Mapping[str, Any], dict[str, str]]:
    """The options with an image set in them, rendered heads where none is given; its labels."""
    if given["images"] is not None:
        if given["labels"] is None:
            raise DatasetError("--labels is needed with --images: what light is on each image.")
        return with_defaults(given), read_labels(given["labels"])
    folder: Path = given["cache"] / f"heads-{given['heads']}"
    write_dataset(folder, given["heads"], progress=lambda d, n: progress("render", d, n))
    heads = with_defaults({**given, "images": folder})
    return {**heads, "poses": folder / TRUTH}, read_truth(folder)


def _select(
    given: Mapping[str, Any], images: ImageSource, records: Records, poses: Poses, size: int,
    progress: Progress,
) -> tuple[Selection, dict[int, Pixels]]:  # fmt: skip
    """Clusters of every light, for the regression; the other ways count those of theirs."""
    criteria = Criteria(
        light=None,
        attributes=(),
        half_width_deg=given["window"],
        minimum=given["min_cluster"],
        maximum=max(given["max_cluster"], given["min_cluster"]),
        max_half_width_deg=max(given["max_window"], given["window"]),
    )
    rng = np.random.default_rng(given["seed"])
    angles = cluster_angles(given["yaws"])
    selection = select(records, poses, NOBODY, angles, criteria, rng)
    return read_members(images, selection, records, size, criteria, progress)


def _people(records: Records) -> NDArray[np.int64]:
    """Whose picture each record is: persons by their number, unknown ones each by themselves."""
    alone = -1 - np.arange(len(records))
    return np.where(records.identities == UNKNOWN, alone, records.identities)


def _lit_sizes(selection: Selection, covariates: Covariates, minimum: int) -> list[int]:
    """Members of each cluster under the light asked for; `SelectionError` where too few."""
    lit, light = covariates.lit, covariates.source_light
    edges = np.cumsum((0, *selection.sizes)).tolist()
    sizes = [int(lit[a:b].sum()) for a, b in pairwise(edges)]
    if min(sizes) < minimum:
        found = dict(zip(selection.angles_deg, sizes, strict=True))
        raise SelectionError(too_small(found, Criteria(light, minimum=minimum), "any attributes"))
    return sizes
