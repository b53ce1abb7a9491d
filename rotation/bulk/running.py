"""A bulk run: directions are fitted, heads are turned by passes, and the index is written.

The directions of several groups go into one pass on a cluster, whose processes take seconds to
begin. In this process a pass is one group.
"""

from __future__ import annotations

import hashlib
import pickle  # nosec B403  # measures how large a direction is
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from rotation.bulk.groups import Group, Refused, plan_groups
from rotation.bulk.turning import SourceTask, Tools, TurnJob, TurnWorker, absolute
from rotation.data.image_names import match_names
from rotation.data.records import refuse_foreign
from rotation.editing.method import editing_method
from rotation.editing.pipeline import Data, FittedDirection, fit_group
from rotation.errors import PassError, RotationError, StoreError
from rotation.imaging.images import save_bytes
from rotation.latents.shards import SameCodec, encode_by
from rotation.options import RunOptions
from rotation.passes.running import Runner, Sparing, run_here
from rotation.poses.source import PoseSource
from rotation.report.bulk_index import BulkIndex, SourceRow
from rotation.report.output_files import plan_output
from rotation.run import OpenedRun, open_run, resolve_options

PASS_SOURCES = 256
"""Most sources of a pass on a cluster. Their directions are fitted before the first is turned."""
PASS_BYTES = 64 * 2**20
"""The directions of a pass on a cluster are at most so large, and one more. Each process of the
cluster holds them all."""

_ADDED_LATER = (", relight=True",)
"""Options that runs of earlier versions did not have, at their defaults: such runs go on."""

Told = Callable[[int, int, SourceRow], None]
"""Called after each source with how many have a row now, how many there are, and its row."""


@dataclass
class _Pass:
    """Sources to be turned together, the directions of their groups, and their poses."""

    tasks: list[SourceTask] = field(default_factory=list)
    fitted: list[FittedDirection] = field(default_factory=list)
    poses: PoseSource = field(default_factory=lambda: PoseSource({}))
    bytes: int = 0

    def add(self, names: Sequence[str], fitted: FittedDirection, poses: PoseSource) -> None:
        """Add the sources of a group."""
        self.tasks += [(name, len(self.fitted)) for name in names]
        self.fitted.append(fitted)
        self.poses.known.update(poses.known)


@dataclass
class _Work:
    """A bulk run at work: what it needs."""

    options: RunOptions
    opened: OpenedRun
    tools: Tools
    command: str
    index: BulkIndex
    runner: Runner

    @cached_property
    def codec(self) -> SameCodec:
        """Opens the codec in other processes."""
        return SameCodec.of(self.options.model, self.opened.codec)

    @cached_property
    def checked_runner(self) -> Runner:
        """The runner, once it is known that it can run passes."""
        self.runner.check(self.worker(_Pass()).find_needs)
        return self.runner

    def is_full(self, part: _Pass) -> bool:
        """Whether a pass should run before another group is fitted. Asked once after each group."""
        if self.runner is run_here:
            return True
        part.bytes += len(pickle.dumps(part.fitted[-1]))
        return len(part.tasks) >= PASS_SOURCES or part.bytes >= PASS_BYTES

    def worker(self, part: _Pass) -> TurnWorker:
        """The worker that turns the sources of a pass."""
        names = [name for name, _ in part.tasks]
        data = _only(self.opened.data, names, part.poses)
        job = TurnJob(absolute(self.options), data, self.codec, part.fitted, self.command)
        return TurnWorker(job, self.tools)


def run_bulk(
    options: RunOptions,
    sources: Sequence[str],
    command: str,
    told: Told | None = None,
    runner: Runner = run_here,
) -> list[SourceRow]:
    """Turn many heads. Each gets the folder `options.out`/NAME, and all of them an index.

    Parameters:
        options: as for one head; `source` is not used.
        sources: filenames in the image set. One that stands there twice counts once.
        command: the command line, for the reports.
        runner: where poses are measured, images encoded, and heads turned.

    Returns:
        A row for each source, in the order of `sources`.

    Raises:
        RotationError: options or files do not fit, the folder holds a run with other options, a
            file cannot be written, or a pass cannot go on.
    """
    options = resolve_options(options)
    output = plan_output(options.output)
    index = BulkIndex(options.out, fingerprint(options), command)
    index.check()
    found: dict[str, SourceRow] = {}
    with open_run(options, Sparing(runner)) as opened:
        refuse_foreign(opened.data.labels, opened.data.images.names())
        known = set(opened.data.images.names())
        names = list(dict.fromkeys(match_names([*dict.fromkeys(sources)], known, doubles=True)))
        work = _Work(options, opened, Tools(opened.codec, output), command, index, runner)
        for row in _rows(work, names):
            found[row.source] = row
            index.write([found[name] for name in names if name in found], len(names))
            if told is not None:
                told(len(found), len(names), row)
    rows = [found[name] for name in names]
    index.write(rows, len(names), finished=True)
    return rows


def _rows(work: _Work, names: Sequence[str]) -> Iterator[SourceRow]:
    """The rows of the sources: first of those that cannot be turned, then of group after group."""
    opened, options = work.opened, work.options
    part = _Pass()
    for group in plan_groups(opened.data, opened.codec.image_size, options.turn, names):
        if isinstance(group, Refused):
            yield SourceRow.failed(group.name, group.reason)
            continue
        done = {name: work.index.finished_row(name) for name in group.names}
        yield from (row for row in done.values() if row is not None)
        left = [name for name, row in done.items() if row is None]
        if not left:
            continue
        try:
            part.add(left, _fit(work, group), opened.data.poses.only(left))
        except (PassError, StoreError):
            raise
        except RotationError as error:
            yield from (SourceRow.failed(name, error) for name in left)
            continue
        if work.is_full(part):
            yield from _turn(work, part)
            part = _Pass()
    yield from _turn(work, part)


def _fit(work: _Work, group: Group) -> FittedDirection:
    """The direction of a group, fitted in this process; missing latents are made by the runner."""
    data, options, codec = work.opened.data, work.options.turn, work.opened.codec
    if editing_method(options.editing.method).needs_members and data.estimators is not None:
        data.estimators(codec.image_size, options.seed, None)  # trained here, for all processes
    encode = encode_by(Sparing(work.checked_runner), work.codec, data.images)
    return fit_group(data, group.shared, codec, work.opened.store, options, encode=encode)


def _turn(work: _Work, part: _Pass) -> Iterator[SourceRow]:
    """Turn the sources of a pass, and write what other processes send."""
    worker = work.worker(part)
    for name, _group in part.tasks:  # a run that was killed may have left unfinished files
        for leftover in (work.options.out / name).glob(".*-*"):
            leftover.unlink(missing_ok=True)
    for row, files in work.runner(worker, part.tasks, worker.find_needs):
        # A file that cannot be written ends the run: that of the next source could not be either.
        for name, content in files.items():
            save_bytes(content, work.options.out / row.source / name)
        yield row


def _only(data: Data, names: Sequence[str], poses: PoseSource) -> Data:
    """What is known of these sources alone: enough to turn them, and small."""
    return replace(
        data,
        tables=data.tables.only(names),
        labels={name: data.labels[name] for name in names if name in data.labels},
        azimuths={name: data.azimuths[name] for name in names if name in data.azimuths},
        poses=poses,
        probabilities={},
        pool=None,
    )


def fingerprint(options: RunOptions) -> str:
    """A hash of all options that change what a source's folder holds."""
    settings = repr(replace(options, source="", out=Path(), cache=Path()))
    for added in _ADDED_LATER:
        settings = settings.replace(added, "")
    return hashlib.sha256(settings.encode()).hexdigest()
