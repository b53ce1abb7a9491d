"""Ordering a turn of a head: a person may have a few at once, and a job turns each."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeler.audit.log import Actor
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import TooManyTurns
from labeler.jobs import kinds
from labeler.languages.texts import ngettext
from labeler.models.accounts import Annotator
from labeler.models.jobs import Job
from labeler.models.studio import HeadTurn
from labeler.studio import files
from labeler.studio.turns import NewTurn, create_turn


def order_turn(
    db: Database,
    settings: Settings,
    wanted: NewTurn,
    owner_id: int,
    by: Actor,
    upload: Path | None = None,
) -> int:
    """Store a turn and queue its job; returns the number of the turn.

    Parameters:
        upload: the picture of `files.keep_upload`, which becomes the turn's. It is removed if the
            turn cannot be stored.

    Raises:
        TooManyTurns: the person has as many turns queued or running as the settings allow.
        InvalidInput: the name is not allowed.
    """
    try:
        with db.write() as session:
            _refuse_too_many(session, settings, owner_id)
            turn = create_turn(session, wanted, owner_id, by)
            turn.job_id = kinds.turn_head.queue(session, turn.id, owner_id)
            if upload is not None:
                files.adopt_upload(settings.home, turn.id, upload)
            return turn.id
    finally:
        if upload is not None:
            upload.unlink(missing_ok=True)


def count_open(session: Session, owner_id: int) -> int:
    """Count the turns of a person that are queued or running."""
    own = Job.owner_id == owner_id, Job.kind == kinds.turn_head.name
    waiting = select(func.count()).where(*own, Job.state.in_(("queued", "running")))
    return session.scalar(waiting) or 0


def remove_forgotten_uploads(db: Database, home: Path) -> int:
    """Remove uploads whose job has ended and that are not to be kept; returns how many."""
    kept = (
        HeadTurn.keeps_upload,
        HeadTurn.id.in_(
            select(Job.subject).where(
                Job.kind == kinds.turn_head.name, Job.state.in_(("queued", "running"))
            )
        ),
    )
    found = list(files.list_sources(home))
    if not found:
        return 0
    with db.read() as session:
        needed = set(session.scalars(select(HeadTurn.id).where(kept[0] | kept[1])))
    removed = [turn_id for turn_id in found if turn_id not in needed]
    for turn_id in removed:
        files.remove_source(home, turn_id)
    return len(removed)


def _refuse_too_many(session: Session, settings: Settings, owner_id: int) -> None:
    # The row of the account is locked, so that two forms that are sent at once are counted.
    session.execute(select(Annotator.id).where(Annotator.id == owner_id).with_for_update())
    waiting, most = count_open(session, owner_id), settings.turns_per_person
    if waiting >= most:
        raise TooManyTurns(
            ngettext(
                "You have %(num)s head waiting or being turned; %(most)s at once are allowed. "
                "Wait until one is done, or cancel one.",
                "You have %(num)s heads waiting or being turned; %(most)s at once are allowed. "
                "Wait until one is done, or cancel one.",
                waiting,
                most=most,
            )
        )
