"""The benchmark: its judge is right about true renders and about wrong ones, its tables add up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from rotation.cli.benchmark import benchmark
from rotation.cli.common import Progress
from rotation.data.crop import Pixels
from rotation.data.labels import LABELS
from rotation.diffusion.latent_model import LatentModel
from rotation.directions.fit import FIT_METHODS
from rotation.editing.method import EDITING_METHODS
from rotation.editing.pipeline import Source
from rotation.errors import SelectionError
from rotation.evaluation.editors import CachedSourceEncoder, by_truth, source_of
from rotation.evaluation.ground_truth import TrueRenders, benchmark_heads
from rotation.evaluation.judge import JudgedFrames, Judgement, judge
from rotation.evaluation.judge_pool import Judges
from rotation.evaluation.run import QUICK, Comparison
from rotation.evaluation.tables import markdown, summarise
from rotation.evaluation.variants import NAMED_VARIANTS, VARIANTS, choose, with_registered
from rotation.imaging.metrics import structural_similarity
from rotation.synthetic_heads.parameters import Head, mirror
from rotation.synthetic_heads.renderer import render
from rotation.synthetic_heads.sampling import BENCHMARK_IDENTITY, sample_identity
from tests.rotation.modelling import SIZE, tiny_folder

YAWS = (-30.0, 0.0, 30.0)
HEAD = benchmark_heads(1, seed=3)[0]
CROP = render([HEAD])[0]
TRUTH = TrueRenders(HEAD, people=3)


def judgement_on(frames: Pixels, yaws: tuple[float, ...] = YAWS) -> Judgement:
    return judge(TRUTH, frames, yaws, CROP, CROP)


def pictures(head: Head, yaws: tuple[float, ...] = YAWS) -> Pixels:
    return render([replace(head, yaw_deg=yaw) for yaw in yaws])


def test_heads_are_unseen_people_in_all_lights() -> None:
    heads = benchmark_heads(6, seed=1)
    assert [source_of(head, 16).light for head in heads] == [*LABELS, *LABELS]
    unseen = {sample_identity(BENCHMARK_IDENTITY + k) for k in range(200)}
    assert {head.identity for head in heads} <= unseen
    assert max(abs(head.yaw_deg) for head in heads) <= 10


def test_the_truth_gets_full_marks() -> None:
    judgement = judgement_on(pictures(HEAD))
    np.testing.assert_allclose(judgement.reached_deg, YAWS, atol=0.5)
    assert judgement.light_kept == [True] * 3
    assert judgement.identity_kept == [True] * 2
    assert abs(judgement.pitch_leak) < 0.02
    assert min(judgement.psnr_db) == judgement.bound_db == 100
    assert min(judgement.similarity) == pytest.approx(1)


def test_yaws_between_those_of_the_grid_are_read() -> None:
    yaws = (-21.3, -3.8, 13.6)
    judgement = judgement_on(pictures(HEAD, yaws), yaws)
    np.testing.assert_allclose(judgement.reached_deg, yaws, atol=0.5)


def test_a_coarser_grid_reads_nearly_as_well() -> None:
    yaws = (-21.3, -3.8, 13.6)
    judgement = judge(
        TrueRenders(HEAD, people=3, step_deg=5.0), pictures(HEAD, yaws), yaws, CROP, CROP
    )
    np.testing.assert_allclose(judgement.reached_deg, yaws, atol=1.0)


def test_a_turn_that_falls_short_or_goes_astray_is_measured() -> None:
    short = judgement_on(pictures(HEAD, (-15.0, 0.0, 15.0)))
    np.testing.assert_allclose(short.reached_deg, (-15, 0, 15), atol=0.5)
    assert max(short.psnr_db[0], short.psnr_db[2]) < 30 < short.psnr_db[1]
    astray = judgement_on(pictures(HEAD)[::-1])
    assert astray.reached_deg[0] > 29
    assert astray.reached_deg[2] < -29


def test_another_light_and_another_person_are_found_out() -> None:
    relit = pictures(replace(HEAD, light_azimuth_deg=mirror(HEAD).light_azimuth_deg))
    assert judgement_on(relit).light_kept == [False] * 3
    stranger = replace(HEAD, identity=sample_identity(BENCHMARK_IDENTITY + 500_000))
    assert judgement_on(pictures(stranger)).identity_kept == [False] * 2


def test_a_head_that_nods_as_it_turns_is_found_out() -> None:
    nodding = render(
        [replace(HEAD, yaw_deg=yaw, pitch_deg=HEAD.pitch_deg + 0.2 * yaw) for yaw in YAWS]
    )
    assert judgement_on(nodding).pitch_leak == pytest.approx(0.2, abs=0.05)


def test_a_mirrored_source_is_judged_alike() -> None:
    other = mirror(HEAD)
    frames = pictures(HEAD, (-20.0, 10.0))
    judgement = judge(TrueRenders(other, people=3), frames[:, :, ::-1], (20.0, -10.0), CROP, CROP)
    np.testing.assert_allclose(judgement.reached_deg, (20, -10), atol=0.5)
    assert judgement.light_kept == [True] * 2
    assert judgement.identity_kept == []
    assert np.isnan(judgement.pitch_leak)


def test_structural_similarity_falls_with_noise_and_is_symmetric() -> None:
    rng = np.random.default_rng(0)
    image = pictures(HEAD, (0.0,))
    noisy = [
        np.clip(image + rng.normal(0, sd, image.shape), 0, 255).astype(np.uint8) for sd in (5, 40)
    ]
    slight, strong = (float(structural_similarity(image, other)[0]) for other in noisy)
    assert 1 > slight > 0.8 > strong
    assert structural_similarity(noisy[1], image)[0] == pytest.approx(strong)


def made_up(reached: tuple[float, ...], decibels: float) -> Judgement:
    count = len(reached)
    return Judgement(
        "left", list(reached), [decibels] * count, [0.5] * count, [True], [], 0.1, 40.0
    )


def test_tables_hold_means_differences_and_medians() -> None:
    summary = summarise(
        {
            "paper": [made_up((-10, 0, 10), 20.0), made_up((-20, 0, 40), 22.0)],
            "samples": [made_up((-30, 0, 30), 25.0), made_up((-30, 5, 5), 27.0)],
        },
        YAWS,
    )
    paper, samples = summary["paper"]["measures"], summary["samples"]["measures"]
    assert paper["yaw_mae_at_30_deg"]["mean"] == pytest.approx(15)
    assert paper["yaw_mae_within_20_deg"]["mean"] == 0
    assert (paper["monotone"]["mean"], samples["monotone"]["mean"]) == (1, 0.5)
    assert samples["identity_top1"] is None
    assert summary["samples"]["less_first"]["psnr_db"] == {"mean": 5, "low": 5, "high": 5}
    assert summary["paper"]["reached_deg"]["median"] == [-15, 0, 25]
    text = markdown(summary, YAWS)
    assert "| paper | -15.0 | 0.0 | 25.0 |" in text
    assert "| 5.0 [5.0, 5.0] |" in next(
        line for line in text.split("less paper")[1].splitlines() if line.startswith("| samples")
    )


def test_yaws_asked_for_in_any_order_are_put_in_order() -> None:
    summary = summarise({"paper": [made_up((30, -30, 0), 20.0)]}, (30.0, -30.0, 0.0))
    assert summary["paper"]["measures"]["monotone"]["mean"] == 1


def test_nothing_cannot_be_summed_up() -> None:
    with pytest.raises(SelectionError, match="at least one source"):
        summarise({"paper": []}, YAWS)


def test_variants_are_chosen_by_name() -> None:
    assert [one.name for one in choose(("samples", "bound", "paper"))] == ["samples", "paper"]
    with pytest.raises(SelectionError, match="'papr' is no variant; there are paper, one-line"):
        choose(("papr",))
    option = next(one for one in benchmark.params if one.name == "variants")
    assert ", ".join((*VARIANTS, "bound")) in option.to_info_dict()["help"]


def test_a_registered_method_is_a_variant_without_a_further_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(FIT_METHODS, "new-fit", replace(FIT_METHODS["samples"], name="new-fit"))
    monkeypatch.setitem(EDITING_METHODS, "new-edit", EDITING_METHODS["line"])
    found = with_registered(NAMED_VARIANTS)
    assert list(found) == [*NAMED_VARIANTS, "new-fit", "new-edit"]
    assert found["new-fit"].options.fit.method == "new-fit"
    assert found["new-edit"].options.editing.method == "new-edit"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model's folder."""
    return tiny_folder(tmp_path_factory.mktemp("model") / "tiny")


def test_the_bound_of_an_invertible_model_is_the_truth(model: Path) -> None:
    encoder = LatentModel.load(model, device="cpu")
    truth = TrueRenders(HEAD, size=SIZE, people=1)
    source = source_of(HEAD, SIZE)
    turned = by_truth(YAWS)(CachedSourceEncoder(encoder, source), source, truth)
    assert np.abs(turned.frames.astype(int) - truth.turned(YAWS)).max() <= 1
    assert np.abs(turned.reconstruction.astype(int) - source.crop).max() <= 1


def test_judges_elsewhere_say_the_same(model: Path) -> None:
    truth = TrueRenders(HEAD, size=SIZE, people=2)
    turned = {"paper": JudgedFrames(truth.turned((0.0, 20.0)), source_of(HEAD, SIZE).crop)}
    crop = source_of(HEAD, SIZE).crop
    found = []
    for workers in (0, 1):
        with Judges(workers) as judges:
            judgement = judges.submit(truth, (0.0, 20.0), crop, turned).result()["paper"]
            found.append(replace(judgement, pitch_leak=0.0))  # not asked: NaN, unlike itself
    assert found[0] == found[1]


def words(model: Path, tmp_path: Path, sources: int) -> dict[str, object]:
    """Options of a small benchmark, by name of the command line."""
    return {
        "--model": model,
        "--cache": model.parent / "cache",
        "--out": tmp_path / "out",
        "--sources": sources,
        "--heads": 40,
        "--gallery": 2,
        "--variants": "paper,one-line,bound",
        "--min-cluster": 1,
        "--iterations": 0,
        "--yaw": "-30:30:30",
        "--workers": 0,
        "--device": "cpu",
    }


def call(options: dict[str, object], *more: str) -> Result:
    flat = [str(word) for pair in options.items() for word in pair]
    return CliRunner().invoke(benchmark, ["--quick", *flat, *more])


def test_from_the_command_to_figures_and_pictures(model: Path, tmp_path: Path) -> None:
    result = call(words(model, tmp_path, 2))
    assert result.exit_code == 0, result.output
    assert "| yaw reached, median | -30° | 0° | +30° |" in result.stdout
    assert "turn: 2 of 2" in result.stderr  # no terminal: lines instead of a bar
    report = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert list(report["variants"]) == list(report["verdicts"]) == ["paper", "one-line", "bound"]
    assert report["sources"] == report["judged"] == len(report["verdicts"]["paper"]) == 2
    assert (report["complete"], report["left_out"], report["grid_deg"]) == (True, [], 5.0)
    assert report["variants"]["bound"]["measures"]["psnr_db"]["mean"] > 40
    with Image.open(tmp_path / "out" / "strips.png") as strips:
        assert strips.height > 8 * SIZE  # truth and three variants, twice
    with Image.open(tmp_path / "out" / "yaw_reached.png") as plot:
        assert plot.width > 400


def test_no_source_with_clusters_large_enough_is_one_message(model: Path, tmp_path: Path) -> None:
    result = call({**words(model, tmp_path, 2), "--min-cluster": 300})
    assert result.exit_code == 1
    assert "All sources were left out: Too few images" in result.stderr


class Killed(BaseException):
    """What ends a run that nobody waits for."""


def test_a_run_that_is_killed_leaves_figures(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def until_the_fourth(self: Progress, stage: str, done: int, total: int) -> None:
        if (stage, done) == ("turn", 4):
            raise Killed

    monkeypatch.setattr(Progress, "__call__", until_the_fourth)
    with pytest.raises(Killed):
        call({**words(model, tmp_path, 4), "--variants": "bound", "--yaw": "0"})
    report = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert (report["judged"], report["sources"], report["complete"]) == (3, 4, False)
    assert len(report["verdicts"]["bound"]) == 3
    assert "mean" in report["variants"]["bound"]["measures"]["psnr_db"]


class Exact:
    """An encoder whose latents are the images."""

    image_size = SIZE

    def encode_source(self, images: torch.Tensor) -> torch.Tensor:
        return images


def test_a_source_with_small_clusters_is_left_out_of_every_variant() -> None:
    heads = benchmark_heads(3, seed=3)
    truths = [TrueRenders(head, size=SIZE, people=1) for head in heads]

    def works(model: object, source: Source, truth: TrueRenders) -> JudgedFrames:
        return JudgedFrames(truth.turned((0.0,)), source.crop)

    def fails_once(model: object, source: Source, truth: TrueRenders) -> JudgedFrames:
        if truth is truths[1]:
            raise SelectionError("Too few.")
        return works(model, source, truth)

    size = replace(QUICK, sources=3, yaws_deg=(0.0,))
    with Judges(0) as judges:
        comparison = Comparison(Exact(), {"one": works, "two": fails_once}, size, judges, shown=1)  # type: ignore[arg-type]
        for truth in truths:
            comparison.turn(truth)
        assert list(comparison.judged()) == [1, 2]
        outcome = comparison.outcome()
    assert {name: len(rows) for name, rows in outcome.judgements.items()} == {"one": 2, "two": 2}
    assert {name: len(rows) for name, rows in outcome.seconds.items()} == {"one": 2, "two": 2}
    assert outcome.left_out == [
        {"source": 2, "light": LABELS[1], "variant": "two", "reason": "Too few."}
    ]
    assert len(outcome.strips) == 1


def test_a_wrong_variant_is_one_message(tmp_path: Path) -> None:
    result = CliRunner().invoke(benchmark, ["--variants", "best", "--cache", str(tmp_path)])
    assert result.exit_code == 1
    assert "--variants: 'best' is no variant" in result.stderr
    assert list(tmp_path.iterdir()) == []
