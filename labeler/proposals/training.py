"""Train a model on labelled images: read them, fit, and measure by cross-validation."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from labeler.errors import BrokenData, Conflict
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.proposals.feature_cache import FeatureCache
from labeler.proposals.feature_extraction import (
    FeatureChunk,
    LandmarkTable,
    extract_crop_features,
    extract_features,
    extract_variants,
)
from labeler.proposals.runs import RunHeartbeat
from labeler.proposals.training_data import MIN_IMAGES, TrainingImage, check_enough
from rotation.data.labels import LABELS

if TYPE_CHECKING:
    from labeler.light_classifier.mirror_logistic import MirrorLogistic

MIN_JUDGED = 30  # agreed images that are enough to measure accuracy
MAX_TRAINING = 10_000  # more images do not help a small model, and would take minutes
# Each run stores the confidence from which its proposals have these precisions.
PRECISIONS = (0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99)


@dataclass(slots=True)
class FeatureReader:
    """Reads features of a data set.

    `landmarks`: of its images, where they are known. `measured`: how many features were not in the
    cache. `crops`: read fixed crops, for a model of an earlier version.
    """

    path: str
    processes: int | None
    cache: FeatureCache | None
    landmarks: LandmarkTable | None = None
    crops: bool = False
    measured: int = 0

    def features(self, names: Sequence[str]) -> Iterator[FeatureChunk]:
        """Yield features as `extract_features` does."""
        if self.crops:
            yield from extract_crop_features(self.path, names, self.processes)
            return
        yield from self._count(
            extract_features(self.path, names, self.processes, self.cache, self.landmarks)
        )

    def variants(self, names: Sequence[str]) -> Iterator[FeatureChunk]:
        """Yield features of variants as `extract_variants` does."""
        yield from self._count(
            extract_variants(self.path, names, self.processes, self.cache, self.landmarks)
        )

    def _count(self, chunks: Iterator[FeatureChunk]) -> Iterator[FeatureChunk]:
        for chunk in chunks:
            self.measured += len(chunk.measured)
            yield chunk


def method() -> str:
    """Return the name and version of the model."""
    from labeler.light_classifier.training import METHOD

    return METHOD


def methods() -> tuple[str, ...]:
    """Return the models that this version can use; the others come from earlier versions."""
    from labeler.light_classifier.training import METHODS

    return tuple(METHODS)


def reads_crops(method: str) -> bool:
    """Return whether models of this method read fixed crops, as those of version 0.1.0 do."""
    from labeler.light_classifier.features import CROP
    from labeler.light_classifier.training import METHODS

    return METHODS[method] is CROP


def settings() -> dict[str, Any]:
    """Return the settings of the training, which are stored with a run."""
    from labeler.light_classifier.mirror_logistic import INVERSE_PENALTY, PRIOR_WEIGHT
    from labeler.light_classifier.semi_supervised import MAX_POOL

    return {
        "inverse_penalty": INVERSE_PENALTY,
        "prior_weight": PRIOR_WEIGHT,
        "min_images": MIN_IMAGES,
        "max_training": MAX_TRAINING,
        "max_unlabeled": MAX_POOL,
    }


def learn(
    training: Sequence[TrainingImage],
    names: Sequence[str],
    read: FeatureReader,
    heartbeat: RunHeartbeat,
    name: str,
) -> tuple[MirrorLogistic, dict[str, Any]]:
    """Train a calibrated model, and measure it by cross-validation.

    Parameters:
        training: the labelled images.
        names: all images of the data set; unlabelled ones are drawn from them.
        read: reads the images.
        heartbeat: of the run.
        name: of the data set, for messages.

    Raises:
        BrokenData: too few labelled images can be read.
        Conflict: the run was stopped.
    """
    from labeler.light_classifier.training import train

    started = time.perf_counter()
    features, chosen, n_faceless = _read_labelled(_sample(training), read, heartbeat, name)
    pool = _read_pool(read, names, {each.filename for each in training}, heartbeat)
    heartbeat.tell(mark("training"))
    trained = train(
        features,
        np.array([each.shares for each in chosen]),
        np.ones(len(chosen)),
        np.array([each.group for each in chosen]),
        pool,
        np.array([each.likelihood for each in chosen]),
    )
    return trained.model, {
        "n_training": len(chosen),
        "n_agreed": sum(each.sure for each in chosen),
        "n_training_without_face": n_faceless,
        "n_unlabeled": pool.shape[1],
        "temperature": trained.temperature,
        **_measure(trained.held_out, chosen),
        "training_seconds": round(time.perf_counter() - started, 2),
    }


def _read_labelled(
    training: list[TrainingImage], read: FeatureReader, heartbeat: RunHeartbeat, name: str
) -> tuple[Any, list[TrainingImage], int]:
    """Read the labelled images: features (N, F), the N images with a face, how many have none.

    Raises:
        BrokenData: too few can be used.
    """
    read_ones = read.features([each.filename for each in training])
    step = mark("reading the labelled images")
    chunks = list(_with_progress(read_ones, training, heartbeat, step))
    features = np.concatenate([chunk.features for chunk in chunks])
    shown = np.isfinite(features).all(axis=1)
    readable = [training[position] for chunk in chunks for position in chunk.positions]
    seen = list(zip(readable, shown.tolist(), strict=True))
    chosen = [each for each, has_face in seen if has_face]
    faceless = [f"{each.filename}: no face was found" for each, has_face in seen if not has_face]
    unreadable = [why for chunk in chunks for why in chunk.unreadable]
    _check_usable(chosen, [*unreadable, *faceless], name)
    return features[shown], chosen, len(faceless)


def _measure(held_out: Any, chosen: Sequence[TrainingImage]) -> dict[str, Any]:
    """Return measures by cross-validation, on agreed images if there are enough of them."""
    from labeler.light_classifier.calibration import threshold_for_precision
    from labeler.light_classifier.evaluation import evaluate

    if held_out is None:
        return {"cross_validation": None, "thresholds": {}}
    labels = np.array([LABELS.index(each.label) for each in chosen])
    sure = np.array([each.sure for each in chosen])
    judged = sure if sure.sum() >= MIN_JUDGED else np.ones(len(chosen), dtype=bool)
    held_out, labels = held_out[judged], labels[judged]
    return {
        "cross_validation": evaluate(held_out, labels).as_dict(),
        "thresholds": {
            f"{precision:g}": threshold_for_precision(held_out, labels, precision)
            for precision in PRECISIONS
        },
    }


def _read_pool(
    read: FeatureReader, names: Sequence[str], labelled: set[str], heartbeat: RunHeartbeat
) -> Any:
    """Read the features of images with a face and without votes: (1 + VARIANTS, M, F).

    Images are drawn from all images with a fixed seed, and labelled ones are left out. So the next
    run, which has a few more labels, draws nearly the same images, whose features are in the cache.
    """
    from labeler.light_classifier.face_features import N_FEATURES
    from labeler.light_classifier.semi_supervised import MAX_POOL, VARIANTS

    drawn = np.random.default_rng(0).permutation(len(names))
    chosen = [names[index] for index in drawn if names[index] not in labelled][:MAX_POOL]
    read_ones = read.variants(sorted(chosen))
    chunks = _with_progress(read_ones, chosen, heartbeat, mark("reading images without labels"))
    empty = np.empty((1 + VARIANTS, 0, N_FEATURES), np.float32)
    pool = np.concatenate([empty, *(chunk.features for chunk in chunks)], axis=1)
    return pool[:, np.isfinite(pool).all(axis=(0, 2))]


def _with_progress(
    chunks: Iterator[FeatureChunk], images: Sequence[Any], heartbeat: RunHeartbeat, step: str
) -> Iterator[FeatureChunk]:
    done = 0
    heartbeat.tell(step, done, len(images))
    for chunk in chunks:
        done += len(chunk.positions) + len(chunk.unreadable)
        heartbeat.tell(step, done, len(images))
        yield chunk


def _check_usable(usable: list[TrainingImage], problems: list[str], name: str) -> None:
    try:
        check_enough([each.label for each in usable], name)
    except Conflict:
        raise BrokenData(
            _(
                "%(count)s of the %(images)s labelled images of %(name)r cannot be used, and the "
                "others are too few to train on. The first problem is: %(problem)s",
                count=len(problems),
                images=len(usable) + len(problems),
                name=name,
                problem=problems[0],
            )
        ) from None


def _sample(training: Sequence[TrainingImage]) -> list[TrainingImage]:
    """Return at most `MAX_TRAINING` images, drawn with a fixed seed."""
    if len(training) <= MAX_TRAINING:
        return list(training)
    picked = np.random.default_rng(0).choice(len(training), MAX_TRAINING, replace=False)
    return [training[index] for index in sorted(picked)]
