"""The options of `rotation run` for a turn, and the command line that repeats it."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from labeler.studio.choices import AUTO, TurnChoices

PROGRAM = ("python", "manage.py")


@dataclass(frozen=True, slots=True)
class EngineFiles:
    """The files of a run of the engine, as paths.

    `source`: the name of the source among `images`, or "" if `source_file` is the source.
    `model`: a folder or the name of a bundled model; "" for the one that suits the images.
    """

    images: str
    labels: str
    poses: str
    out: str
    source: str = ""
    source_file: str = ""
    subset: str = ""
    model: str = ""


def run_options(choices: TurnChoices, files: EngineFiles) -> list[str]:
    """Return the words after `manage.py` that turn a head: `rotation run --images ...`."""
    return ["rotation", "run", *_of_files(files), *_of_choices(choices)]


def command_line(choices: TurnChoices, files: EngineFiles) -> str:
    """Return the same as one line for a shell."""
    return shlex.join([*PROGRAM, *run_options(choices, files)])


def _of_files(files: EngineFiles) -> Iterator[str]:
    yield from ("--images", files.images, "--labels", files.labels, "--poses", files.poses)
    if files.source_file:
        yield from ("--source-file", files.source_file)
    else:
        yield f"--source={files.source}"  # a name may begin with a hyphen
    if files.subset:
        yield from ("--subset", files.subset)
    if files.model:
        yield from ("--model", files.model)
    yield from ("--out", files.out)


def _of_choices(choices: TurnChoices) -> Iterator[str]:
    yield f"--yaw={','.join(f'{angle:g}' for angle in choices.angles_deg)}"
    yield f"--attributes={','.join(choices.attributes) or 'none'}"
    if not choices.light_filter:
        yield "--no-light-filter"
    if choices.light != AUTO:
        yield from ("--light", choices.light)
    if choices.yaw_deg is not None:
        yield f"--source-yaw={choices.yaw_deg:g}"
    if choices.way != AUTO:
        yield from ("--editing", choices.way)
    if choices.min_percent:
        yield from ("--min-probability", f"{choices.min_percent / 100:g}")
    yield from ("--min-cluster", str(choices.min_cluster))
    yield from ("--max-cluster", str(choices.max_cluster))
    if choices.size:
        yield from ("--show-size", str(choices.size))
    if choices.match_colours:
        yield "--match-colours"
    if choices.similar:
        yield "--similar"
    if not choices.relight:
        yield "--no-relight"
    if choices.seed:
        yield from ("--seed", str(choices.seed))
    yield from ("--contact-sheets", "--gif", "--webp")
    if importlib.util.find_spec("av") is not None:  # the library is not loaded
        yield "--mp4"
