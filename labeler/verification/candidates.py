"""The images of a page of the verify grid: finding them and leasing them."""

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
from labeler.languages.texts import gettext as _
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.models.proposals import Proposal
from labeler.models.voting import Lease, Vote
from labeler.rules.random_draws import is_blind
from rotation.data.labels import LABELS

MODE = "grid"
SOURCES = ("model", "votes")
MAX_LISTED = 4_000  # images of a kept list
LIST_LIFETIME_S = 60.0
RECHECK_BATCH = 200  # images of a kept list that one statement reads again


@dataclass(frozen=True, slots=True)
class LabelClaim:
    """A label, and who says that images have it.

    Raises:
        InvalidInput: an unknown label or source.
    """

    label: str
    source: str

    def __post_init__(self) -> None:
        if self.label not in LABELS:
            raise InvalidInput(
                _(
                    "%(field)s=%(given)r; allowed: %(allowed)s.",
                    field="label",
                    given=self.label,
                    allowed=", ".join(LABELS),
                )
            )
        if self.source not in SOURCES:
            raise InvalidInput(
                _(
                    "%(field)s=%(given)r; allowed: %(allowed)s.",
                    field="source",
                    given=self.source,
                    allowed=", ".join(SOURCES),
                )
            )


@dataclass(frozen=True, slots=True)
class Cell:
    """An image of the page. `answer`: the answer that is chosen when the page opens."""

    campaign_id: int
    image_id: int
    width: int
    height: int
    sha256: str
    filename: str
    answer: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image with the claimed label. `run_id`: the run that says so, None if the votes do."""

    image_id: int
    probability: float
    run_id: int | None


@dataclass(frozen=True, slots=True)
class _KeptList:
    """Candidates in their order, and when they were listed, in seconds of `time.monotonic`."""

    made_at: float
    listed: Sequence[Candidate]

    @property
    def is_fresh(self) -> bool:
        """Whether the list is young enough to be used."""
        return time.monotonic() - self.made_at < LIST_LIFETIME_S


_KeptLists = dict[tuple[int, int | None, LabelClaim], _KeptList]
_lists: WeakKeyDictionary[Pool, _KeptLists] = WeakKeyDictionary()


def find_candidates(
    session: Session, annotator: AnnotatorState, claim: LabelClaim, count: int, now: datetime
) -> list[Candidate]:
    """The images with the most doubtful claim that are free for the person, at most `count`.

    The search reads all open images of the campaign. If it finds `MAX_LISTED` images, the
    process keeps the list for `LIST_LIFETIME_S` seconds. A kept list only says where to look
    first. Each image is read again in this transaction, and a list with too few free images is
    made again. So only the order among thousands depends on which process answers.
    """
    lists = _lists.setdefault(session.connection().engine.pool, {})
    key = (annotator.campaign_id, annotator.run_id, claim)
    kept = lists.get(key)
    if kept is not None and kept.is_fresh:
        found = _free_ones(session, annotator, claim, kept.listed, count, now)
        if len(found) == count:
            return found
    listed = _most_doubtful(session, annotator, claim)
    for old in [old for old, kept in list(lists.items()) if not kept.is_fresh]:
        lists.pop(old, None)
    if len(listed) == MAX_LISTED:
        lists[key] = _KeptList(time.monotonic(), listed)
    else:
        lists.pop(key, None)
    return _free_ones(session, annotator, claim, listed, count, now)


def _free_ones(
    session: Session,
    annotator: AnnotatorState,
    claim: LabelClaim,
    listed: Sequence[Candidate],
    count: int,
    now: datetime,
) -> list[Candidate]:
    """The first `count` images of a list that are open, free and have the claim now."""
    blind = annotator.rules.blind_to_proposals()
    who = annotator.campaign_id, annotator.annotator_id
    offered = [one for one in listed if not is_blind(*who, one.image_id, blind)]
    found: list[Candidate] = []
    for start in range(0, len(offered), RECHECK_BATCH):
        part = offered[start : start + RECHECK_BATCH]
        statement = _free(annotator, [one.image_id for one in part], now)
        if claim.source == "votes":  # votes may have changed meanwhile; a run never changes
            own = getattr(Consensus, f"p_{claim.label}")
            rows = session.execute(statement.add_columns(own).where(*_conditions(claim)))
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
    session: Session, annotator: AnnotatorState, claim: LabelClaim
) -> Sequence[Candidate]:
    """The open images with the claim, the most doubtful first, at most `MAX_LISTED`."""
    run_id = annotator.run_id if claim.source == "model" else None
    rows = session.execute(_search(annotator, claim))
    return [Candidate(image_id, probability, run_id) for image_id, probability in rows]


def _search(annotator: AnnotatorState, claim: LabelClaim) -> Any:
    source: Any = Proposal if claim.source == "model" else Consensus
    own = getattr(source, f"p_{claim.label}")
    statement = select(Consensus.image_id, own).where(
        Consensus.campaign_id == annotator.campaign_id,
        Consensus.status == "open",
        *_conditions(claim),
    )
    if claim.source == "model":
        of_image = (
            Proposal.image_id == Consensus.image_id,
            Proposal.model_run_id == annotator.run_id,
        )
        statement = statement.join(Proposal, and_(*of_image))
    return statement.order_by(own, Consensus.random_key, Consensus.image_id).limit(MAX_LISTED)


def _conditions(claim: LabelClaim) -> list[Any]:
    """The conditions under which a row of the source makes the claim."""
    source: Any = Proposal if claim.source == "model" else Consensus
    own = getattr(source, f"p_{claim.label}")
    others = [getattr(source, f"p_{label}") for label in LABELS if label != claim.label]
    conditions = [own > other for other in others]
    if claim.source == "votes":
        # Without a vote for the label, the posterior is only the model's opinion.
        conditions.append(getattr(Consensus, f"votes_{claim.label}") > 0)
    return conditions


def claim_candidates(
    session: Session,
    annotator: AnnotatorState,
    claim: LabelClaim,
    found: Sequence[Candidate],
    count: int,
    *,
    settings: Settings,
    now: datetime,
) -> None:
    """Lease to the person the first `count` candidates that are still free."""
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
                    shown_label=claim.label,
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
    """Renew the person's leases on the images of a page."""
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


def find_held_cells(
    session: Session, annotator: AnnotatorState, claim: LabelClaim, size: int, now: datetime
) -> list[Cell]:
    """The images with this claim that the person holds, at most `size`.

    First come the images that an undo gave back. The others follow in the order in which they
    were leased, and then by doubt.
    """
    is_model = claim.source == "model"
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
            Lease.shown_label == claim.label,
            Lease.expires_at > now,
            run,
        )
        .order_by(undone.desc(), Lease.created_at, Lease.shown_probability, Image.id)
        .limit(size)
    ).all()
    former = _former_answers(session, annotator, [image.id for image in images])
    return [
        Cell(
            annotator.campaign_id,
            image.id,
            image.width or 0,
            image.height or 0,
            image.sha256,
            image.filename,
            former.get(image.id, claim.label),
        )
        for image in images
    ]


def _free(annotator: AnnotatorState, image_ids: Sequence[int], now: datetime) -> Any:
    """Those images that nobody holds and that the person has not answered, with their status.

    The status is a column and not a condition: with a condition on it, SQLite would walk through
    all open images of the campaign.
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
    """The person's answers before an undo, so that the page opens as it was."""
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
