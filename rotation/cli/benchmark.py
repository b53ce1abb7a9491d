"""`rotation benchmark`: its options, and the table that it prints."""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from typing import Any

import click

from rotation.cli.common import (
    CLUSTERS,
    ENCODER_NAMES,
    Progress,
    bf16_option,
    cache_option,
    device_option,
    model_options,
    rotation_errors_as_messages,
    steps_option,
)
from rotation.cli.option_types import InputPath, Names, OutputFolder, Yaws
from rotation.evaluation.variants import BOUND, VARIANTS
from rotation.file_locks import own_folder


@click.command()
@click.option(
    "--quick", is_flag=True, help="24 sources, yaws by 10, paper and samples, 240 heads, 20 others."
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@click.option("--out", type=OutputFolder(), help="Folder for results, strips and plot [none].")
@click.option("--sources", type=click.IntRange(1), help="Heads to turn [102].")
@click.option(
    "--variants", type=Names(), help=f"Which to compare: {', '.join((*VARIANTS, BOUND))} [all]."
)
@click.option("--yaw", "yaws", type=Yaws(), help="Yaws asked for [-30:30:5].")
@click.option(
    "--gallery",
    type=click.IntRange(1),
    metavar="N",
    help="Other people among whom the source must be the nearest [1000].",
)
@click.option(
    "--heads",
    type=click.IntRange(40),
    help="Rendered images for the clusters [480; quick: 240].",
)
@click.option(
    "--min-cluster",
    type=click.IntRange(1),
    default=CLUSTERS.minimum,
    show_default=True,
    help="Attributes are dropped before a cluster is smaller.",
)
@click.option(
    "--strips",
    type=click.IntRange(1, 50),
    default=9,
    show_default=True,
    help="Sources shown in strips.png.",
)
@click.option(
    "--workers",
    type=click.IntRange(0),
    metavar="N",
    help="Processes that render and judge [one for each processor].",
)
@click.option("--model", type=InputPath(), help="Folder, or bundled name [synthetic-heads-64].")
@steps_option
@click.option(
    "--iterations",
    type=click.IntRange(0, 100),
    help="Corrections a step when embedding clusters [4; quick: 1].",
)
@click.option(
    "--embedding",
    type=click.Choice(ENCODER_NAMES),
    default="inversion",
    show_default=True,
    help="Images to latents, as of `rotation run`.",
)
@bf16_option
@cache_option("heads and latents")
@device_option
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
def benchmark(as_json: bool, **params: Any) -> None:
    """Compare variants of the method on rendered heads, whose true frames are known.

    Each variant turns synthetic heads of people that no model has seen. True renders judge all
    frames. The variant `bound` encodes and decodes the true renders. Differences are to the
    first variant named. With --out, benchmark.json is kept up to date from the first few
    sources on. Sources whose clusters are too small are left out and reported.

    \b
    Examples:
      python manage.py rotation benchmark --quick --out benchmark/
      python manage.py rotation benchmark --variants paper,one-line,bound --sources 30
    """
    from rotation.evaluation.run import BenchmarkOptions, choose_size, run_benchmark
    from rotation.evaluation.tables import markdown

    names = ("quick", "sources", "variants", "gallery", "heads", "iterations")
    with rotation_errors_as_messages(), Progress(lines=True) as progress:
        size = choose_size(yaws_deg=params["yaws"], **{name: params[name] for name in names})
        options = BenchmarkOptions(
            size=size,
            model=model_options(params | {"iterations": size.iterations}),
            cache=params["cache"],
            out=params["out"],
            min_cluster=params["min_cluster"],
            strips=params["strips"],
            workers=(os.cpu_count() or 1) if params["workers"] is None else params["workers"],
            seed=params["seed"],
        )
        with own_folder(options.out) if options.out else nullcontext():
            report = run_benchmark(options, " ".join(sys.argv), progress)
    if report["left_out"]:
        first = report["left_out"][0]
        click.echo(
            f"{len(report['left_out'])} of {report['sources']} sources left out, the first by "
            f"{first['variant']}: {first['reason']}",
            err=True,
        )
    if as_json:
        del report["verdicts"]
        click.echo(json.dumps(report, indent=2, ensure_ascii=False))
        return
    click.echo(markdown(report["variants"], report["yaws_deg"]))
    if params["out"] is not None:
        click.echo(f"results and images: {params['out']}")
