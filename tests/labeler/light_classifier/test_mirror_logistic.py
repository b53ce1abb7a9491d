"""The logistic model: exact under the mirror, able to learn, honest about its figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import LogisticRegression

from labeler.light_classifier.evaluation import evaluate, expected_calibration_error, out_of_fold
from labeler.light_classifier.face_features import (
    N_FEATURES,
    N_ODD,
    face_features,
    typical_features,
)
from labeler.light_classifier.features import mirror_features
from labeler.light_classifier.mirror_logistic import (
    CENTER,
    INVERSE_PENALTY,
    LEFT,
    PRIOR_WEIGHT,
    RIGHT,
    MirrorLogistic,
    fit,
)
from rotation.faces.face_pairs import find_pairs, read_pair
from tests.labeler.lit_faces import HEIGHT, LANDMARKS, WIDTH


def faces(labels: np.ndarray, seed: int = 0, strength: float = 0.5) -> np.ndarray:
    """Noisy grey pictures with a brightness slope from the labelled side; (N, N_FEATURES)."""
    rng = np.random.default_rng(seed)
    across = np.linspace(2, -2, WIDTH)
    slope = strength * (1 - labels)[:, None, None] * across
    grey = 110 * np.exp(slope + 0.2 * rng.standard_normal((len(labels), HEIGHT, WIDTH)))
    pictures = [Image.fromarray(g).convert("RGB") for g in np.clip(grey, 0, 255).astype(np.uint8)]
    known = np.tile(np.array(LANDMARKS, float).reshape(1, 5, 2), (len(labels), 1, 1))
    return face_features([read_pair(pair) for pair in find_pairs(pictures, known)])


def random_labels(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, count)


def fitted(labels: np.ndarray, seed: int = 0) -> MirrorLogistic:
    return fit(faces(labels, seed), labels, np.ones(len(labels)))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_mirror_gets_exactly_the_mirrored_probabilities(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0, 5, size) for size in (N_ODD, N_FEATURES, N_FEATURES)]
    model = MirrorLogistic(*weights, *rng.normal(0, 3, 2))
    features = rng.normal(0, 1, (7, N_FEATURES)).astype(np.float32)
    mirrored = model.predict(mirror_features(features))
    np.testing.assert_array_equal(mirrored, model.predict(features)[:, ::-1])


def test_model_fitted_to_one_sided_labels_is_exact_under_the_mirror_too() -> None:
    model = fitted(np.array([LEFT] * 9 + [CENTER] * 4))
    features = faces(random_labels(20), seed=3)
    mirrored = model.predict(mirror_features(features))
    np.testing.assert_array_equal(mirrored, model.predict(features)[:, ::-1])


def test_learning_from_mirrored_pictures_gives_the_same_model() -> None:
    labels = random_labels(30)
    features, weights = faces(labels), np.ones(30)
    model = fit(features, labels, weights)
    other = fit(mirror_features(features), 2 - labels, weights)
    unseen = faces(random_labels(20, seed=5), seed=5)
    np.testing.assert_allclose(model.predict(unseen), other.predict(unseen), atol=1e-3)


def test_learns_the_side_of_the_light_from_few_labels() -> None:
    truth = random_labels(300, seed=8)
    probabilities = fitted(random_labels(18)).predict(faces(truth, seed=9))
    assert (probabilities.argmax(axis=1) == truth).mean() > 0.95
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)


def test_labels_of_one_side_teach_the_other_side() -> None:
    model = fitted(np.array([LEFT] * 10 + [CENTER] * 10))
    assert (model.predict(faces(np.full(20, RIGHT), seed=4)).argmax(axis=1) == RIGHT).all()


def test_a_label_that_nobody_gave_keeps_a_small_probability() -> None:
    model = fitted(np.array([LEFT, RIGHT] * 6))
    center = model.predict(faces(random_labels(20), seed=2))[:, CENTER]
    assert (center > 0).all()
    assert center.mean() < 1 / 3


def test_light_labels_weigh_less() -> None:
    labels = np.array([LEFT] * 6 + [CENTER] * 12)
    features = faces(labels)
    wrong = np.concatenate([np.full(6, CENTER), labels[6:]])
    heavy = fit(features, wrong, np.ones(18)).predict(features)[:6, CENTER]
    rows, both = np.tile(features, (2, 1)), np.concatenate([labels, wrong])
    light = np.concatenate([np.ones(18), np.full(18, 0.05)])
    assert (fit(rows, both, light).predict(features)[:6, CENTER] < heavy).all()


def test_predicts_no_rows_for_no_pictures() -> None:
    assert fitted(random_labels(9)).predict(np.empty((0, N_FEATURES), np.float32)).shape == (0, 3)


@pytest.mark.parametrize(
    ("features", "labels", "weights", "message"),
    [
        (np.zeros((0, N_FEATURES)), np.zeros(0, int), np.zeros(0), "at least one row"),
        (np.zeros((2, 5)), np.zeros(2, int), np.ones(2), "features of shape"),
        (np.full((1, N_FEATURES), np.nan), np.zeros(1, int), np.ones(1), "NaN"),
        (np.zeros((2, N_FEATURES)), np.zeros(3, int), np.ones(2), "3 labels"),
        (np.zeros((1, N_FEATURES)), np.array([3]), np.ones(1), "0 \\(left\\)"),
        (np.zeros((1, N_FEATURES)), np.zeros(1, int), np.zeros(1), "positive"),
    ],
)
def test_training_that_does_not_fit_together_is_refused(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(features, labels, weights)


def test_figures_of_a_perfect_and_of_a_constant_proposer() -> None:
    labels = np.array([LEFT, LEFT, CENTER, RIGHT])
    perfect = evaluate(np.eye(3)[labels], labels)
    assert (perfect.accuracy, perfect.macro_f1, perfect.ece, perfect.log_loss) == (1, 1, 0, 0)
    assert perfect.confusion == [[2, 0, 0], [0, 1, 0], [0, 0, 1]]
    constant = evaluate(np.tile([0.5, 0.25, 0.25], (4, 1)), labels)
    assert constant.accuracy == constant.accuracy_of_commonest_label == 0.5
    assert constant.macro_f1 == pytest.approx(2 / 9)
    assert constant.log_loss == pytest.approx(1.5 * np.log(2))
    assert constant.ece == 0
    assert constant.n_per_label == [2, 1, 1]


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    probabilities = np.tile([0.9, 0.05, 0.05], (10, 1))
    labels = np.array([LEFT] * 6 + [RIGHT] * 4)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.3)


def test_held_out_people_are_not_in_the_training() -> None:
    """Each person has a label of their own at random: only a leak could predict it."""
    people = np.repeat(np.arange(30), 4)
    labels = random_labels(30, seed=1)[people]
    features = faces(np.full(30, CENTER), seed=1)[people]
    within = fit(features, labels, np.ones(120), inverse_penalty=1000.0).predict(features)
    across = out_of_fold(features, labels, np.ones(120), people)
    assert across is not None
    assert evaluate(within, labels).accuracy > 0.9
    assert evaluate(across, labels).accuracy < 0.6


def test_nothing_can_be_held_out_of_one_person() -> None:
    labels = random_labels(8)
    assert out_of_fold(faces(labels), labels, np.ones(8), np.zeros(8, int)) is None


def test_the_fit_is_that_of_scikit_learn_on_every_picture_and_its_mirror() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 40)
    noise = rng.standard_normal((40, N_FEATURES))
    features = (typical_features()[labels] + 2 * noise).astype(np.float32)
    shares = 0.7 * np.eye(3)[labels] + 0.1
    weights = rng.uniform(0.5, 2, 40)
    rows = np.concatenate([features, mirror_features(features), typical_features()])
    design = np.concatenate([rows, np.abs(rows[:, :N_ODD])], axis=1).astype(float)
    taught = np.concatenate([shares, shares[:, ::-1], np.eye(3)])
    heavy = np.concatenate([weights, weights, np.full(3, PRIOR_WEIGHT / 3)])
    picture, label = np.nonzero(taught)
    solver = LogisticRegression(C=INVERSE_PENALTY, max_iter=5000, tol=1e-7)
    solver.fit(design[picture], label, taught[picture, label] * heavy[picture])
    found = fit(features, shares, weights).predict(features)
    assert np.abs(found - solver.predict_proba(design[:40])).max() < 1e-3


def test_where_the_fit_begins_does_not_change_where_it_ends() -> None:
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 3, 30)
    features = (typical_features()[labels] + rng.standard_normal((30, N_FEATURES))).astype("f4")
    first = fit(features, labels, np.ones(30))
    other = fit(features, (labels + 1) % 3, np.ones(30))
    again = fit(features, labels, np.ones(30), start=other)
    assert np.abs(again.predict(features) - first.predict(features)).max() < 1e-3
