"""Train a model on the votes, and propose a label for every image.

People continue to label meanwhile. So proposals are stored in many short transactions, under a run
that nobody uses yet. The last transaction publishes the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from labeler.consensus.store import count_current_votes
from labeler.database.engine import Database, insert_or
from labeler.languages.texts import mark
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.models.proposals import Proposal
from labeler.proposals import training as proposals_training
from labeler.proposals.feature_cache import FeatureCache
from labeler.proposals.feature_extraction import FeatureChunk
from labeler.proposals.runs import (
    Report,
    RunHeartbeat,
    prune_proposals,
    publish_run,
    start_run,
    working,
)
from labeler.proposals.training import FeatureReader
from labeler.proposals.training_data import check_trainable
from rotation.data.labels import LABELS

if TYPE_CHECKING:
    from labeler.light_classifier.mirror_logistic import MirrorLogistic

DIRECTION_BINS = 24  # of the rose of directions: 15 degrees each
MOST_FACES = 99  # that are counted in one photograph
ASKED = 500  # images that a run ranks for the order `uncertain`
MAX_SEEN = 1_000  # labelled images with which they are compared

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class RunOrigin:
    """Who or what requested a run.

    `annotator_id`: the person; None: nobody, or the command line. `automatic`: it was due by its
    schedule. `job_id`: the job that does it, as for `start_run`.
    """

    annotator_id: int | None = None
    automatic: bool = False
    job_id: int | None = None


NOBODY = RunOrigin()


@dataclass(frozen=True, slots=True)
class ProposingResult:
    """What a run did. `unreadable`: for each image without a proposal, the reason."""

    run_id: int
    n_proposed: int
    unreadable: list[str]
    metrics: dict[str, Any]


@dataclass(slots=True)
class ProposalBatch:
    """The proposals computed so far: images, features and probabilities.

    `without_face`, `several_faces`: how many photographs showed none, or more than one.
    `directions`: how many have their light in each of `DIRECTION_BINS` equal parts of the circle,
    from -180 degrees on.
    """

    image_ids: list[int] = field(default_factory=list)
    without_face: int = 0
    several_faces: int = 0
    directions: list[int] = field(default_factory=lambda: [0] * DIRECTION_BINS)
    features: list[Any] = field(default_factory=list)
    probabilities: list[Any] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def train_and_propose(
    db: Database,
    campaign_id: int,
    progress: Progress | None = None,
    processes: int | None = None,
    cache: FeatureCache | None = None,
    origin: RunOrigin = NOBODY,
    report: Report | None = None,
) -> ProposingResult:
    """Train on the votes of a campaign, propose labels for its data set, and publish the run.

    Parameters:
        progress: called with (images done, images in all) while proposals are computed.
        processes: number of processes that read images; default: one per processor.
        cache: stores features between runs; default: no cache.
        origin: who or what requested the run.
        report: as for `RunHeartbeat`.

    Raises:
        NotFound: there is no such campaign.
        Conflict: there are too few votes (then no run is created), another run is in training, or
            this run was stopped.
        BrokenData, DatasetError: images cannot be read. The run is marked as failed.
    """
    with db.read() as session:
        campaign, training = check_trainable(session, campaign_id)
        dataset = campaign.dataset
        images = proposable(session, dataset.id)
        votes = count_current_votes(session, campaign_id)
        landmarks = landmarks_of(session, dataset.id)
    described = {
        "campaign": campaign.name,
        "campaign_id": campaign_id,
        "votes": votes,
        "automatic": origin.automatic,
        **proposals_training.settings(),
    }
    run_id = start_run(db, dataset.id, proposals_training.method(), described, origin.job_id)
    with working(db, run_id, report) as heartbeat:
        read = FeatureReader(dataset.path, processes, cache, landmarks)
        names = [name for _, name in images]
        model, metrics = proposals_training.learn(training, names, read, heartbeat, dataset.name)
        started = time.perf_counter()
        made = propose(db, run_id, read, images, model, heartbeat, progress)
        taught = {each.filename for each in training}
        asked = {image_id for image_id, name in images if name in taught}
        _rank(db, run_id, campaign_id, made, asked, heartbeat)
        metrics |= _describe_batch(made, read, time.perf_counter() - started)
        publish_run(db, run_id, metrics, _stored(model), origin.annotator_id)
    prune_proposals(db, dataset.id)
    return ProposingResult(run_id, len(made.image_ids), made.unreadable, metrics)


def proposable(session: Session, dataset_id: int) -> list[tuple[int, str]]:
    """Return number and name of each image of a data set that can be decoded, by name."""
    rows = session.execute(
        select(Image.id, Image.filename)
        .where(Image.dataset_id == dataset_id, Image.status == "ok")
        .order_by(Image.filename)
    )
    return [(image_id, filename) for image_id, filename in rows]


def landmarks_of(session: Session, dataset_id: int) -> dict[str, list[int]]:
    """Return CelebA's landmarks of the images that have them, by filename."""
    rows = session.execute(
        select(Image.filename, Image.landmarks).where(
            Image.dataset_id == dataset_id, Image.status == "ok"
        )
    )
    return {filename: landmarks for filename, landmarks in rows if landmarks}


def propose(
    db: Database,
    run_id: int,
    read: FeatureReader,
    images: Sequence[tuple[int, str]],
    model: MirrorLogistic,
    heartbeat: RunHeartbeat | None = None,
    progress: Progress | None = None,
) -> ProposalBatch:
    """Compute and store the proposals of a run for these images, chunk by chunk.

    Images that already have a proposal of the run keep it.
    """
    made, done = ProposalBatch(), 0
    for chunk in read.features([filename for _, filename in images]):
        _store(db, run_id, images, chunk, model, made)
        done += len(chunk.positions) + len(chunk.unreadable)
        if heartbeat is not None:
            heartbeat.tell(mark("proposing"), done, len(images))
        if progress is not None:
            progress(done, len(images))
    return made


def _store(
    db: Database,
    run_id: int,
    images: Sequence[tuple[int, str]],
    chunk: FeatureChunk,
    model: MirrorLogistic,
    made: ProposalBatch,
) -> None:
    """Store the proposals of a chunk in one short transaction."""
    made.unreadable += chunk.unreadable
    if not chunk.positions:
        return
    probabilities = model.predict(chunk.features)
    directions = _directions(chunk)
    ids = [images[position][0] for position in chunk.positions]
    rows = [
        {
            "model_run_id": run_id,
            "image_id": image_id,
            "p_left": left,
            "p_center": center,
            "p_right": right,
            **direction,
        }
        for image_id, (left, center, right), direction in zip(
            ids, probabilities.tolist(), directions, strict=True
        )
    ]
    with db.write() as session:
        session.execute(insert_or(session, Proposal).on_conflict_do_nothing(), rows)
    made.image_ids += ids
    made.without_face += chunk.n_faces.count(0)
    made.several_faces += sum(n > 1 for n in chunk.n_faces)
    for direction in directions:
        if (azimuth := direction["azimuth_deg"]) is not None:
            part = int((azimuth + 180) / 360 * DIRECTION_BINS)
            made.directions[min(part, DIRECTION_BINS - 1)] += 1
    made.features.append(chunk.features)
    made.probabilities.append(probabilities)


def _directions(chunk: FeatureChunk) -> list[dict[str, Any]]:
    """Return the columns of the light's direction by image, and the number of faces.

    Features of fixed crops have no direction.
    """
    from labeler.light_classifier.features import FACE, kind_of
    from labeler.light_classifier.light_direction import light_directions

    if kind_of(chunk.features) is not FACE:
        return [{"azimuth_deg": None} for _ in chunk.positions]
    found = light_directions(chunk.features, chunk.yaw_deg)
    strengths = np.abs(chunk.contrast)
    columns = zip(found.azimuth_deg, found.spread_deg, strengths, chunk.n_faces, strict=True)
    return [
        {
            "azimuth_deg": _number(azimuth),
            "azimuth_spread_deg": _number(spread),
            "strength": _number(strength),
            "n_faces": min(faces, MOST_FACES),
        }
        for azimuth, spread, strength, faces in columns
    ]


def _number(value: float) -> float | None:
    return round(float(value), 3) if np.isfinite(value) else None


def _rank(
    db: Database,
    run_id: int,
    campaign_id: int,
    made: ProposalBatch,
    asked: Collection[int],
    heartbeat: RunHeartbeat,
) -> None:
    """Store the ranks of the images that help the model most (`active_learning`)."""
    from labeler.light_classifier.active_learning import next_to_ask

    heartbeat.tell(mark("choosing the next images to ask"))
    with db.read() as session:
        waiting = _waiting(session, campaign_id)
    numbers = np.array(made.image_ids)
    if not made.image_ids:
        return
    features, chances = np.concatenate(made.features), np.concatenate(made.probabilities)
    shown = np.isfinite(features).all(axis=1)  # what shows no face teaches the model nothing
    free = np.flatnonzero(shown & [number in waiting for number in made.image_ids])
    if not len(free):
        return
    seen = np.flatnonzero(shown & [number in asked for number in made.image_ids])
    seen = np.random.default_rng(0).permutation(seen)[:MAX_SEEN]
    best = numbers[free][next_to_ask(features[free], chances[free], ASKED, features[seen])]
    ranked = [
        {"model_run_id": run_id, "image_id": int(number), "ask": place}
        for place, number in enumerate(best)
    ]
    with db.write() as session:
        session.execute(update(Proposal), ranked)


def _waiting(session: Session, campaign_id: int) -> set[int]:
    """Return the open images of a campaign without a vote."""
    return set(
        session.scalars(
            select(Consensus.image_id).where(
                Consensus.campaign_id == campaign_id,
                Consensus.status == "open",
                Consensus.votes == 0,
            )
        )
    )


def _describe_batch(made: ProposalBatch, read: FeatureReader, seconds: float) -> dict[str, Any]:
    shares = np.concatenate([np.zeros((1, len(LABELS))), *made.probabilities]).sum(axis=0)
    return {
        "n_proposed": len(made.image_ids),
        "n_unreadable": len(made.unreadable),
        "n_without_face": made.without_face,
        "n_several_faces": made.several_faces,
        "directions": made.directions,
        "n_measured": read.measured,
        "mean_probabilities": dict(zip(LABELS, (shares / shares.sum()).tolist(), strict=True)),
        "proposing_seconds": round(seconds, 2),
    }


def _stored(model: MirrorLogistic) -> bytes:
    from labeler.light_classifier.storage import model_to_bytes

    return model_to_bytes(model)
