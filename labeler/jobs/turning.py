"""Ordering a turn of a head: a person may have a few at once, and a job turns each."""

from __future__ import annotations

from os.path import samestat
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeler.audit.log import NOBODY, Actor
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import TooManyTurns
from labeler.jobs import kinds, queue
from labeler.languages.texts import ngettext
from labeler.models.accounts import Annotator
from labeler.models.audit import AuditEvent
from labeler.models.jobs import Job
from labeler.models.studio import HeadTurn
from labeler.studio import files
from labeler.studio.changes import delete_turn
from labeler.studio.turns import NewTurn, create_turn

FORGOTTEN_AFTER_S = 3600.0


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
    adopted: Path | None = None
    try:
        with db.write() as session:
            _refuse_too_many(session, settings, owner_id, own=True)
            turn = create_turn(session, wanted, owner_id, by)
            turn.job_id = kinds.turn_head.queue(session, turn.id, owner_id)
            if upload is not None:
                written = upload.stat()
                adopted = files.adopt_upload(settings.home, turn.id, upload)
            return turn.id
    except BaseException:
        # The turn was not stored, so the next one may get its number, and meanwhile even its file.
        if adopted is not None and adopted.exists() and samestat(adopted.stat(), written):
            adopted.unlink(missing_ok=True)
            files.remove_if_empty(settings.home, int(adopted.parent.name))
        raise
    finally:
        if upload is not None:
            upload.unlink(missing_ok=True)


def withdraw_turn(session: Session, turn: HeadTurn, who: str, by: Actor = NOBODY) -> None:
    """Delete the row of a turn. Its job is cancelled, so that it turns nothing for nobody.

    The caller removes the files after the commit, as for `delete_turn`.

    Parameters:
        who: the name that the job then shows; `by` is for the audit log.
    """
    job = session.get(Job, turn.job_id) if turn.job_id else None
    if job is not None and job.state in ("queued", "running"):
        queue.cancel(session, job.id, who, by)
    delete_turn(session, turn, by)


def retry_job(session: Session, settings: Settings, job_id: int, by: Actor) -> Job:
    """Queue a job again, as `labeler.jobs.queue.retry`. A turn counts among its owner's again.

    Raises:
        TooManyTurns: the owner has as many turns queued or running as the settings allow.
        NotFound: there is no such job.
        Conflict: it is queued, running or done.
    """
    job = queue.get(session, job_id)
    ended = job.state in ("failed", "cancelled")
    if ended and job.kind == kinds.turn_head.name and job.owner_id is not None:
        _refuse_too_many(session, settings, job.owner_id, own=by.id == job.owner_id)
    return queue.retry(session, job_id, by)


def count_open(session: Session, owner_id: int) -> int:
    """Count the turns of a person that are queued or running."""
    own = Job.owner_id == owner_id, Job.kind == kinds.turn_head.name
    waiting = select(func.count()).where(*own, Job.state.in_(("queued", "running")))
    return session.scalar(waiting) or 0


def tidy_studio(db: Database, home: Path) -> int:
    """Remove files of the studio that nobody needs; returns of how many turns and uploads.

    These are uploads whose jobs have ended and that are not to be kept, what killed attempts have
    left, and the files of deleted turns. What belongs to no stored turn stays for
    `FORGOTTEN_AFTER_S`: its transaction may not have ended.
    """
    removed = 0
    for part in files.list_unfinished_uploads(home):
        if files.is_older(part, FORGOTTEN_AFTER_S):
            part.unlink(missing_ok=True)
            removed += 1
    found = sorted(files.list_turns(home))  # before the rows, so that no row is overlooked
    if not found:
        return removed
    with db.read() as session:
        known = dict(session.execute(select(HeadTurn.id, HeadTurn.keeps_upload)).all())
        waiting = {job.subject for job in queue.list_waiting(session, kinds.turn_head.name)}
        unknown = [one for one in found if one not in known]
        deleted = _find_deleted(session) if unknown else set()
    for turn_id in found:
        if turn_id not in known:
            removed += _tidy_unknown(home, turn_id, turn_id in deleted)
        elif turn_id not in waiting:
            removed += _tidy_ended(home, turn_id, known[turn_id])
    return removed


def _find_deleted(session: Session) -> set[int | None]:
    """The numbers of all turns that were deleted, as the audit log tells.

    Files are never removed only because a row is missing: the database may be another one.
    """
    deletions = AuditEvent.action == "turn_deleted", AuditEvent.subject_kind == "turn"
    return set(session.scalars(select(AuditEvent.subject_id).where(*deletions)))


def _tidy_unknown(home: Path, turn_id: int, deleted: bool) -> bool:
    """Remove the files of a turn that is not stored; returns whether there were any."""
    if not files.is_older(files.turn_folder(home, turn_id), FORGOTTEN_AFTER_S):
        return False
    if deleted:
        files.remove_files(home, turn_id)
        return True
    forgotten = files.source_file(home, turn_id) is not None
    files.remove_source(home, turn_id)
    files.remove_if_empty(home, turn_id)
    return forgotten


def _tidy_ended(home: Path, turn_id: int, keeps_upload: bool) -> bool:
    """Remove what the job of a turn has left; returns whether there was anything."""
    left = [
        work
        for work in files.list_works(home, turn_id)
        if files.is_older(work, FORGOTTEN_AFTER_S)  # an attempt that was cancelled may still end
    ]
    for work in left:
        files.remove_work(work)
    forgotten = not keeps_upload and files.source_file(home, turn_id) is not None
    if forgotten:
        files.remove_source(home, turn_id)
    return forgotten or bool(left)


def _refuse_too_many(session: Session, settings: Settings, owner_id: int, own: bool) -> None:
    # The row of the account is locked, so that two forms that are sent at once are counted.
    session.execute(select(Annotator.id).where(Annotator.id == owner_id).with_for_update())
    waiting, most = count_open(session, owner_id), settings.turns_per_person
    if waiting < most:
        return
    if own:
        told = ngettext(
            "You have %(num)s head waiting or being turned; %(most)s at once are allowed. "
            "Wait until one is done, or cancel one.",
            "You have %(num)s heads waiting or being turned; %(most)s at once are allowed. "
            "Wait until one is done, or cancel one.",
            waiting,
            most=most,
        )
    else:
        told = ngettext(
            "This person has %(num)s head waiting or being turned; %(most)s at once are allowed. "
            "Wait until one is done, or cancel one.",
            "This person has %(num)s heads waiting or being turned; %(most)s at once are allowed. "
            "Wait until one is done, or cancel one.",
            waiting,
            most=most,
        )
    raise TooManyTurns(told)
