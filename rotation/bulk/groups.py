"""Which sources of a bulk run share their clusters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rotation.clusters.selection import DEFAULT_ATTRIBUTES
from rotation.data.csv_text import shown
from rotation.data.records import join_records, source_record
from rotation.editing.pipeline import Data, SourceGroup, find_source, wanted_light
from rotation.errors import DatasetError, RotationError, StoreError
from rotation.options import ClusterOptions, TurnOptions

GROUP_SIZE = 32
"""Most sources of a group. No member of a cluster shows the person of any source of the group, so a
large group would leave few images."""


@dataclass(frozen=True)
class Group:
    """The names of sources that share their clusters, and what is known of them."""

    names: tuple[str, ...]
    shared: SourceGroup


@dataclass(frozen=True)
class Refused:
    """A source that cannot be turned, and why."""

    name: str
    reason: RotationError


def plan_groups(
    data: Data, size: int, options: TurnOptions, names: Sequence[str]
) -> Iterator[Refused | Group]:
    """Yield the sources that cannot be turned, then the groups of all others.

    Groups are made of all sources, whether turned before or not. So a source has the same clusters
    in every run.

    Parameters:
        size: the side of crops in pixels.
        names: of the sources.
    """
    known = set(data.images.names())
    keyed: dict[tuple[object, ...], list[str]] = {}
    shared: dict[str, SourceGroup] = {}
    for name in names:
        try:
            if name not in known:
                raise DatasetError(f"{shown(name)} is not in the image set.")
            shared[name] = _describe(data, size, options, name)
        except StoreError:
            raise
        except RotationError as error:
            yield Refused(name, error)
            continue
        keyed.setdefault(_key(options.clusters, name, shared[name]), []).append(name)
    for members in keyed.values():
        for start in range(0, len(members), GROUP_SIZE):
            part = members[start : start + GROUP_SIZE]
            yield Group(tuple(part), _join(data, [shared[name] for name in part], part))


def _describe(data: Data, size: int, options: TurnOptions, name: str) -> SourceGroup:
    """What decides about the clusters of one source."""
    light = wanted_light(name, data.labels, options.clusters)
    record = source_record(name, light or "center", data.tables)
    if not _is_alone(options.clusters):
        return SourceGroup(record, light)
    source = find_source(replace(data, source=name), size, options)
    return SourceGroup(record, light, source.crop, source.azimuth_deg)


def _is_alone(wanted: ClusterOptions) -> bool:
    """Whether each source needs clusters of its own: members like it, or lit as it is."""
    return wanted.similar or wanted.light_window_deg is not None


def _key(wanted: ClusterOptions, name: str, one: SourceGroup) -> tuple[object, ...]:
    """What sources of one group have in common."""
    if _is_alone(wanted):
        return (name,)
    names = DEFAULT_ATTRIBUTES if wanted.attributes is None else wanted.attributes
    record = one.records
    values = (int(record.attribute(each)[0]) for each in names if each in record.attribute_names)
    return (one.light, *values)


def _join(data: Data, group: Sequence[SourceGroup], names: Sequence[str]) -> SourceGroup:
    """Sources with the same key as one group."""
    first = group[0]
    if len(group) == 1:
        return first
    labels = dict.fromkeys(names, first.light or "center")
    return replace(first, records=join_records(labels, labels, data.tables))
