"""Handing out images: who gets which, for how long, and with or without the proposal.

An image is handed to at most `required_votes` people, counting those who have answered already.
Images in nobody's hands come first, the least answered before the others, by a random key within
that. A lease that has run out no longer counts, but it is remembered for a while, so that a vote
that comes late (a phone in a tunnel) is still known to be honest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, delete, exists, func, select, update
from sqlalchemy.orm import Session, aliased

from labeler.config import Settings
from labeler.db import Turn, insert_or, take_turn
from labeler.domain.blinding import is_blind
from labeler.domain.labels import likeliest_label
from labeler.models import Consensus, Dataset, Image, Lease, ModelRun, Proposal, Vote, utc_now

REMEMBER_LEASES = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class ShownProposal:
    """What the model says about the image, as shown to the person."""

    label: str
    p_left: float
    p_center: float
    p_right: float
    model_run_id: int


@dataclass(frozen=True, slots=True)
class LeasedImage:
    """An image in a person's hands until `expires_at`. `shown` None: blind, none made, a tie."""

    image_id: int
    width: int
    height: int
    sha256: str
    filename: str
    blind: bool
    shown: ShownProposal | None
    expires_at: datetime


def lease_images(
    session: Session,
    annotator_id: int,
    count: int,
    *,
    settings: Settings,
    now: datetime | None = None,
) -> list[LeasedImage]:
    """Hand `count` images of the active data set to a person; fewer where fewer are left.

    The images that the person holds already come first, renewed, so that a reload gives the
    same ones. Needs a write transaction. An empty list means that nothing is left for them.
    """
    now = now or utc_now()
    # Two at once would both count the leases before the other's are there. A lock, not SKIP
    # LOCKED: that would tell people that nothing is left while another's hand-out is under way.
    take_turn(session, Turn.HANDOUT)
    held = _renew_leases(session, annotator_id, count, settings, now)
    wanted = count - len(held)
    fresh: list[LeasedImage] = []
    for shared in (False, True):
        if wanted > len(fresh):
            queue = _queue(annotator_id, settings.required_votes, now, shared)
            rows = session.execute(queue.limit(wanted - len(fresh))).all()
            fresh += _insert_leases(session, annotator_id, rows, settings, now)
    if fresh:
        _forget_old_leases(session, now)
    return held + fresh


def release_leases(session: Session, annotator_id: int) -> int:
    """Take all images out of a person's hands; returns how many there were."""
    mine = session.scalars(select(Lease.image_id).where(Lease.annotator_id == annotator_id)).all()
    _delete(session, Lease.annotator_id == annotator_id)
    return len(mine)


def withdraw_images(session: Session, image_ids: Sequence[int]) -> None:
    """Take images out of all hands: their files hold other pictures than people look at."""
    if image_ids:
        _delete(session, Lease.image_id.in_(image_ids))


def restore_lease(session: Session, vote: Vote, *, settings: Settings, now: datetime) -> None:
    """Hand an image back after an undo, shown as it was when the vote was cast."""
    values = {
        "image_id": vote.image_id,
        "annotator_id": vote.annotator_id,
        "blind": vote.blind,
        "shown_run_id": vote.shown_run_id,
        "shown_label": vote.shown_label,
    }
    _write_leases(session, [values], settings, now)


def find_lease(session: Session, annotator_id: int, image_id: int) -> LeasedImage | None:
    """One image that the person holds (or held until lately: look at `expires_at`)."""
    row = session.execute(_lease_rows(annotator_id).where(Lease.image_id == image_id)).one_or_none()
    return _to_leased(row) if row else None


def _lease_rows(annotator_id: int) -> Select[Lease, Image, Proposal]:
    return (
        select(Lease, Image, Proposal)
        .join(Image, Image.id == Lease.image_id)
        .outerjoin(
            Proposal,
            and_(Proposal.model_run_id == Lease.shown_run_id, Proposal.image_id == Lease.image_id),
        )
        .where(Lease.annotator_id == annotator_id)
    )


def _renew_leases(
    session: Session, annotator_id: int, count: int, settings: Settings, now: datetime
) -> list[LeasedImage]:
    held = _lease_rows(annotator_id).join(Consensus, Consensus.image_id == Lease.image_id)
    rows = session.execute(
        held.join(Dataset, Dataset.id == Consensus.dataset_id)
        .where(Lease.expires_at > now, Consensus.status == "open", Dataset.active)
        .order_by(Lease.created_at, Consensus.priority, Consensus.random_key)
        .limit(count)
    ).all()
    if rows:
        session.execute(
            update(Lease)
            .where(
                Lease.annotator_id == annotator_id,
                Lease.image_id.in_([row.Lease.image_id for row in rows]),
            )
            .values(expires_at=_expiry(settings, now))
            .execution_options(synchronize_session="evaluate")
        )
    return [_to_leased(row) for row in rows]


def _queue(
    annotator_id: int, required: int, now: datetime, shared: bool
) -> Select[Image, Proposal]:
    """Images for this person, in order, with the current proposal.

    `shared` False: only those in nobody's hands; True: those that others hold as well, as long
    as the votes that are there and that may come do not exceed the required ones.
    """
    others = and_(
        Lease.image_id == Consensus.image_id,
        Lease.annotator_id != annotator_id,
        Lease.expires_at > now,
    )
    if shared:
        holders = select(func.count()).select_from(Lease).where(others).scalar_subquery()
        free: ColumnElement[bool] = Consensus.priority + holders < required
    else:
        free = and_(~exists().where(others), Consensus.priority < required)
    active = select(Dataset.id).where(Dataset.active).scalar_subquery()
    return (
        select(Image, Proposal)
        .select_from(Consensus)
        .join(Image, Image.id == Consensus.image_id)
        .outerjoin(
            Proposal,
            and_(Proposal.image_id == Image.id, Proposal.model_run_id == current_run_id(active)),
        )
        .where(Consensus.dataset_id == active, Consensus.status == "open", free)
        .where(~_is_mine(annotator_id, now))
        .order_by(Consensus.priority, Consensus.random_key)
    )


def current_run_id(dataset_id: Any) -> Any:
    """Subquery: the published run of the data set whose proposals are shown."""
    return (
        select(ModelRun.id)
        .where(ModelRun.dataset_id == dataset_id, ModelRun.status == "published")
        .order_by(ModelRun.published_at.desc(), ModelRun.id.desc())
        .limit(1)
        .scalar_subquery()
    )


def _is_mine(annotator_id: int, now: datetime) -> ColumnElement[bool]:
    """The person has answered the image or holds it."""
    own = aliased(Lease)
    answered = exists().where(
        Vote.image_id == Consensus.image_id,
        Vote.annotator_id == annotator_id,
        Vote.superseded_at.is_(None),
    )
    holds = exists().where(
        own.image_id == Consensus.image_id,
        own.annotator_id == annotator_id,
        own.expires_at > now,
    )
    return answered | holds


def _insert_leases(
    session: Session,
    annotator_id: int,
    rows: Sequence[Row[Image, Proposal]],
    settings: Settings,
    now: datetime,
) -> list[LeasedImage]:
    leased = []
    for image, proposal in rows:
        blind = is_blind(annotator_id, image.id, settings.blind_share)
        shown = None if blind else _shown(proposal)
        leased.append(_leased(image, blind, shown, _expiry(settings, now)))
    if leased:
        _write_leases(
            session,
            [
                {
                    "image_id": one.image_id,
                    "annotator_id": annotator_id,
                    "blind": one.blind,
                    "shown_run_id": one.shown.model_run_id if one.shown else None,
                    "shown_label": one.shown.label if one.shown else None,
                }
                for one in leased
            ],
            settings,
            now,
        )
    return leased


def _write_leases(
    session: Session, rows: list[dict[str, Any]], settings: Settings, now: datetime
) -> None:
    """Insert leases; one that has run out and is still remembered is written over."""
    times = {"created_at": now, "expires_at": _expiry(settings, now)}
    statement = insert_or(session, Lease).values([{**row, **times} for row in rows])
    changed = ("blind", "shown_run_id", "shown_label", "created_at", "expires_at")
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["image_id", "annotator_id"],
            set_={name: statement.excluded[name] for name in changed},
        )
    )


def _forget_old_leases(session: Session, now: datetime) -> None:
    _delete(session, Lease.expires_at < now - REMEMBER_LEASES)


def _delete(session: Session, condition: ColumnElement[bool]) -> None:
    session.execute(delete(Lease).where(condition).execution_options(synchronize_session="fetch"))


def _expiry(settings: Settings, now: datetime) -> datetime:
    return now + timedelta(seconds=settings.lease_seconds)


def _shown(proposal: Proposal | None) -> ShownProposal | None:
    """What a person who is not blind sees; nothing where the model favours no label."""
    if proposal is None:
        return None
    chances = (proposal.p_left, proposal.p_center, proposal.p_right)
    label = likeliest_label(chances)
    return ShownProposal(label, *chances, proposal.model_run_id) if label else None


def _leased(
    image: Image, blind: bool, shown: ShownProposal | None, expires_at: datetime
) -> LeasedImage:
    return LeasedImage(
        image.id,
        image.width or 0,
        image.height or 0,
        image.sha256,
        image.filename,
        blind,
        shown,
        expires_at,
    )


def _to_leased(row: Row[Lease, Image, Proposal]) -> LeasedImage:
    lease, image, proposal = row
    shown = None if lease.blind else _shown(proposal)
    return _leased(image, lease.blind, shown, lease.expires_at)
