"""Learning with unlabelled pictures, calibration, thresholds, the active order, model folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from labeler.light_classifier.active_learning import margin_uncertainty, next_to_ask
from labeler.light_classifier.calibration import fit_temperature, threshold_for_precision
from labeler.light_classifier.evaluation import expected_calibration_error
from labeler.light_classifier.face_features import N_FEATURES
from labeler.light_classifier.features import mirror_features
from labeler.light_classifier.mirror_logistic import CENTER, LEFT, RIGHT, fit
from labeler.light_classifier.semi_supervised import fit_with_unlabeled, sharpen
from labeler.light_classifier.storage import DESCRIPTION_FILE, WEIGHTS_FILE, load_model, save_model
from labeler.light_classifier.training import threshold_of, train
from tests.labeler.light_classifier.test_mirror_logistic import faces, random_labels


def test_without_unlabelled_pictures_it_is_the_plain_fit() -> None:
    labels = random_labels(12)
    features, unseen = faces(labels), faces(random_labels(20, 5), 5)
    plain = fit(features, labels, np.ones(12)).predict(unseen)
    none = fit_with_unlabeled(features, labels, np.ones(12)).predict(unseen)
    empty = np.empty((3, 0, N_FEATURES), np.float32)
    np.testing.assert_array_equal(none, plain)
    np.testing.assert_array_equal(
        fit_with_unlabeled(features, labels, np.ones(12), empty).predict(unseen), plain
    )


def test_unlabelled_pictures_change_the_model_and_do_no_harm() -> None:
    labels, truth = random_labels(9), random_labels(200, 6)
    features, unseen = faces(labels, 0, 0.3), faces(truth, 6, 0.3)
    pool = faces(random_labels(200, 7), 7, 0.3)
    plain = fit(features, labels, np.ones(9)).predict(unseen)
    taught = fit_with_unlabeled(features, labels, np.ones(9), pool).predict(unseen)
    assert np.abs(taught - plain).max() > 1e-3
    assert (taught.argmax(1) == truth).mean() >= (plain.argmax(1) == truth).mean() - 0.01


def test_mirror_is_exact_after_learning_from_a_one_sided_pool() -> None:
    labels = random_labels(9)
    pool = np.stack([faces(np.full(40, LEFT), seed) for seed in (3, 4)])
    model = fit_with_unlabeled(faces(labels), labels, np.ones(9), pool)
    unseen = faces(random_labels(20, 5), 5)
    np.testing.assert_array_equal(
        model.predict(mirror_features(unseen)), model.predict(unseen)[:, ::-1]
    )


def test_unlabelled_pictures_cannot_outvote_the_labels() -> None:
    """The pool says the opposite of two labels; the labels win on what they show."""
    labels = np.array([LEFT, CENTER, RIGHT] * 2)
    features = faces(labels, 0, 0.15)
    pool = np.tile(faces(np.full(50, CENTER), 2, 0.15), (30, 1))
    model = fit_with_unlabeled(features, labels, np.ones(6), pool)
    assert (model.predict(features).argmax(axis=1) == labels).all()


def test_soft_labels_teach_their_shares() -> None:
    features = np.repeat(faces(np.array([LEFT])), 20, axis=0)
    shares = np.tile([0.6, 0.4, 0.0], (20, 1))
    left, center, right = fit(features, shares, np.full(20, 50.0), 100.0).predict(features)[0]
    assert left == pytest.approx(0.6, abs=0.03)
    assert center == pytest.approx(0.4, abs=0.03)
    assert right < 0.02


@pytest.mark.parametrize("shares", [[[0.5, 0.2, 0.2]], [[1.2, -0.2, 0.0]], [[0.5, 0.5]]])
def test_shares_that_are_none_are_refused(shares: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"shares|shape"):
        fit(faces(np.array([LEFT])), np.array(shares), np.ones(1))


def test_too_sure_a_model_is_cooled_and_a_true_one_left_alone() -> None:
    rng = np.random.default_rng(0)
    honest = rng.dirichlet([1, 1, 1], 4000)
    labels = np.array([rng.choice(3, p=row) for row in honest])
    sure = sharpen(honest, 0.5)
    temperature = fit_temperature(sure, labels, np.ones(4000))
    assert temperature == pytest.approx(2, rel=0.1)
    assert fit_temperature(honest, labels, np.ones(4000)) == pytest.approx(1, abs=0.08)
    cooled = sharpen(sure, temperature)
    assert expected_calibration_error(cooled, labels) < 0.03
    assert expected_calibration_error(sure, labels) > 0.1


def test_few_labels_hardly_move_the_temperature() -> None:
    wrong = np.array([[0.999, 0.001, 0.0]])
    assert fit_temperature(wrong, np.array([CENTER]), np.ones(1)) < 2


def test_votes_that_err_do_not_make_a_model_doubt() -> None:
    """Each label is right with 80 %: as labels they say 0.8, as votes that err so they say more."""
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 3, 4000)
    right = rng.random(4000) < 0.8
    voted = np.where(right, truth, (truth + rng.integers(1, 3, 4000)) % 3)
    doubtful = np.eye(3)[truth] * 0.7 + 0.1  # always right, and 0.8 sure
    likelihoods = np.eye(3)[voted] * 0.7 + 0.1
    ones = np.ones(4000)
    assert fit_temperature(doubtful, voted, ones) == pytest.approx(1, abs=0.05)
    temperature = fit_temperature(doubtful, voted, ones, likelihoods)
    assert sharpen(doubtful, temperature).max(axis=1).min() > 0.95


def test_threshold_keeps_its_precision_and_labels_as_many_as_it_can() -> None:
    confidence = np.linspace(0.99, 0.5, 100)
    probabilities = np.stack([confidence, 1 - confidence, np.zeros(100)], axis=1)
    labels = np.where(np.arange(100) < 60, LEFT, CENTER)
    threshold = threshold_for_precision(probabilities, labels, 0.9)
    assert threshold is not None
    chosen = confidence >= threshold
    assert (labels[chosen] == LEFT).mean() >= 0.9
    assert chosen.sum() == 66  # 60 of 66 are right, 60 of 67 are not nine tenths


def test_no_threshold_is_promised_from_too_few_or_too_bad_predictions() -> None:
    sure = np.tile([0.98, 0.01, 0.01], (50, 1))
    assert threshold_for_precision(sure, np.full(50, LEFT), 0.99) is None
    assert threshold_for_precision(sure, np.full(50, LEFT), 0.95) == 0.98
    assert threshold_for_precision(sure, np.full(50, RIGHT), 0.5) is None
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold_for_precision(sure, np.full(50, LEFT), 1.0)


def test_trained_model_is_calibrated_on_groups_left_out() -> None:
    """Half of the labels are wrong for whole people, so the model cannot be sure of new ones."""
    people = np.repeat(np.arange(30), 3)
    labels = random_labels(30, 1)[people]
    rng = np.random.default_rng(1)
    features = rng.normal(0, 3, (30, N_FEATURES)).astype(np.float32)[people]
    trained = train(features, labels, np.ones(90), people)
    assert trained.temperature > 1.2
    assert trained.held_out is not None
    np.testing.assert_allclose(trained.held_out.sum(axis=1), 1)
    assert threshold_of(trained, labels, 0.9) is None


def test_one_person_gives_an_uncalibrated_model() -> None:
    labels = random_labels(12)
    trained = train(faces(labels), labels, np.ones(12), np.zeros(12, int))
    assert (trained.held_out, trained.temperature) == (None, 1.0)
    assert threshold_of(trained, labels, 0.9) is None


def test_the_doubtful_are_asked_first_and_no_two_alike() -> None:
    rng = np.random.default_rng(0)
    distinct = rng.normal(0, 1, (4, N_FEATURES)).astype(np.float32)
    twin, mirrored = distinct[0:1] + 1e-4, mirror_features(distinct[0:1])
    features = np.concatenate([distinct, twin, mirrored])
    probabilities = np.array(
        [
            [0.4, 0.4, 0.2],
            [0.6, 0.3, 0.1],
            [0.7, 0.2, 0.1],
            [0.98, 0.01, 0.01],
            [0.4, 0.4, 0.2],
            [0.2, 0.4, 0.4],
        ]
    )
    assert margin_uncertainty(probabilities)[0] == 1
    order = next_to_ask(features, probabilities, 4)
    assert order[0] in (0, 4, 5)
    assert order[1:].tolist() == [1, 2, 3]
    assert sorted(next_to_ask(features, probabilities, 99).tolist()) == list(range(6))


def test_what_was_asked_is_not_asked_again_in_another_guise() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(0, 1, (3, N_FEATURES)).astype(np.float32)
    ties = np.tile([0.4, 0.4, 0.2], (3, 1))
    asked = np.concatenate([mirror_features(features[:1]), features[2:]])
    assert next_to_ask(features, ties, 1, asked).tolist() == [1]


def test_ordering_needs_a_prediction_for_each_picture() -> None:
    with pytest.raises(ValueError, match="2 images"):
        next_to_ask(np.zeros((2, N_FEATURES), np.float32), np.ones((1, 3)) / 3, 1)
    nothing = next_to_ask(np.zeros((0, N_FEATURES), np.float32), np.ones((0, 3)), 5)
    assert nothing.tolist() == []


def test_stored_model_predicts_the_same_bits(tmp_path: Path) -> None:
    labels = random_labels(12)
    model = fit(faces(labels), labels, np.ones(12))
    save_model(tmp_path / "a" / "model", model, {"n_labelled": 12})
    loaded, description = load_model(tmp_path / "a" / "model")
    unseen = faces(random_labels(20, 5), 5)
    np.testing.assert_array_equal(loaded.predict(unseen), model.predict(unseen))
    assert description["n_labelled"] == 12


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    labels = random_labels(12)
    model = fit(faces(labels), labels, np.ones(12))
    with pytest.raises(ValueError, match="is it a model"):
        load_model(tmp_path)
    save_model(tmp_path, model, {})
    arrays = load_file(tmp_path / WEIGHTS_FILE)
    save_file(arrays | {"odd": arrays["odd"] * np.nan}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(ValueError, match="NaN"):
        load_model(tmp_path)
    save_file({"odd": arrays["odd"]}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(ValueError, match="not the arrays"):
        load_model(tmp_path)
    (tmp_path / WEIGHTS_FILE).write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read"):
        load_model(tmp_path)
    (tmp_path / DESCRIPTION_FILE).write_text(json.dumps({"method": "other"}))
    with pytest.raises(ValueError, match="Fit it anew"):
        load_model(tmp_path)
