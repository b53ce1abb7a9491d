"""`rotation directions`: its options, and the tables that it prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from rotation.cli.common import (
    Progress,
    embedding_options,
    model_options,
    pose_options,
    poses_csv_option,
    rotation_errors_as_messages,
    window_options,
)
from rotation.cli.option_types import InputPath, Names, OutputFolder, Yaws
from rotation.clusters.selection import Criteria
from rotation.directions.fit import STUDIED_METHODS
from rotation.options import PoseOptions

UNKNOWABLE_FROM = 1e6
"""From so many images on, the number needed is not shown: the halves hardly agree."""
HEADINGS = (
    "method",
    "images",
    "R²",
    "angle left out",
    "unmoved",
    "its noise",
    "halves' cosine",
    "images for 0.9",
    "bootstrap cosine",
    "at 30°: norm",
    "random",
    "by the law",
)


@click.command()
@click.option(
    "--images", type=InputPath(), help="Folder or zip of images [rendered heads with their truth]."
)
@click.option("--labels", type=InputPath(), help="labels.csv of `export labels`, with --images.")
@pose_options
@poses_csv_option
@click.option(
    "--heads",
    type=click.IntRange(40),
    default=480,
    show_default=True,
    help="Heads rendered where no --images are given.",
)
@click.option(
    "--light",
    type=click.Choice(["left", "center", "right", "any"]),
    default="center",
    show_default=True,
    help="Light of the members; regressions use every light.",
)
@click.option(
    "--yaw",
    "yaws",
    type=Yaws(),
    default="-30:30:10",
    show_default=True,
    help="How far the clusters reach, as of `rotation run`.",
)
@window_options
@click.option(
    "--max-cluster",
    type=click.IntRange(1),
    default=3000,
    show_default=True,
    help="Images of every light a cluster; more are thinned at random.",
)
@click.option("--methods", type=Names(), help=f"{', '.join(STUDIED_METHODS)} [all].")
@click.option(
    "--components",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Leading principal components of the images, for the second table.",
)
@click.option(
    "--resamples",
    type=click.IntRange(2),
    default=100,
    show_default=True,
    help="Bootstrap: how often people are resampled.",
)
@click.option(
    "--splits",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Random splits into halves, quarters and eighths.",
)
@embedding_options
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@click.option("--out", type=OutputFolder(), help="Folder for directions.json [none].")
def directions(as_json: bool, **params: Any) -> None:
    """Measure how reliable the direction of each fit method is.

    The command fits every method to one image set and to parts of it: halves of the people,
    resampled people, all angles but one. It compares the directions in the whole latent space
    and within the leading principal components of the images. docs/rotation.md explains each
    column.

    \b
    Examples:
      python manage.py rotation directions --iterations 1
      python manage.py rotation directions --images ~/CelebA --labels labels.csv \\
          --light left --methods samples,regression --out worth/
    """
    from rotation.directions.reliability import Resampling
    from rotation.evaluation.direction_study import ANY, StudyOptions, study_directions

    with rotation_errors_as_messages(), Progress(lines=True) as progress:
        options = StudyOptions(
            cache=params["cache"],
            criteria=_criteria(params),
            images=params["images"],
            labels=params["labels"],
            heads=params["heads"],
            light=None if params["light"] == ANY else params["light"],
            yaws_deg=params["yaws"],
            methods=params["methods"] or tuple(STUDIED_METHODS),
            components=params["components"],
            resampling=Resampling(params["resamples"], params["splits"]),
            model=model_options(params),
            poses=PoseOptions(params["poses"], params["landmarks"]),
            seed=params["seed"],
            out=params["out"],
        )
        report = study_directions(options, " ".join(sys.argv), progress)
    click.echo(json.dumps(report, indent=2, ensure_ascii=False) if as_json else _tables(report))


def _criteria(params: Mapping[str, Any]) -> Criteria:
    return Criteria(
        light=None,
        attributes=(),
        half_width_deg=params["window"],
        minimum=params["min_cluster"],
        maximum=max(params["max_cluster"], params["min_cluster"]),
        max_half_width_deg=max(params["max_window"], params["window"]),
    )


def _tables(report: Mapping[str, Any]) -> str:
    counts = f"{report['images']} images of {report['people']} people"
    if not report["people_known"]:
        counts = f"{report['images']} images, each counted as a person of its own"
    lines = [f"{counts}; light: {report['light']}, members at each angle: {report['sizes']}", ""]
    spaces = {
        "latent": "the whole latent",
        "components": f"{report['components']} leading components of the images",
    }
    for space, words in spaces.items():
        lines += [f"Within {words}:", "", _row(HEADINGS), _row(["---"] * len(HEADINGS))]
        lines += [_row([name, *_cells(one[space])]) for name, one in report["ways"].items()]
        lines.append("")
    return "\n".join(lines).rstrip()


def _cells(one: Mapping[str, Any]) -> Iterator[str]:
    yield str(one["images"])
    yield f"{one['r2']:.2f}"
    yield from (f"{one[name]:.2f}" for name in ("left_out", "unmoved", "noise"))
    yield _interval(one["half_cosine"])
    goal = one["images_for_goal"]
    yield f"{goal:.0f}" if goal < UNKNOWABLE_FROM else "no telling"
    yield _interval(one["bootstrap_cosine"])
    yield from (f"{one[name]:.2f}" for name in ("norm", "random", "expected"))


def _interval(span: Mapping[str, float]) -> str:
    return f"{span['mean']:.2f} [{span['low']:.2f}, {span['high']:.2f}]"


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"
