"""How reliable a direction is: the figures follow what is planted, and chance where nothing is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from rotation.cli.directions import directions
from rotation.clusters.selection import ClusterMembers, Covariates, Selection
from rotation.directions.direction import flip_latents
from rotation.directions.fit import FIT_METHODS, fit_direction
from rotation.directions.fit import STUDIED_METHODS as METHODS
from rotation.directions.fit_method import FitMethod, Sample, slopes
from rotation.directions.reliability import Resampling
from rotation.directions.reliability import measure_reliability as measured
from rotation.errors import SelectionError
from rotation.synthetic_heads.dataset import read_truth, write_dataset
from tests.rotation.modelling import tiny_folder

SHAPE = (3, 4, 8)
SIZE = 96
ANGLES = tuple(np.arange(-30.0, 31.0, 10.0).tolist())
QUICK = Resampling(resamples=200, splits=8)
PLAIN = list(FIT_METHODS.values())


def planted(
    each: int, strength: float, seed: int = 0, light: str | None = None, bend: float = 0.0
) -> Sample:
    """`each` images an angle: white noise on a line of this strength a degree along one axis."""
    rng = np.random.default_rng(seed)
    count = each * len(ANGLES)
    yaws = np.repeat(ANGLES, each) + rng.uniform(-3, 3, count)
    lights = tuple(rng.choice(["left", "center", "right"], count).tolist())
    rows = rng.standard_normal((count, SIZE))
    rows[:, 0] += strength * yaws + bend * yaws**2
    members = ClusterMembers(np.arange(count), np.zeros(count, dtype=bool), yaws)
    edges = range(0, count, each)
    clusters = tuple(members.take(np.arange(start, start + each)) for start in edges)
    return Sample(
        selection=Selection(ANGLES, clusters, (), ()),
        rows=rows.astype(np.float32),
        shape=SHAPE,
        people=np.arange(count) // 2,
        covariates=Covariates(lights, rng.normal(0, 5, count), light),
    )


def mirrored_too(sample: Sample) -> Sample:
    """The sample with each image's mirror image in the cluster of the other side."""
    old = sample.selection.clusters
    clusters = tuple(
        ClusterMembers(
            np.concatenate([a.rows, b.rows]),
            np.repeat([False, True], [len(a), len(b)]),
            np.concatenate([a.yaw_deg, -b.yaw_deg]),
        )
        for a, b in zip(old, old[::-1], strict=True)
    )
    selection = replace(sample.selection, clusters=clusters)
    members = selection.members
    rows = sample.rows[members.rows]
    rows[members.mirrored] = flip_latents(rows[members.mirrored], SHAPE)
    swap = {"left": "right", "center": "center", "right": "left"}
    assert sample.covariates is not None
    lights = [sample.covariates.lights[row] for row in members.rows]
    lights = [swap[x] if m else x for x, m in zip(lights, members.mirrored, strict=True)]
    pitch = sample.covariates.pitch_deg[members.rows]
    return Sample(
        selection,
        rows,
        SHAPE,
        sample.people[members.rows],
        Covariates(tuple(lights), pitch, sample.covariates.source_light),
    )


@pytest.mark.parametrize("method", PLAIN, ids=lambda method: method.name)
@pytest.mark.parametrize("weighted", [False, True])
def test_weights_give_the_slopes_of_the_fit(method: FitMethod, weighted: bool) -> None:
    sample = planted(12, 0.1, light="left" if method.every_light else None)
    if weighted:
        rng = np.random.default_rng(1)
        clusters = [
            replace(c, weights=rng.uniform(0.5, 2, len(c))) for c in sample.selection.clusters
        ]
        sample = replace(sample, selection=replace(sample.selection, clusters=tuple(clusters)))
    latents = sample.rows.reshape(-1, *SHAPE)
    fit = fit_direction(
        sample.selection, latents, method, np.random.default_rng(0), sample.covariates
    )
    left, right = slopes(sample, method, np.ones((1, len(sample.rows))))[0]
    np.testing.assert_allclose(left, fit.direction.left, atol=1e-6)
    np.testing.assert_allclose(right, fit.direction.right, atol=1e-6)


@pytest.mark.parametrize("method", PLAIN[1:], ids=lambda method: method.name)
def test_counting_twice_is_being_there_twice(method: FitMethod) -> None:
    """Not of the paper's, which weighs centroids by how many different images they hold."""
    sample = planted(8, 0.1, light="right")
    counts = np.random.default_rng(3).integers(0, 3, len(sample.rows))
    clusters = tuple(
        c.take(np.repeat(np.arange(len(c)), counts[c.rows])) for c in sample.selection.clusters
    )
    again = replace(sample.selection, clusters=clusters)
    rows = again.members.rows
    assert sample.covariates is not None
    covariates = Covariates(
        tuple(sample.covariates.lights[row] for row in rows),
        sample.covariates.pitch_deg[rows],
        "right",
    )
    repeated = Sample(again, sample.rows[rows], SHAPE, sample.people[rows], covariates)
    counted = slopes(sample, method, counts[None].astype(float))[0]
    np.testing.assert_allclose(
        slopes(repeated, method, np.ones((1, len(rows))))[0], counted, atol=1e-5
    )


@pytest.mark.parametrize("name", METHODS)
def test_images_with_their_mirror_images_give_mirrored_sides(name: str) -> None:
    """right = -flip(left) to 1e-6: nothing enforces it but for the method that ties them."""
    sample = mirrored_too(planted(10, 0.1, light="center" if name == "regression" else None))
    if METHODS[name].shrink:
        sample = replace(sample, rows=sample.rows.astype(np.float64))
    left, right = slopes(sample, METHODS[name], np.ones((1, len(sample.rows))))[0]
    np.testing.assert_allclose(right, -flip_latents(left[None], SHAPE)[0], atol=1e-6)


def test_tied_sides_mirror_each_other_without_mirror_images() -> None:
    sample = planted(10, 0.1)
    left, right = slopes(sample, METHODS["tied"], np.ones((1, len(sample.rows))))[0]
    np.testing.assert_array_equal(right, -flip_latents(left[None], SHAPE)[0])
    plain = slopes(sample, METHODS["samples"], np.ones((1, len(sample.rows))))[0]
    assert np.linalg.norm(plain[1] + flip_latents(plain[:1], SHAPE)[0]) > 0.01


@pytest.mark.parametrize("name", ["paper", "samples", "one-line"])
def test_the_random_part_follows_the_law_of_white_latents(name: str) -> None:
    found = measured(planted(40, 0.2), METHODS[name], QUICK, seed=1)
    assert found.random == pytest.approx(found.expected, rel=0.12)
    more = measured(planted(160, 0.2), METHODS[name], QUICK, seed=1)
    assert more.random == pytest.approx(found.random / 2, rel=0.15)
    assert found.images == 40 * len(ANGLES)


def test_the_expected_random_part_is_that_of_the_plain_line() -> None:
    """N latents at each of 0, 10, 20, 30 degrees: 30 sqrt(D / (500 N))."""
    sample = planted(50, 0.2)
    members = sample.selection.members
    exact = ClusterMembers(members.rows, members.mirrored, np.repeat(ANGLES, 50))
    clusters = tuple(exact.take(np.arange(k, k + 50)) for k in range(0, 350, 50))
    sample = replace(sample, selection=replace(sample.selection, clusters=clusters))
    found = measured(sample, METHODS["paper"], Resampling(2, 1), seed=0)
    assert found.expected == pytest.approx(30 * np.sqrt(SIZE / (500 * 50)), rel=1e-6)


def test_halves_agree_on_a_direction_and_not_on_noise() -> None:
    clear, nothing = (
        measured(planted(40, s), METHODS["samples"], QUICK, seed=1) for s in (1.0, 0.0)
    )
    assert clear.half_cosine.low > 0.9
    assert clear.bootstrap_cosine.low > 0.95
    assert clear.r2 > 0.99
    assert abs(nothing.half_cosine.mean) < 0.2
    assert nothing.left_out > nothing.unmoved  # a path of noise is worth less than none
    assert clear.left_out < 0.2 * clear.unmoved
    assert clear.noise < clear.left_out < 2 * clear.noise


def test_the_number_of_images_for_a_cosine_is_about_right() -> None:
    """The number told from few images, tried with so many."""
    strength = 0.045
    told = measured(planted(60, strength, seed=2), METHODS["samples"], QUICK, seed=1)
    each = int(told.images_for_goal * 2 / len(ANGLES))
    tried = measured(planted(each, strength, seed=3), METHODS["samples"], QUICK, seed=1)
    assert 30 < each < 2000
    assert tried.half_cosine.mean == pytest.approx(0.9, abs=0.04)


def test_a_bent_path_is_found_out_by_the_angle_left_out() -> None:
    straight, bent = (
        measured(planted(60, 0.3, bend=b), METHODS["one-line"], Resampling(2, 1), seed=1)
        for b in (0, 0.02)
    )
    assert bent.left_out > 2 * straight.left_out


def test_a_side_light_is_asked_for_alone_but_by_the_regression() -> None:
    sample = planted(40, 0.2, light="left")
    assert sample.covariates is not None
    lit = sum(light == "left" for light in sample.covariates.lights)
    assert measured(sample, METHODS["samples"], Resampling(2, 1), 0).images == lit
    assert measured(sample, METHODS["regression"], Resampling(2, 1), 0).images == len(sample.rows)


def test_within_components_only_these_count() -> None:
    sample = planted(40, 0.2)
    basis = np.eye(SIZE, dtype=np.float32)[:2]
    whole, within = (measured(sample, METHODS["samples"], QUICK, 1, b) for b in (None, basis))
    assert within.half_cosine.mean > whole.half_cosine.mean
    assert within.expected == pytest.approx(whole.expected * np.sqrt(2 / SIZE))
    assert within.random == pytest.approx(within.expected, rel=0.2)


def test_one_person_has_no_halves() -> None:
    sample = planted(4, 0.2)
    with pytest.raises(SelectionError, match="two people"):
        measured(
            replace(sample, people=np.zeros(28, dtype=np.int64)),
            METHODS["samples"],
            QUICK,
            0,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny untrained model; rendered heads and latents are kept there."""
    folder = tmp_path_factory.mktemp("study")
    tiny_folder(folder / "tiny")
    return folder


def study(place: Path, *more: str) -> Result:
    """`rotation directions`, quickly."""
    settings = {
        "--model": place / "tiny",
        "--cache": place / "cache",
        "--iterations": 0,
        "--steps": 2,
        "--min-cluster": 1,
        "--device": "cpu",
        "--splits": 2,
        "--resamples": 3,
        "--heads": 60,
    }
    words = [str(word) for pair in settings.items() for word in pair]
    return CliRunner().invoke(directions, [*words, *more])


def test_from_rendered_heads_to_two_tables(place: Path, tmp_path: Path) -> None:
    result = study(place, "--components", "7", "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out" / "directions.json").read_text())
    assert list(report["ways"]) == list(METHODS)
    assert report["people"] == 15
    assert report["people_known"]
    assert report["components"] == 7
    for name, spaces in report["ways"].items():
        assert spaces["components"]["norm"] <= spaces["latent"]["norm"], name
    whole = report["ways"]["regression"]["latent"]
    assert whole["images"] == report["images"] > report["ways"]["paper"]["latent"]["images"]
    assert "Within 7 leading components" in result.stdout
    assert result.stdout.count("| samples |") == 2


def test_images_of_ones_own_by_their_labels(place: Path, tmp_path: Path) -> None:
    heads = write_dataset(place / "cache" / "heads-60", 60)
    rows = [f"{name},{light}\n" for name, light in read_truth(heads).items()]
    labels = tmp_path / "labels.csv"
    labels.write_text("filename,label\n" + "".join(rows))
    given = ["--images", str(heads), "--methods", "samples", "--json", "--light", "any"]
    refused = study(place, *given)
    assert refused.exit_code == 1
    assert "--labels is needed" in refused.stderr
    result = study(place, *given, "--labels", str(labels))
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (list(report["ways"]), report["light"]) == (["samples"], "any")


def test_a_cluster_too_small_says_so(place: Path) -> None:
    few = study(place, "--min-cluster", "9", "--light", "left")
    assert few.exit_code == 1
    assert "Too few images with light 'left', at yaw" in few.stderr


def test_a_wrong_way_is_one_message(place: Path) -> None:
    wrong = study(place, "--methods", "samples,best")
    assert wrong.exit_code == 1
    assert "--methods: 'best' is no method; there are paper, samples" in wrong.stderr
