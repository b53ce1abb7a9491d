"""Which images a page of the verify grid shows, and who holds them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Pool, and_, exists, or_, select, update
from sqlalchemy.orm import Session

from labeler.assignment.annotator_state import AnnotatorState
from labeler.assignment.leases import expiry, write_leases
from labeler.assignment.presentation import Presentation
from labeler.assignment.queue import not_answered
from labeler.config import Settings
from labeler.errors import InvalidInput
from labeler.models import Consensus, Image, Lease, Proposal, Vote
from labeler.rules.random_draws import is_blind
from rotation.data.labels import LABELS

MODE = "grid"
SOURCES = ("model", "votes")
KEPT = 4_000  # images of a list
KEPT_S = 60.0
LOOK = 200  # images of the list that are looked at again at a time


@dataclass(frozen=True, slots=True)
class LabelClaim:
    """Which images: those that the source calls `label`.

    Raises:
        InvalidInput: an unknown label or source.
    """

    label: str
    source: str

    def __post_init__(self) -> None:
        if self.label not in LABELS:
            raise InvalidInput(f"label={self.label!r}; allowed: {', '.join(LABELS)}.")
        if self.source not in SOURCES:
            raise InvalidInput(f"source={self.source!r}; allowed: {', '.join(SOURCES)}.")


@dataclass(frozen=True, slots=True)
class Cell:
    """An image of the page; `answer`: what is chosen for it as the page opens."""

    image_id: int
    width: int
    height: int
    sha256: str
    filename: str
    answer: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that is called the label with this probability, by this model run or the votes."""

    image_id: int
    probability: float
    run_id: int | None


@dataclass(frozen=True, slots=True)
class _Kept:
    """The images of a list in their order, and when it was made (`time.monotonic`)."""

    made_at: float
    listed: Sequence[Candidate]

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.made_at < KEPT_S


_Lists = dict[tuple[int, int | None, LabelClaim], _Kept]
_lists: WeakKeyDictionary[Pool, _Lists] = WeakKeyDictionary()


def find_candidates(
    session: Session, annotator: AnnotatorState, call: LabelClaim, count: int, now: datetime
) -> list[Candidate]:
    """The most doubtful calls that are free for the person, at most `count`.

    The search goes through all open images of the campaign. Where it finds `KEPT` images, the
    process keeps the list for `KEPT_S` seconds. A kept list only says where to look first: each
    image is read again in this transaction, and a list that has too few left is made anew. So a
    page never depends on which process answers for more than the order among thousands.
    """
    lists = _lists.setdefault(session.connection().engine.pool, {})
    key = (annotator.campaign_id, annotator.run_id, call)
    kept = lists.get(key)
    if kept is not None and kept.is_fresh:
        found = _free_ones(session, annotator, call, kept.listed, count, now)
        if len(found) == count:
            return found
    listed = _most_doubtful(session, annotator, call)
    for old in [old for old, kept in list(lists.items()) if not kept.is_fresh]:
        lists.pop(old, None)
    if len(listed) == KEPT:
        lists[key] = _Kept(time.monotonic(), listed)
    else:
        lists.pop(key, None)
    return _free_ones(session, annotator, call, listed, count, now)


def _free_ones(
    session: Session,
    annotator: AnnotatorState,
    call: LabelClaim,
    listed: Sequence[Candidate],
    count: int,
    now: datetime,
) -> list[Candidate]:
    """The first `count` of a list that are open, called so and free, as they are now."""
    blind = annotator.rules.blind_to_proposals()
    who = annotator.campaign_id, annotator.annotator_id
    offered = [one for one in listed if not is_blind(*who, one.image_id, blind)]
    found: list[Candidate] = []
    for start in range(0, len(offered), LOOK):
        part = offered[start : start + LOOK]
        statement = _free(annotator, [one.image_id for one in part], now)
        if call.source == "votes":  # they may have changed since; a run never does
            own = getattr(Consensus, f"p_{call.label}")
            rows = session.execute(statement.add_columns(own).where(*_conditions(call)))
            current = {image_id: p for image_id, status, p in rows if status == "open"}
            found += [
                replace(one, probability=current[one.image_id])
                for one in part
                if one.image_id in current
            ]
        else:
            free = _open_ones(session, statement)
            found += [one for one in part if one.image_id in free]
        if len(found) >= count:
            break
    return found[:count]


def _most_doubtful(
    session: Session, annotator: AnnotatorState, call: LabelClaim
) -> Sequence[Candidate]:
    """The open images of a call, the most doubtful first, `KEPT` at most."""
    run_id = annotator.run_id if call.source == "model" else None
    rows = session.execute(_search(annotator, call))
    return [Candidate(image_id, probability, run_id) for image_id, probability in rows]


def _search(annotator: AnnotatorState, call: LabelClaim) -> Any:
    source: Any = Proposal if call.source == "model" else Consensus
    own = getattr(source, f"p_{call.label}")
    statement = select(Consensus.image_id, own).where(
        Consensus.campaign_id == annotator.campaign_id,
        Consensus.status == "open",
        *_conditions(call),
    )
    if call.source == "model":
        of_image = (
            Proposal.image_id == Consensus.image_id,
            Proposal.model_run_id == annotator.run_id,
        )
        statement = statement.join(Proposal, and_(*of_image))
    return statement.order_by(own, Consensus.random_key, Consensus.image_id).limit(KEPT)


def _conditions(call: LabelClaim) -> list[Any]:
    """What makes a row of the source one that is called so."""
    source: Any = Proposal if call.source == "model" else Consensus
    own = getattr(source, f"p_{call.label}")
    others = [getattr(source, f"p_{label}") for label in LABELS if label != call.label]
    called = [own > other for other in others]
    if call.source == "votes":
        # Without a vote for it the posterior is the model's opinion.
        called.append(getattr(Consensus, f"votes_{call.label}") > 0)
    return called


def claim_candidates(
    session: Session,
    annotator: AnnotatorState,
    call: LabelClaim,
    found: Sequence[Candidate],
    count: int,
    *,
    settings: Settings,
    now: datetime,
) -> None:
    """Lease the first `count` that are still free to the person."""
    if not found:
        return
    statement = _free(annotator, [one.image_id for one in found], now)
    free = _open_ones(session, statement.with_for_update(skip_locked=True))
    rows = [
        {
            "image_id": one.image_id,
            **asdict(
                Presentation(
                    mode=MODE,
                    shown_run_id=one.run_id,
                    shown_label=call.label,
                    shown_probability=one.probability,
                )
            ),
        }
        for one in [one for one in found if one.image_id in free][:count]
    ]
    write_leases(session, annotator.campaign_id, annotator.annotator_id, rows, settings, now)


def renew_cells(
    session: Session,
    annotator: AnnotatorState,
    cells: Sequence[Cell],
    *,
    settings: Settings,
    now: datetime,
) -> None:
    """Let the person hold the images of the page for longer."""
    session.execute(
        update(Lease)
        .where(
            Lease.campaign_id == annotator.campaign_id,
            Lease.annotator_id == annotator.annotator_id,
            Lease.image_id.in_([cell.image_id for cell in cells]),
            Lease.mode == MODE,
        )
        .values(expires_at=expiry(settings, now))
        .execution_options(synchronize_session=False)
    )


def held_cells(
    session: Session, annotator: AnnotatorState, call: LabelClaim, size: int, now: datetime
) -> list[Cell]:
    """What the person holds of this call: what an undo gave back, then in the order of the
    hand-outs and of the doubt."""
    is_model = call.source == "model"
    run = Lease.shown_run_id.is_not(None) if is_model else Lease.shown_run_id.is_(None)
    undone = exists().where(
        Vote.campaign_id == Lease.campaign_id,
        Vote.image_id == Lease.image_id,
        Vote.annotator_id == annotator.annotator_id,
        Vote.mode == MODE,
    )
    images = session.execute(
        select(Image.id, Image.width, Image.height, Image.sha256, Image.filename)
        .join(Lease, Lease.image_id == Image.id)
        .where(
            Lease.campaign_id == annotator.campaign_id,
            Lease.annotator_id == annotator.annotator_id,
            Lease.mode == MODE,
            Lease.shown_label == call.label,
            Lease.expires_at > now,
            run,
        )
        .order_by(undone.desc(), Lease.created_at, Lease.shown_probability, Image.id)
        .limit(size)
    ).all()
    chosen = _former_answers(session, annotator, [image.id for image in images])
    return [
        Cell(
            image.id, image.width or 0, image.height or 0, image.sha256, image.filename,
            chosen.get(image.id, call.label),
        )
        for image in images
    ]  # fmt: skip


def _free(annotator: AnnotatorState, image_ids: Sequence[int], now: datetime) -> Any:
    """Those of the images that nobody holds and the person has not answered, with their status.

    Named in the condition, the status would lead SQLite to all open images of the campaign.
    """
    return select(Consensus.image_id, Consensus.status).where(
        Consensus.campaign_id == annotator.campaign_id,
        Consensus.image_id.in_(image_ids),
        or_(Consensus.leased_until.is_(None), Consensus.leased_until <= now),
        not_answered(annotator.annotator_id),
    )


def _open_ones(session: Session, statement: Any) -> set[int]:
    return {image_id for image_id, status in session.execute(statement) if status == "open"}


def _former_answers(
    session: Session, annotator: AnnotatorState, image_ids: Sequence[int]
) -> dict[int, str]:
    """The person's answers of before an undo, so that the page opens as it was."""
    rows = session.execute(
        select(Vote.image_id, Vote.answer)
        .where(
            Vote.campaign_id == annotator.campaign_id,
            Vote.annotator_id == annotator.annotator_id,
            Vote.image_id.in_(image_ids),
            Vote.mode == MODE,
        )
        .order_by(Vote.id)
    )
    return dict(rows.all())
