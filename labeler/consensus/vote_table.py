"""The votes of a campaign that count, as arrays of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.consensus.store import current_run_of
from labeler.labels import ANSWERS
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Decision, Gold
from labeler.models.proposals import Proposal
from labeler.models.voting import Vote
from labeler.statistics.vote_arrays import Floats, Integers, Votes
from rotation.data.labels import LABELS

_CODE = {answer: code for code, answer in enumerate(ANSWERS)}
_CODE[None] = -1  # type: ignore[index]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class VoteTable:
    """V votes of P people on N images, in order of arrival.

    Parameters:
        people: (P,) ids of the annotators, ascending.
        images: (N,) ids of the images, ascending.
        votes: the answers, with indices into `people` and `images`.
        withheld: (V,) index of the label that a blind person was not shown, -1 for none.
        inserted: (V,) bool, the shown label was inserted and wrong on purpose.
        mirrored: (V,) bool, the person saw the image mirrored.
        grid: (V,) bool, the image was answered among others on the verify grid.
        elapsed_ms: (V,) milliseconds, NaN if unknown.
        cast_at: (V,) seconds since 1970.
        gold: (N,) index of the known label, -1 for none.
        gold_since: (N,) when the image became gold, in seconds since 1970, else infinity.
        decided: (N,) index of the label that a supervisor decided, -1 for none.
        model: (N, 3) probabilities of the current run, NaN without any.
        prior: `model` if the campaign counts the model as evidence, else None.
        newest_vote: the highest id of these votes, 0 for none.
    """

    campaign_id: int
    people: Integers
    images: Integers
    votes: Votes
    withheld: Integers
    inserted: Booleans
    mirrored: Booleans
    grid: Booleans
    elapsed_ms: Floats
    cast_at: Floats
    gold: Integers
    gold_since: Floats
    decided: Integers
    model: Floats
    prior: Floats | None
    newest_vote: int = 0

    def __len__(self) -> int:
        return len(self.votes.image)

    @property
    def certain_labels(self) -> Integers:
        """(N,) the label that no vote can change: decided, else gold, else -1."""
        return np.where(self.decided >= 0, self.decided, self.gold)


def load_vote_table(session: Session, campaign_id: int) -> VoteTable:
    """All votes of a campaign that count, with gold, decisions and proposals; six statements."""
    rows = _load_votes(session, campaign_id)
    ids, image_ids, annotator_ids, answers, shown, withheld, planted, mirrored, grid, ms, times = (
        zip(*rows, strict=True) if rows else [()] * 11
    )
    images, image = np.unique(np.array(image_ids, dtype=np.int64), return_inverse=True)
    people, annotator = np.unique(np.array(annotator_ids, dtype=np.int64), return_inverse=True)
    model = _load_model(session, campaign_id, images)
    gold = _load_gold(session, campaign_id)
    decided = _load_decisions(session, campaign_id)
    return VoteTable(
        campaign_id,
        people,
        images,
        Votes(image, annotator, _codes(answers), _codes(shown)),
        _codes(withheld),
        np.array(planted, dtype=bool),
        np.array(mirrored, dtype=bool),
        np.array(grid, dtype=bool),
        np.array([np.nan if each is None else each for each in ms], dtype=float),
        np.array([time.timestamp() for time in times], dtype=float),
        _by_image(images, {row.image_id: LABELS.index(row.label) for row in gold}, -1),
        _by_image(images, {row.image_id: row.created_at.timestamp() for row in gold}, np.inf),
        _by_image(images, {row.image_id: LABELS.index(row.label) for row in decided}, -1),
        model,
        model if _uses_model(session, campaign_id) and not np.isnan(model).all() else None,
        max(ids, default=0),
    )


def _load_votes(session: Session, campaign_id: int) -> Sequence[Any]:
    return session.execute(
        select(
            Vote.id,
            Vote.image_id,
            Vote.annotator_id,
            Vote.answer,
            Vote.shown_label,
            Vote.withheld_label,
            Vote.planted,
            Vote.mirrored,
            Vote.mode == "grid",
            Vote.elapsed_ms,
            Vote.created_at,
        )
        .where(Vote.campaign_id == campaign_id, Vote.counts)
        .order_by(Vote.id)
    ).all()


def _codes(words: tuple[str | None, ...]) -> Integers:
    return np.array([_CODE[word] for word in words], dtype=np.int64)  # type: ignore[index]


def _uses_model(session: Session, campaign_id: int) -> bool:
    return session.get_one(Campaign, campaign_id).parsed_rules.use_model


def _load_gold(session: Session, campaign_id: int) -> Sequence[Any]:
    return session.execute(
        select(Gold.image_id, Gold.label, Gold.created_at).where(
            Gold.campaign_id == campaign_id, Gold.revoked_at.is_(None)
        )
    ).all()


def _load_decisions(session: Session, campaign_id: int) -> Sequence[Any]:
    return session.execute(
        select(Decision.image_id, Decision.label).where(
            Decision.campaign_id == campaign_id,
            Decision.superseded_at.is_(None),
            Decision.label.is_not(None),
        )
    ).all()


def _by_image(images: Integers, values: Mapping[int, float], missing: float) -> Any:
    """(N,) the value of each image, `missing` for an image without one."""
    return np.array([values.get(image_id, missing) for image_id in images.tolist()], type(missing))


def _load_model(session: Session, campaign_id: int, images: Integers) -> Floats:
    rows = session.execute(
        select(Proposal.image_id, Proposal.p_left, Proposal.p_center, Proposal.p_right).where(
            Proposal.model_run_id == current_run_of(campaign_id)
        )
    )
    by_image = {image_id: chances for image_id, *chances in rows}
    missing = [np.nan] * len(LABELS)
    found = [by_image.get(image_id, missing) for image_id in images.tolist()]
    return np.array(found, dtype=float).reshape(len(images), len(LABELS))
