"""Train the proposer on the votes and propose a label for every image.

`services.teaching` says what is learned from. People keep labelling meanwhile: proposals are stored
in many short transactions under a run that nobody looks at yet, and one last one publishes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from labeler.db import Database
from labeler.domain.labels import LABELS
from labeler.errors import BrokenData, Conflict
from labeler.models import Dataset, Image, Proposal
from labeler.services.extracting import FeatureChunk, extract_features, extract_variants
from labeler.services.feature_cache import FeatureCache
from labeler.services.runs import (
    current_run,
    failing,
    prune_proposals,
    publish_run,
    start_run,
)
from labeler.services.teaching import MIN_IMAGES, TrainingImage, check_enough, check_trainable

if TYPE_CHECKING:
    from labeler.classifier.model import MirrorLogistic

__all__ = ["ProposingResult", "current_run", "train_and_propose"]

MIN_JUDGED = 30  # agreed images that are enough to measure by
MAX_TRAINING = 10_000  # more does not help so few weights, and a fit would take minutes
PRECISION = 0.95  # for which the confidence is told from which proposals may stand for labels

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Reading:
    """How the images of a data set are read; counts those whose features had to be measured."""

    path: str
    processes: int | None
    cache: FeatureCache | None
    measured: int = 0

    def features(self, names: list[str]) -> Iterator[FeatureChunk]:
        """`extract_features`."""
        yield from self._count(extract_features(self.path, names, self.processes, self.cache))

    def variants(self, names: list[str]) -> Iterator[FeatureChunk]:
        """`extract_variants`."""
        yield from self._count(extract_variants(self.path, names, self.processes, self.cache))

    def _count(self, chunks: Iterator[FeatureChunk]) -> Iterator[FeatureChunk]:
        for chunk in chunks:
            self.measured += len(chunk.measured)
            yield chunk


@dataclass(frozen=True, slots=True)
class ProposingResult:
    """What a run did. `unreadable`: reasons, one an image that got no proposal."""

    run_id: int
    n_proposed: int
    unreadable: list[str]
    metrics: dict[str, Any]


def train_and_propose(
    db: Database,
    campaign_id: int,
    progress: Progress | None = None,
    processes: int | None = None,
    cache: FeatureCache | None = None,
) -> ProposingResult:
    """Train on the votes of a campaign, propose for every decodable image of its data set, publish.

    Parameters:
        progress: called with (images done, images in all) as the proposals are made.
        processes: for reading images; default: one a processor.
        cache: features that are kept from run to run; default: none are.

    Raises:
        NotFound: no such campaign.
        Conflict: too few votes to learn from; says what is missing. No run is made.
        BrokenData, DatasetError: images cannot be read. The run is marked as failed.
    """
    with db.read() as session:
        campaign, training = check_trainable(session, campaign_id)
        dataset = campaign.dataset
        images = _proposable(session, dataset.id)
    run_id = start_run(db, dataset.id, _method(), {"campaign": campaign.name, **_settings()})
    with failing(db, run_id):
        read = Reading(dataset.path, processes, cache)
        model, metrics = _train(dataset, training, [name for _, name in images], read)
        report = progress or (lambda _done, _total: None)
        result = _propose(db, run_id, read, images, model, report)
        result.metrics.update(metrics)
        publish_run(db, run_id, result.metrics)
    prune_proposals(db, dataset.id)
    return result


def _proposable(session: Session, dataset_id: int) -> list[tuple[int, str]]:
    rows = session.execute(
        select(Image.id, Image.filename)
        .where(Image.dataset_id == dataset_id, Image.status == "ok")
        .order_by(Image.filename)
    )
    return [(image_id, filename) for image_id, filename in rows]


def _method() -> str:
    from labeler.classifier.training import METHOD

    return METHOD


def _settings() -> dict[str, Any]:
    from labeler.classifier.consistency import MAX_POOL
    from labeler.classifier.model import INVERSE_PENALTY, PRIOR_WEIGHT

    return {
        "inverse_penalty": INVERSE_PENALTY,
        "prior_weight": PRIOR_WEIGHT,
        "min_images": MIN_IMAGES,
        "max_training": MAX_TRAINING,
        "max_unlabeled": MAX_POOL,
    }


def _train(
    dataset: Dataset, training: list[TrainingImage], names: list[str], read: Reading
) -> tuple[MirrorLogistic, dict[str, Any]]:
    """The model, and its figures by cross-validation."""
    from labeler.classifier.training import threshold_of, train

    started = time.perf_counter()
    chosen = _sample(training)
    chunks = list(read.features([each.filename for each in chosen]))
    chosen = [chosen[position] for chunk in chunks for position in chunk.positions]
    _check_readable(chosen, [why for chunk in chunks for why in chunk.unreadable], dataset.name)
    pool = _read_pool(read, names, {each.filename for each in training})
    trained = train(
        np.concatenate([chunk.features for chunk in chunks]),
        np.array([each.shares for each in chosen]),
        np.ones(len(chosen)),
        np.array([each.group for each in chosen]),
        pool,
        np.array([each.likelihood for each in chosen]),
    )
    labels = np.array([LABELS.index(each.label) for each in chosen])
    return trained.model, {
        "n_training": len(chosen),
        "n_agreed": sum(each.sure for each in chosen),
        "n_unlabeled": pool.shape[1],
        "temperature": trained.temperature,
        "threshold": threshold_of(trained, labels, PRECISION),
        "cross_validation": _measure(trained.held_out, chosen, labels),
        "training_seconds": round(time.perf_counter() - started, 2),
    }


def _measure(held_out: Any, chosen: list[TrainingImage], labels: Any) -> dict[str, Any] | None:
    """Figures on people left out: of the agreed images, where there are enough to tell."""
    from labeler.classifier.evaluation import evaluate

    if held_out is None:
        return None
    sure = np.array([each.sure for each in chosen])
    judged = sure if sure.sum() >= MIN_JUDGED else np.ones(len(chosen), dtype=bool)
    return evaluate(held_out[judged], labels[judged]).as_dict()


def _read_pool(read: Reading, names: list[str], labelled: set[str]) -> Any:
    """(1 + VARIANTS, M, N_FEATURES) of images without votes, drawn with a fixed seed.

    Drawn from all and the labelled ones left out, so that the next run, with a few labels more,
    has nearly the same ones, whose features are kept.
    """
    from labeler.classifier.consistency import MAX_POOL
    from labeler.classifier.features import N_FEATURES
    from labeler.classifier.variants import VARIANTS

    drawn = np.random.default_rng(0).permutation(len(names))
    chosen = [names[index] for index in drawn if names[index] not in labelled][:MAX_POOL]
    chunks = read.variants(sorted(chosen))
    empty = np.empty((1 + VARIANTS, 0, N_FEATURES), np.float32)
    return np.concatenate([empty, *(chunk.features for chunk in chunks)], axis=1)


def _check_readable(readable: list[TrainingImage], unreadable: list[str], name: str) -> None:
    try:
        check_enough([each.label for each in readable], name)
    except Conflict:
        raise BrokenData(
            f"{len(unreadable)} of the {len(readable) + len(unreadable)} labelled images of "
            f"{name!r} cannot be read, and the rest is not enough to learn from. "
            f"First of all: {unreadable[0]}"
        ) from None


def _sample(training: list[TrainingImage]) -> list[TrainingImage]:
    """At most `MAX_TRAINING`, drawn with a fixed seed."""
    if len(training) <= MAX_TRAINING:
        return training
    picked = np.random.default_rng(0).choice(len(training), MAX_TRAINING, replace=False)
    return [training[index] for index in sorted(picked)]


def _propose(
    db: Database, run_id: int, read: Reading, images: list[tuple[int, str]],
    model: MirrorLogistic, progress: Progress,
) -> ProposingResult:  # fmt: skip
    started, done, total = time.perf_counter(), 0, np.zeros(len(LABELS))
    unreadable: list[str] = []
    for chunk in read.features([filename for _, filename in images]):
        total += _store(db, run_id, images, chunk, model)
        unreadable += chunk.unreadable
        done += len(chunk.positions) + len(chunk.unreadable)
        progress(done, len(images))
    proposed = len(images) - len(unreadable)
    metrics = {
        "n_proposed": proposed,
        "n_unreadable": len(unreadable),
        "n_measured": read.measured,
        "mean_probabilities": dict(zip(LABELS, (total / total.sum()).tolist(), strict=True)),
        "proposing_seconds": round(time.perf_counter() - started, 2),
    }
    return ProposingResult(run_id, proposed, unreadable, metrics)


def _store(
    db: Database, run_id: int, images: list[tuple[int, str]], chunk: FeatureChunk,
    model: MirrorLogistic,
) -> Any:  # fmt: skip
    """Insert the proposals of a chunk in one short transaction; the sum of its probabilities."""
    if not chunk.positions:
        return 0.0
    probabilities = model.predict(chunk.features)
    rows = [
        {"model_run_id": run_id, "image_id": images[position][0],
         "p_left": left, "p_center": center, "p_right": right}
        for position, (left, center, right) in zip(
            chunk.positions, probabilities.tolist(), strict=True)
    ]  # fmt: skip
    with db.write() as session:
        session.execute(insert(Proposal), rows)
    return probabilities.sum(axis=0)
