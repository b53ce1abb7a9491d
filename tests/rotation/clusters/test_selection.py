"""Clusters: the same light, mirrors, attributes, other people, sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rotation.clusters.selection import Criteria, candidate_rows, select, usable_attributes
from rotation.data.records import UNKNOWN, Records
from rotation.errors import DatasetError, SelectionError
from rotation.poses.estimation import Poses

ANGLES = (-20.0, -10.0, 0.0, 10.0, 20.0)
LIGHTS = np.array(["left", "center", "right"])
MIRROR_PAIRS = {"left": ["left", "right"], "right": ["left", "right"], "center": ["center"]}


def records_of(n: int, seed: int = 0) -> tuple[Records, Poses]:
    rng = np.random.default_rng(seed)
    records = Records(
        filenames=tuple(f"{i:04d}.jpg" for i in range(n)),
        labels=LIGHTS[rng.integers(3, size=n)],
        identities=rng.integers(n // 3, size=n),
        attribute_names=("Male", "Young"),
        attributes=rng.integers(2, size=(n, 2)),
    )
    zero = np.zeros(n)
    return records, Poses(rng.uniform(-45, 45, n), zero, zero, np.ones(n))


def choose(records: Records, poses: Poses, row: int = 0, **given: object):  # type: ignore[no-untyped-def]
    source = records.take(np.array([row]))
    defaults = {"light": str(records.labels[row]), "attributes": ("Male", "Young"), "minimum": 3}
    criteria = Criteria(**{**defaults, **given})  # type: ignore[arg-type]
    return select(records, poses, source, ANGLES, criteria, np.random.default_rng(1))


def test_members_have_the_light_the_looks_and_the_yaw() -> None:
    records, poses = records_of(2000)
    selection = choose(records, poses)
    swap = {"left": "right", "center": "center", "right": "left"}
    for angle, cluster in zip(ANGLES, selection.clusters, strict=True):
        assert np.all(np.abs(cluster.yaw_deg - angle) <= 5)
        for row, mirrored, yaw in zip(cluster.rows, cluster.mirrored, cluster.yaw_deg, strict=True):
            light = str(records.labels[row])
            assert (swap[light] if mirrored else light) == records.labels[0]
            assert yaw == (-1 if mirrored else 1) * poses.yaw_deg[row]
            assert records.attributes[row].tolist() == records.attributes[0].tolist()
            assert records.identities[row] != records.identities[0]
            assert row != 0
    assert selection.dropped == ()


def test_mirroring_the_whole_set_mirrors_the_clusters() -> None:
    records, poses = records_of(600, seed=4)
    source = np.flatnonzero(records.labels == "left")[0]
    flipped = Records(
        records.filenames,
        np.array([{"left": "right", "right": "left"}.get(x, x) for x in records.labels.tolist()]),
        records.identities,
        records.attribute_names,
        records.attributes,
    )
    flipped_poses = Poses(-poses.yaw_deg, poses.pitch_deg, -poses.roll_deg, poses.confidence)
    plain = choose(records, poses, source)
    mirror = choose(flipped, flipped_poses, source)
    for a, b in zip(plain.clusters, mirror.clusters[::-1], strict=True):
        seen = sorted(zip(a.rows.tolist(), a.mirrored.tolist(), strict=True))
        other = sorted(zip(b.rows.tolist(), b.mirrored.tolist(), strict=True))
        assert seen == other


def test_every_light_without_the_filter() -> None:
    records, poses = records_of(500)
    members = choose(records, poses, light=None).members
    assert set(records.labels[members.rows].tolist()) == set(LIGHTS.tolist())


def test_widens_from_the_last_attribute_and_says_so() -> None:
    records, poses = records_of(300)
    sizes = choose(records, poses, minimum=1).sizes
    wider = choose(records, poses, minimum=min(sizes) + 1)
    assert wider.dropped
    assert wider.attributes + wider.dropped == ("Male", "Young")
    assert min(wider.sizes) > min(sizes)


def narrow(n: int, reach: float) -> tuple[Records, Poses]:
    """Records whose heads beyond a yaw all look ahead."""
    records, poses = records_of(n)
    poses.yaw_deg[np.abs(poses.yaw_deg) > reach] = 0.0
    return records, poses


def test_then_widens_the_windows_that_need_it_and_says_so() -> None:
    records, poses = narrow(600, 14.0)
    selection = choose(records, poses, minimum=5)
    assert selection.attributes == ()
    widths = dict(zip(ANGLES, selection.half_widths_deg, strict=True))
    assert widths[0.0] == 5
    assert 6 < widths[-20.0] <= 10
    assert 6 < widths[20.0] <= 10
    for angle, cluster in zip(ANGLES, selection.clusters, strict=True):
        assert np.abs(cluster.yaw_deg - angle).max() <= widths[angle]
        assert len(cluster) >= 5
    steps = selection.widening
    assert steps[:2] == ("Young dropped", "Male dropped")
    assert steps[2] == f"window at -20° widened from ±5° to ±{widths[-20.0]:g}°"
    assert len(steps) == 4
    assert -15 < selection.mean_yaws_deg[0] < -10


def test_nothing_is_widened_where_there_are_enough() -> None:
    selection = choose(*records_of(2000))
    assert selection.widening == ()
    assert selection.half_widths_deg == (5.0,) * 5


def test_windows_stay_as_asked_where_the_widest_is_no_wider() -> None:
    with pytest.raises(SelectionError, match="at yaw -20°: 0 found"):
        choose(*narrow(600, 14.0), minimum=5, max_half_width_deg=5.0)


def test_too_small_names_the_yaw_and_the_numbers() -> None:
    records, poses = narrow(300, 9.0)
    with pytest.raises(SelectionError) as error:
        choose(records, poses, minimum=5)
    message = str(error.value)
    assert "yaw -20°: 0 found" in message
    assert "yaw +20°: 0 found" in message
    assert "5 needed" in message
    assert "yaw +0°" not in message
    assert "--min-cluster" in message
    assert "--min-probability" not in message


def test_too_small_by_a_least_probability_suggests_a_lower_one() -> None:
    records, poses = records_of(300)
    records = replace(records, probability=np.full(300, 0.7))
    with pytest.raises(SelectionError, match="a lower --min-probability"):
        choose(records, poses, min_probability=0.8)


def test_unknown_poses_odd_pitch_and_low_confidence_stay_out() -> None:
    records, poses = records_of(900)
    poses.yaw_deg[::3] = np.nan
    poses.pitch_deg[1::3] = 40
    poses.confidence[2::9] = 0.01
    rows = choose(records, poses, minimum=1, attributes=()).members.rows
    assert len(rows)
    assert np.all(rows % 3 == 2)
    assert np.all(rows % 9 != 2)


def with_probability(records: Records) -> Records:
    """Each label as probable as its row's place among all; every tenth unknown."""
    share = np.linspace(0, 1, len(records))
    share[::10] = np.nan
    return replace(records, probability=share)


def test_members_are_as_probable_as_asked() -> None:
    records, poses = records_of(2000)
    records = with_probability(records)
    sure = choose(records, poses, attributes=(), min_probability=0.6)
    rows = sure.members.rows
    assert records.probability is not None
    assert records.probability[rows].min() >= 0.6
    assert sure.members.mirrored.any()
    fitting = np.isin(records.labels, MIRROR_PAIRS[str(records.labels[0])])
    unsure = fitting & ~(np.nan_to_num(records.probability) >= 0.6)
    assert sure.uncertain_count == unsure.sum() > 0
    kept = candidate_rows(records, Criteria(light=str(records.labels[0]), min_probability=0.6))
    assert sorted([*kept.tolist(), *np.flatnonzero(unsure).tolist()]) == (
        np.flatnonzero(fitting).tolist()
    )


def test_a_higher_threshold_takes_a_part_of_the_members() -> None:
    records, poses = records_of(2000)
    records = with_probability(records)
    taken = [
        set(choose(records, poses, attributes=(), min_probability=p).members.rows.tolist())
        for p in (0.0, 0.3, 0.6)
    ]
    assert taken[2] < taken[1] < taken[0]


def test_a_threshold_needs_probabilities_but_not_without_the_light_filter() -> None:
    records, poses = records_of(500)
    with pytest.raises(SelectionError, match="No probabilities are known"):
        choose(records, poses, min_probability=0.5)
    open_to_all = choose(records, poses, light=None, min_probability=0.5)
    assert open_to_all.sizes == choose(records, poses, light=None).sizes
    assert open_to_all.uncertain_count == 0


def test_members_are_lit_from_near_the_sources_azimuth() -> None:
    records, poses = records_of(3000)
    azimuths = np.random.default_rng(3).uniform(-180, 180, len(records))
    azimuths[::4] = np.nan
    records = replace(records, azimuth_deg=azimuths)
    given = {"attributes": (), "light": "left", "light_window_deg": 25.0, "azimuth_deg": -170.0}
    members = choose(records, poses, **given).members
    signs = np.where(members.mirrored, -1, 1)
    found = signs * azimuths[members.rows]
    known = np.isfinite(found)
    assert 0 < known.sum() < len(known)
    assert np.abs((found[known] + 170 + 180) % 360 - 180).max() <= 25
    assert (found[known] > 0).any()  # the window goes on behind the head
    assert members.mirrored[known].any()
    swap = {"left": "right", "center": "center", "right": "left"}
    for row, mirrored in zip(members.rows[~known], members.mirrored[~known], strict=True):
        light = str(records.labels[row])
        assert (swap[light] if mirrored else light) == "left"
    kept = candidate_rows(records, Criteria(**given))
    assert set(members.rows.tolist()) <= set(kept.tolist())


def test_too_small_by_the_window_of_light_suggests_a_wider_one() -> None:
    records, poses = records_of(300)
    records = replace(records, azimuth_deg=np.full(300, 100.0))
    with pytest.raises(SelectionError, match=r"light within 5° of \+10°.*a wider --light-window"):
        choose(records, poses, light_window_deg=5.0, azimuth_deg=10.0)


def test_the_sources_person_only_where_asked_and_never_its_own_picture() -> None:
    records, poses = records_of(2000)
    records.identities[:60] = records.identities[0]
    others = choose(records, poses, attributes=())
    same = choose(records, poses, attributes=(), same_person=True)
    assert not np.isin(others.members.rows, np.arange(60)).any()
    assert np.isin(same.members.rows, np.arange(1, 60)).any()
    assert 0 not in same.members.rows


def test_large_clusters_are_thinned_by_the_seed() -> None:
    records, poses = records_of(3000)
    first, again = (choose(records, poses, attributes=(), maximum=20) for _ in range(2))
    assert first.sizes == (20,) * 5
    assert first.members.rows.tolist() == again.members.rows.tolist()


def test_keep_leaves_out_rows_and_checks_the_sizes() -> None:
    records, poses = records_of(600)
    selection = choose(records, poses, attributes=())
    criteria = Criteria(light="left", minimum=3)
    rows = selection.members.rows
    kept = selection.keep(rows[rows != rows[0]].tolist(), criteria)
    assert rows[0] not in kept.members.rows
    with pytest.raises(SelectionError, match="Too few images"):
        selection.keep([], criteria)


def test_attributes_are_abstained_from_where_unknown_unless_they_were_asked_for() -> None:
    records, _ = records_of(10)
    source = records.take(np.array([0]))
    assert usable_attributes(("Bald", "Young"), records, source, explicit=False) == ("Young",)
    with pytest.raises(DatasetError, match="no attribute 'Bald'"):
        usable_attributes(("Bald",), records, source, explicit=True)
    source.attributes[:] = UNKNOWN
    assert usable_attributes(("Male",), records, source, explicit=False) == ()
    with pytest.raises(DatasetError, match=r"'Male' of 0000\.jpg is not known"):
        usable_attributes(("Male",), records, source, explicit=True)


def test_candidates_are_what_a_mirror_can_use() -> None:
    records, _ = records_of(200)
    rows = candidate_rows(records, Criteria(light="left"))
    assert set(records.labels[rows].tolist()) == {"left", "right"}
    assert set(records.labels[candidate_rows(records, Criteria(light="center"))].tolist()) == {
        "center"
    }
    assert len(candidate_rows(records, Criteria(light=None))) == 200


@pytest.mark.parametrize(
    "given",
    [
        {"light": "top"},
        {"light": "left", "minimum": 0},
        {"light": "left", "min_probability": 1.5},
        {"light": "left", "light_window_deg": 30.0},
    ],
)
def test_refuses_criteria_that_make_no_sense(given: dict[str, object]) -> None:
    with pytest.raises(SelectionError):
        Criteria(**given)  # type: ignore[arg-type]
