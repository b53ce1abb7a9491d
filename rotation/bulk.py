"""`rotation run --sources`: many heads turned in one run, and an index of them.

Sources with the same light and the same attributes form a group. A group shares its clusters, their
latents and one fitted direction. Data set, model, poses and pose estimators are opened once.

A run can be stopped at any time and started again. A source whose folder is complete is not turned
again. A source that cannot be turned is told with its reason, and the others go on.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rotation.clusters.selection import DEFAULT_ATTRIBUTES
from rotation.data.csv_text import shown
from rotation.data.image_names import match_names
from rotation.data.records import join_records, refuse_foreign, source_record
from rotation.editing.pipeline import (
    FittedDirection,
    SourceGroup,
    find_source,
    fit_group,
    turn_along,
    wanted_light,
)
from rotation.errors import DatasetError, RotationError
from rotation.options import ClusterOptions, RunOptions
from rotation.report.bulk_index import BulkIndex, SourceRow
from rotation.report.output_files import OutputPlan, plan_output
from rotation.run import OpenedRun, StageTimer, open_run, resolve_options, write_result

GROUP_SIZE = 32
"""Most sources of a group. No member of a cluster shows the person of any source of the group, so a
large group would leave few images."""

Told = Callable[[int, int, SourceRow], None]
"""Called after each source with how many have a row now, how many there are, and its row."""


@dataclass(frozen=True)
class _Group:
    """The names of sources that share their clusters, and what is known of them."""

    names: tuple[str, ...]
    shared: SourceGroup


@dataclass
class _Work:
    """A bulk run at work: what it needs, and the rows of the index."""

    options: RunOptions
    output: OutputPlan
    opened: OpenedRun
    command: str
    rows: dict[str, SourceRow] = field(default_factory=dict)


def run_bulk(
    options: RunOptions, sources: Sequence[str], command: str, told: Told | None = None
) -> list[SourceRow]:
    """Turn many heads. Each gets the folder `options.out`/NAME, and all of them an index.

    Parameters:
        options: as for one head; `source` is not used.
        sources: filenames in the image set. One that stands there twice counts once.
        command: the command line, for the reports.

    Returns:
        A row for each source, in the order of `sources`.

    Raises:
        RotationError: options or files do not fit, the folder holds a run with other options, or
            a file cannot be written.
    """
    options = resolve_options(options)
    output = plan_output(options.output)
    index = BulkIndex(options.out, _fingerprint(options), command)
    index.check()
    with open_run(options) as opened:
        refuse_foreign(opened.data.labels, opened.data.images.names())
        known = set(opened.data.images.names())
        names = list(dict.fromkeys(match_names([*dict.fromkeys(sources)], known, doubles=True)))
        work = _Work(options, output, opened, command)
        for row in _rows(work, names, known, index):
            work.rows[row.source] = row
            index.write([work.rows[name] for name in names if name in work.rows], len(names))
            if told is not None:
                told(len(work.rows), len(names), row)
    rows = [work.rows[name] for name in names]
    index.write(rows, len(names), finished=True)
    return rows


def _rows(
    work: _Work, names: Sequence[str], known: set[str], index: BulkIndex
) -> Iterator[SourceRow]:
    """The rows of the sources: first of those that are done or cannot be turned, then the others.

    Groups are made of all sources, done or not. So a source has the same clusters in every run.
    """
    keyed: dict[tuple[object, ...], list[str]] = {}
    shared: dict[str, SourceGroup] = {}
    for name in names:
        try:
            if name not in known:
                raise DatasetError(f"{shown(name)} is not in the image set.")
            shared[name] = _describe(work, name)
        except RotationError as error:
            yield SourceRow.failed(name, error)
            continue
        keyed.setdefault(_key(work.options, name, shared[name]), []).append(name)
    for members in keyed.values():
        for start in range(0, len(members), GROUP_SIZE):
            part = members[start : start + GROUP_SIZE]
            group = _Group(tuple(part), _join(work, [shared[name] for name in part], part))
            yield from _group_rows(work, group, index)


def _group_rows(work: _Work, group: _Group, index: BulkIndex) -> Iterator[SourceRow]:
    """The rows of a group. Its clusters are only made if a source is still to be turned."""
    done = {name: index.finished_row(name) for name in group.names}
    yield from (row for row in done.values() if row is not None)
    left = [name for name, row in done.items() if row is None]
    if not left:
        return
    opened = work.opened
    try:
        fitted = fit_group(opened.data, group.shared, opened.codec, opened.store, work.options.turn)
    except RotationError as error:
        yield from (SourceRow.failed(name, error) for name in left)
        return
    for name in left:
        yield _turn_one(work, name, fitted)


def _turn_one(work: _Work, name: str, fitted: FittedDirection) -> SourceRow:
    """Turn one source and write its folder; a source that cannot be turned gives its reason."""
    began, timer = time.perf_counter(), StageTimer(_silent)
    opened = work.opened
    options = replace(work.options, source=name, out=work.options.out / name)
    data = replace(opened.data, source=name)
    try:
        source = find_source(data, opened.codec.image_size, options.turn)
        result = turn_along(data, source, fitted, opened.codec, options.turn, timer)
    except RotationError as error:
        return SourceRow.failed(name, error)
    timer.mark("turn")
    # A file that cannot be written ends the run: that of the next source could not be either.
    report = write_result(result, options, work.output, opened.codec, timer, work.command)
    return SourceRow.of_report(report, time.perf_counter() - began)


def _describe(work: _Work, name: str) -> SourceGroup:
    """What decides about the clusters of one source."""
    data, wanted = work.opened.data, work.options.turn.clusters
    light = wanted_light(name, data.labels, wanted)
    record = source_record(name, light or "center", data.tables)
    if not _is_alone(wanted):
        return SourceGroup(record, light)
    source = find_source(
        replace(data, source=name), work.opened.codec.image_size, work.options.turn
    )
    return SourceGroup(record, light, source.crop, source.azimuth_deg)


def _is_alone(wanted: ClusterOptions) -> bool:
    """Whether each source needs clusters of its own: members like it, or lit as it is."""
    return wanted.similar or wanted.light_window_deg is not None


def _key(options: RunOptions, name: str, one: SourceGroup) -> tuple[object, ...]:
    """What sources of one group have in common."""
    if _is_alone(options.turn.clusters):
        return (name,)
    asked = options.turn.clusters.attributes
    names = DEFAULT_ATTRIBUTES if asked is None else asked
    record = one.records
    values = (int(record.attribute(each)[0]) for each in names if each in record.attribute_names)
    return (one.light, *values)


def _join(work: _Work, group: Sequence[SourceGroup], names: Sequence[str]) -> SourceGroup:
    """Sources with the same key as one group."""
    first = group[0]
    if len(group) == 1:
        return first
    labels = dict.fromkeys(names, first.light or "center")
    return replace(first, records=join_records(labels, labels, work.opened.data.tables))


def _fingerprint(options: RunOptions) -> str:
    """A hash of all options that change what a source's folder holds."""
    settings = replace(options, source="", out=Path(), cache=Path())
    return hashlib.sha256(repr(settings).encode()).hexdigest()


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Progress that nobody is told: what counts is how many sources are done."""
