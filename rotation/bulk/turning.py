"""Turning the sources of a bulk run: the worker of a pass (`rotation.passes`).

The process of the command fits the directions, and knows labels, tables and poses. A worker gets
what concerns its sources. It reads their photographs, turns the heads, and makes all files.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from rotation.editing.pipeline import Data, FittedDirection, find_source, turn_along
from rotation.errors import DatasetError, RotationError, StoreError
from rotation.latents.encoders import DiffusionCodec
from rotation.latents.shards import SameCodec
from rotation.options import RunOptions
from rotation.passes.needs import Needs
from rotation.reading import read_bytes
from rotation.report.bulk_index import SourceRow
from rotation.report.html_report import HTML_REPORT
from rotation.report.output_files import OutputPlan, plan_output
from rotation.run import StageTimer, keep_sources, write_result

SourceTask = tuple[str, int]
"""The filename of a source, and the number of its group's direction."""


class TurnedSource(NamedTuple):
    """What became of a source.

    Attributes:
        row: of the index.
        files: by name, the one last that makes its folder complete. Empty if they are written.
    """

    row: SourceRow
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class TurnJob:
    """What a pass needs to turn its sources.

    Attributes:
        options: of the run, complete.
        data: what is known of the sources.
        codec: the model and its encoders.
        fitted: the directions of the sources' groups.
        command: the command line, for the reports.
    """

    options: RunOptions
    data: Data
    codec: SameCodec
    fitted: Sequence[FittedDirection]
    command: str


@dataclass(frozen=True)
class Tools:
    """What is open in a process: the codec with its store of sources' latents, and the outputs."""

    codec: DiffusionCodec
    output: OutputPlan


class TurnWorker:
    """Turns sources one by one.

    Parameters:
        job: what to turn and how.
        tools: those of the process of the command, where files are written into `options.out`.
            None in another process: they are opened with the first source, and files are sent.
    """

    def __init__(self, job: TurnJob, tools: Tools | None = None) -> None:
        self._job, self._given = job, tools

    def __reduce__(self) -> tuple[type[TurnWorker], tuple[TurnJob]]:
        data = self._job.data
        device = str(data.device).partition(":")[0]  # it sees no more than one GPU
        return TurnWorker, (replace(self._job, data=replace(data, device=device)),)

    def find_needs(self) -> Needs:
        """What another process needs."""
        upscaler = self._job.options.output.super_resolution
        more = () if upscaler is None else (upscaler,)
        return self._job.codec.find_needs(self._job.data.images, *more)

    @cached_property
    def _tools(self) -> Tools:
        if self._given is not None:
            return self._given
        codec, options = self._job.codec.open(), self._job.options
        return Tools(keep_sources(codec, options.cache), plan_output(options.output))

    def __call__(self, task: SourceTask) -> TurnedSource:
        """Turn a source; one that cannot be turned has a row with the reason.

        Raises:
            RotationError: the model cannot be opened, or a file cannot be written. The next source
                would fail too.
        """
        name, group = task
        began, timer = time.perf_counter(), StageTimer(_silent)
        job, tools = self._job, self._tools
        turn = job.options.turn
        data = replace(job.data, source=name)
        try:
            source = find_source(data, tools.codec.image_size, turn)
            result = turn_along(data, source, job.fitted[group], tools.codec, turn, timer)
        except StoreError:
            raise
        except RotationError as error:
            return TurnedSource(SourceRow.failed(name, error), {})
        timer.mark("turn")

        def write(folder: Path) -> SourceRow:
            options = replace(job.options, source=name, out=folder)
            report = write_result(result, options, tools.output, tools.codec, timer, job.command)
            return SourceRow.of_report(report, time.perf_counter() - began)

        if self._given is not None:
            return TurnedSource(write(job.options.out / name), {})
        try:
            with tempfile.TemporaryDirectory(prefix="sidelight-") as place:
                return TurnedSource(write(Path(place)), _read_files(Path(place)))
        except OSError as error:
            raise DatasetError(
                f"The folder for temporary files cannot be written ({error.strerror or error})."
            ) from None


def absolute(options: RunOptions) -> RunOptions:
    """The options as other processes need them, which may run in another folder."""
    upscaler = options.output.super_resolution
    whole = None if upscaler is None else Path(os.path.abspath(upscaler))
    output = replace(options.output, super_resolution=whole)
    return replace(options, cache=Path(os.path.abspath(options.cache)), output=output)


def _read_files(folder: Path) -> dict[str, bytes]:
    """The files of a folder by name; the last one is that which makes it complete."""
    files = sorted(folder.iterdir(), key=lambda path: (path.name == HTML_REPORT, path.name))
    return {path.name: read_bytes(path) for path in files}


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Progress that nobody is told: what counts is how many sources are done."""
