"""The judge of turned heads: right about true renders, and about wrong ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rotation.directions import Direction
from rotation.errors import SelectionError
from rotation.evaluation import benchmark_heads, judge, source_of, summarise, table
from rotation.fitting import Fit
from rotation.images import Pixels
from rotation.pipeline import Rotation, Turn
from rotation.records import LABELS
from rotation.selection import Selection
from rotation.synthetic import BENCHMARK_IDENTITY, Head, mirror, render, sample_identity

YAWS = (-30.0, 0.0, 30.0)
HEAD = benchmark_heads(1, seed=3)[0]


def turned(frames: Pixels, head: Head = HEAD) -> Rotation:
    """A rotation that gave these frames; how it came to them is nothing to the judge."""
    flat = np.zeros(1)
    source = source_of(head, frames.shape[1])
    return Rotation(
        source=source,
        reconstruction=source.crop,
        frames=frames,
        norms=(0.0,) * len(frames),
        source_norm=0.0,
        turn=Turn((0.0,), None),
        selection=Selection((), (), (), ()),
        fit=Fit(Direction(flat, flat, 1.0, 1.0), 1.0, 1.0),
        means=frames[:0],
    )


def pictures(head: Head, yaws: tuple[float, ...] = YAWS) -> Pixels:
    return render([replace(head, yaw_deg=yaw) for yaw in yaws])


def test_heads_are_unseen_people_in_all_lights() -> None:
    heads = benchmark_heads(6, seed=1)
    lights = [source_of(head, 16).light for head in heads]
    assert lights == [*LABELS, *LABELS]
    seen = {sample_identity(BENCHMARK_IDENTITY + k) for k in range(200)}
    assert {head.identity for head in heads} <= seen
    assert max(abs(head.yaw_deg) for head in heads) <= 10


def test_the_truth_gets_full_marks() -> None:
    truth = pictures(HEAD)
    verdict = judge(HEAD, turned(truth), truth, YAWS, gallery=4)
    np.testing.assert_allclose(verdict.reached_deg, YAWS, atol=0.2)
    assert verdict.light_kept == [True] * 3
    assert verdict.identity_kept == [True] * 2
    assert min(verdict.psnr_db) == 100


def test_a_turn_that_falls_short_is_measured() -> None:
    short = pictures(HEAD, (-15.0, 0.0, 15.0))
    verdict = judge(HEAD, turned(short), pictures(HEAD), YAWS, gallery=0)
    np.testing.assert_allclose(verdict.reached_deg, (-15, 0, 15), atol=0.5)
    assert verdict.identity_kept == []
    summary = summarise([verdict], YAWS)
    assert summary["overall"]["yaw_mae_deg"]["mean"] == pytest.approx(10, abs=0.5)
    assert "| yaw reached | -1" in table(summary)


def test_another_light_and_another_person_are_found_out() -> None:
    truth = pictures(HEAD)
    relit = pictures(replace(HEAD, light_azimuth_deg=mirror(HEAD).light_azimuth_deg))
    assert judge(HEAD, turned(relit), truth, YAWS, gallery=0).light_kept == [False] * 3
    stranger = replace(HEAD, identity=sample_identity(BENCHMARK_IDENTITY + 500_000))
    strange = judge(HEAD, turned(pictures(stranger)), truth, YAWS, gallery=2)
    assert strange.identity_kept == [False] * 2


def test_nothing_cannot_be_summed_up() -> None:
    with pytest.raises(SelectionError, match="at least one source"):
        summarise([], YAWS)
