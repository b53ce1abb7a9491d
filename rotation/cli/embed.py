"""`rotation embed`, `merge` and `embeddings`: encode image sets, and compare encoders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from rotation.cli.common import (
    ENCODER_NAMES,
    Progress,
    bf16_option,
    cache_option,
    device_option,
    images_option,
    model_option,
    model_options,
    ray_option,
    rotation_errors_as_messages,
    steps_option,
)
from rotation.cli.option_types import InputPath, OutputFile, OutputFolder
from rotation.remote_paths import ImagePlace


class ShardType(click.ParamType[tuple[int, int]]):
    """Part i of N as `i/N`, with i from 1 to N."""

    name = "i/N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """The index from 0, and the number of shards."""
        if isinstance(value, tuple):
            return value
        index, _, count = str(value).partition("/")
        if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            self.fail(f"{value!r}: give i/N with i from 1 to N, as 1/4", param, ctx)
        return int(index) - 1, int(count)


@click.command()
@images_option
@model_option
@click.option(
    "--embedding",
    type=click.Choice(ENCODER_NAMES),
    help="As of `rotation run` [network where the model has one, else smooth; inversion for "
    "rendered heads].",
)
@click.option(
    "--shard",
    type=ShardType(),
    default="1/1",
    show_default=True,
    help="Only part i of N; run all N, anywhere, then `rotation merge`.",
)
@steps_option
@click.option("--iterations", type=click.IntRange(0, 100), default=4, show_default=True)
@bf16_option
@cache_option("the latents")
@device_option
@ray_option
def embed(
    images: ImagePlace, shard: tuple[int, int], cache: Path, ray: str | None, **params: Any
) -> None:
    """Encode a whole image set into the latent store.

    An interrupted run continues where it stopped. `rotation run` uses the latents if its model,
    --embedding, --steps, --iterations and --bf16 are the same.

    \b
    Examples:
      python manage.py rotation embed --images ~/CelebA
      python manage.py rotation embed --images s3://bucket/img_align_celeba.zip
      python manage.py rotation embed --images ~/CelebA --shard 3/8 --cache part3
      python manage.py rotation embed --images ~/CelebA --ray 10.0.0.1:6379
    """
    from rotation.data.image_set import open_images
    from rotation.latents.encoders import open_cluster_store, open_codec
    from rotation.latents.shards import SameCodec, Shard, encode_elsewhere, encode_shard
    from rotation.passes.running import open_runner
    from rotation.run import resolve_model_options

    with rotation_errors_as_messages(), open_runner(ray) as runner:
        options = resolve_model_options(model_options(params), images)
        codec = open_codec(options)
        store = open_cluster_store(cache, codec)
        with open_images(images) as source, Progress(lines=ray is not None) as progress:
            part = Shard(*shard)
            if ray is None:
                done = encode_shard(codec, store, source, part, progress)
            else:
                same = SameCodec.of(options, codec)
                done = encode_elsewhere(same, store, source, part, runner, progress)
    counts = f"{done.encoded} embedded, {done.stored} known before, {done.unreadable} unreadable"
    click.echo(f"{counts}: {store.folder}")


@click.command()
@click.argument("caches", nargs=-1, required=True, type=InputPath())
@click.option("--out", type=OutputFolder(), required=True, help="The new cache folder.")
def merge(caches: tuple[Path, ...], out: Path) -> None:
    """Join the latents of several caches into one, sorted by key.

    However many shards made them, the merged files are the same to the bit.

    \b
    Example:
      python manage.py rotation merge part1 part2 part3 --out whole
    """
    from rotation.latents.merge import merge as merge_stores

    with rotation_errors_as_messages():
        merged = merge_stores([cache / "latents" for cache in caches], out / "latents")
    for store in merged:
        click.echo(
            f"{store.rows} latents in {store.folder} ({store.repeated} given more than once, "
            f"{store.damaged} damaged and left out)"
        )


@click.command()
@click.option("--model", type=InputPath(), help="Folder, or bundled name [synthetic-heads-64].")
@click.option(
    "--count",
    type=click.IntRange(2),
    default=32,
    show_default=True,
    help="Rendered heads of people no model was trained on.",
)
@click.option("--steps", "counts", default="10,20,50", show_default=True, metavar="A,B,C")
@click.option("--device", default="auto", show_default=True)
@click.option(
    "--sheet",
    type=OutputFile(),
    help="Also a PNG: heads above their reconstructions.",
)
@click.option("--json", "as_json", is_flag=True, help="All results as JSON.")
def embeddings(counts: str, as_json: bool, sheet: Path | None, **params: Any) -> None:
    """Compare the encoders on rendered heads.

    \b
    Example:
      python manage.py rotation embeddings --count 32
    """
    from rotation.evaluation.encoder_comparison import as_table, compare

    if not all(part.strip().isdecimal() and int(part) > 1 for part in counts.split(",")):
        raise click.UsageError(f"--steps takes numbers above 1 as 10,20,50, not {counts}.")
    steps = [int(part) for part in counts.split(",")]
    with rotation_errors_as_messages(), Progress() as progress:
        rows = compare(**params, steps=steps, sheet=sheet, progress=progress)
    click.echo(json.dumps(rows, indent=2) if as_json else as_table(rows))
