"""From what the votes teach to a model with its figures: images read, fitted, measured."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from labeler.errors import BrokenData, Conflict
from labeler.proposals.feature_cache import FeatureCache
from labeler.proposals.feature_extraction import FeatureChunk, extract_features, extract_variants
from labeler.proposals.runs import RunHeartbeat
from labeler.proposals.training_data import MIN_IMAGES, TrainingImage, check_enough
from rotation.data.labels import LABELS

if TYPE_CHECKING:
    from labeler.light_classifier.mirror_logistic import MirrorLogistic

MIN_JUDGED = 30  # agreed images that are enough to measure by
MAX_TRAINING = 10_000  # more does not help so few weights, and a fit would take minutes
# For which it is told from which confidence proposals may stand for labels.
PRECISIONS = (0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99)


@dataclass(slots=True)
class Reading:
    """How the images of a data set are read; counts those whose features had to be measured."""

    path: str
    processes: int | None
    cache: FeatureCache | None
    measured: int = 0

    def features(self, names: Sequence[str]) -> Iterator[FeatureChunk]:
        """`extract_features`."""
        yield from self._count(extract_features(self.path, names, self.processes, self.cache))

    def variants(self, names: Sequence[str]) -> Iterator[FeatureChunk]:
        """`extract_variants`."""
        yield from self._count(extract_variants(self.path, names, self.processes, self.cache))

    def _count(self, chunks: Iterator[FeatureChunk]) -> Iterator[FeatureChunk]:
        for chunk in chunks:
            self.measured += len(chunk.measured)
            yield chunk


def method() -> str:
    """The name of what is fitted."""
    from labeler.light_classifier.training import METHOD

    return METHOD


def settings() -> dict[str, Any]:
    """What is kept with a run of how it was made."""
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
    read: Reading,
    heartbeat: RunHeartbeat,
    name: str,
) -> tuple[MirrorLogistic, dict[str, Any]]:
    """A calibrated model and its figures by cross-validation.

    Parameters:
        training: what the votes teach.
        names: all images of the data set, from which the unlabelled ones are drawn.
        name: of the data set, for messages.

    Raises:
        BrokenData: too few of the labelled images can be read.
        Conflict: the run was stopped.
    """
    from labeler.light_classifier.training import train

    started = time.perf_counter()
    chosen = _sample(training)
    chunks = list(_watched(read.features([each.filename for each in chosen]), chosen, heartbeat,
                           "reading the labelled images"))  # fmt: skip
    chosen = [chosen[position] for chunk in chunks for position in chunk.positions]
    _check_readable(chosen, [why for chunk in chunks for why in chunk.unreadable], name)
    pool = _read_pool(read, names, {each.filename for each in training}, heartbeat)
    heartbeat.tell("training")
    trained = train(
        np.concatenate([chunk.features for chunk in chunks]),
        np.array([each.shares for each in chosen]),
        np.ones(len(chosen)),
        np.array([each.group for each in chosen]),
        pool,
        np.array([each.likelihood for each in chosen]),
    )
    return trained.model, {
        "n_training": len(chosen),
        "n_agreed": sum(each.sure for each in chosen),
        "n_unlabeled": pool.shape[1],
        "temperature": trained.temperature,
        **_measure(trained.held_out, chosen),
        "training_seconds": round(time.perf_counter() - started, 2),
    }


def _measure(held_out: Any, chosen: Sequence[TrainingImage]) -> dict[str, Any]:
    """Figures on people left out: of the agreed images, where there are enough to tell."""
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
    read: Reading, names: Sequence[str], labelled: set[str], heartbeat: RunHeartbeat
) -> Any:
    """(1 + VARIANTS, M, N_FEATURES) of images without votes, drawn with a fixed seed.

    Drawn from all and the labelled ones left out, so that the next run, with a few labels more,
    has nearly the same ones, whose features are kept.
    """
    from labeler.light_classifier.augmentation import VARIANTS
    from labeler.light_classifier.features import N_FEATURES
    from labeler.light_classifier.semi_supervised import MAX_POOL

    drawn = np.random.default_rng(0).permutation(len(names))
    chosen = [names[index] for index in drawn if names[index] not in labelled][:MAX_POOL]
    read_ones = read.variants(sorted(chosen))
    chunks = _watched(read_ones, chosen, heartbeat, "reading images without labels")
    empty = np.empty((1 + VARIANTS, 0, N_FEATURES), np.float32)
    return np.concatenate([empty, *(chunk.features for chunk in chunks)], axis=1)


def _watched(
    chunks: Iterator[FeatureChunk], images: Sequence[Any], heartbeat: RunHeartbeat, step: str
) -> Iterator[FeatureChunk]:
    done = 0
    heartbeat.tell(step, done, len(images))
    for chunk in chunks:
        done += len(chunk.positions) + len(chunk.unreadable)
        heartbeat.tell(step, done, len(images))
        yield chunk


def _check_readable(readable: list[TrainingImage], unreadable: list[str], name: str) -> None:
    try:
        check_enough([each.label for each in readable], name)
    except Conflict:
        raise BrokenData(
            f"{len(unreadable)} of the {len(readable) + len(unreadable)} labelled images of "
            f"{name!r} cannot be read, and the others are too few to train on. The first "
            f"problem is: {unreadable[0]}"
        ) from None


def _sample(training: Sequence[TrainingImage]) -> list[TrainingImage]:
    """At most `MAX_TRAINING`, drawn with a fixed seed."""
    if len(training) <= MAX_TRAINING:
        return list(training)
    picked = np.random.default_rng(0).choice(len(training), MAX_TRAINING, replace=False)
    return [training[index] for index in sorted(picked)]
