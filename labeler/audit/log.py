"""Writing and reading the audit log.

An event is written in the transaction of the change that it tells of, so neither is stored without
the other. Events hold ids and codes only. Names are looked up when the log is read.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from labeler.languages.texts import mark
from labeler.models.accounts import Annotator
from labeler.models.audit import AuditEvent
from labeler.models.base import utc_now

ACTIONS = {
    "sign_in": mark("Signed in"),
    "sign_in_failed": mark("Wrong password at sign-in"),
    "password_failed": mark("Wrong current password"),
    "password_confirmed": mark("Entered the password again"),
    "locked_out": mark("Too many wrong passwords: has to wait"),
    "sign_out": mark("Signed out"),
    "browser_signed_out": mark("Signed out another browser"),
    "password_changed": mark("Changed the password"),
    "password_reset": mark("Password was reset"),
    "reset_link_created": mark("Link for a new password created"),
    "display_name_changed": mark("Display name changed"),
    "account_created": mark("Account created by an invite"),
    "role_changed": mark("Role changed"),
    "account_closed": mark("Account closed"),
    "account_reopened": mark("Account reopened"),
    "account_anonymised": mark("Account anonymised"),
    "group_created": mark("Group created"),
    "group_changed": mark("Group changed"),
    "group_deleted": mark("Group deleted"),
    "invite_created": mark("Invite created"),
    "invite_revoked": mark("Invite revoked"),
    "export": mark("Data exported"),
    "backup_made": mark("Backup made"),
    "campaign_created": mark("Campaign created"),
    "campaign_edited": mark("Name or guideline of a campaign changed"),
    "rules_changed": mark("Rules of a campaign changed"),
    "campaign_activated": mark("Campaign activated"),
    "campaign_deactivated": mark("Campaign deactivated"),
    "campaign_period": mark("Start or end of a campaign changed"),
    "campaign_assigned": mark("Changed who may label in a campaign"),
    "campaign_archived": mark("Campaign archived"),
    "campaign_restored": mark("Campaign restored from the archive"),
    "campaign_deleted": mark("Campaign deleted"),
    "dataset_deleted": mark("Data set deleted"),
    "campaign_paused": mark("Campaign paused"),
    "campaign_resumed": mark("Campaign resumed"),
    "person_paused": mark("Person paused"),
    "person_resumed": mark("Person may label again"),
    "person_to_qualify": mark("Person sent to the qualification"),
    "message_sent": mark("Message sent"),
    "answers_returned": mark("Answers sent back"),
    "returned_withdrawn": mark("Answers taken back that had been sent back"),
    "flag_settled": mark("Flag on an image settled"),
    "flag_reopened": mark("Flag on an image opened again"),
    "gold_added": mark("Gold questions added or changed"),
    "gold_revoked": mark("Gold question revoked"),
    "gold_restored": mark("Gold question restored"),
    "subset_created": mark("Subset kept"),
    "subset_renamed": mark("Subset renamed"),
    "subset_deleted": mark("Subset deleted"),
    "subset_restored": mark("Deletion of a subset undone"),
    "turn_created": mark("Turning of a head requested"),
    "turn_renamed": mark("Turned head renamed"),
    "turn_deleted": mark("Turned head deleted"),
    "turn_shared": mark("Link to a turned head created"),
    "turn_link_revoked": mark("Link to a turned head revoked"),
    "decision_undone": mark("Decision on a contested image undone"),
    "training_requested": mark("Training of a model requested"),
    "training_stopped": mark("Training of a model stopped"),
    "run_restored": mark("Model run made current again"),
    "privacy_changed": mark("Privacy notice changed"),
    "privacy_restored": mark("Default privacy notice restored"),
    "import_begun": mark("Import of images begun"),
    "import_cancelled": mark("Import of images cancelled"),
    "import_retried": mark("Import of images tried again"),
    "job_cancelled": mark("Background job cancelled"),
    "job_retried": mark("Background job queued again"),
}
WARNINGS = frozenset({"sign_in_failed", "password_failed", "locked_out"})
ADDRESS_DAYS = 90  # after so many days an event loses its network address
PAGE = 100
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something. `id` None: a command, or somebody who is not signed in."""

    id: int | None = None
    address: str | None = None


NOBODY = Actor()  # the command line


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event with the accounts, as they are now. None if no account is concerned."""

    event: AuditEvent
    actor: Annotator | None
    subject: Annotator | None

    @property
    def words(self) -> str:
        """What happened, in words."""
        return ACTIONS.get(self.event.action, self.event.action)


def record(
    session: Session,
    action: str,
    by: Actor,
    subject: tuple[str, int] | None = None,
    *,
    now: datetime | None = None,
    **details: Any,
) -> None:
    """Add an event to the log. Failures also go to the program's log, as warnings.

    Parameters:
        action: one of `ACTIONS`.
        subject: kind and id of what it was done to, such as ("account", 3).
        details: codes and numbers; no names, and nothing that a person has typed.

    Raises:
        KeyError: an unknown action.
    """
    words = ACTIONS[action]
    kind, number = subject or (None, None)
    session.add(
        AuditEvent(
            at=now or utc_now(),
            actor_id=by.id,
            address=by.address[:60] if by.address else None,
            action=action,
            subject_kind=kind,
            subject_id=number,
            details=details,
        )
    )
    log.log(
        logging.WARNING if action in WARNINGS else logging.INFO,
        "%s (%s). Account %s, address %s, concerns %s %s. %s",
        words,
        action,
        by.id or "none",
        by.address or "none",
        kind or "nothing",
        "" if number is None else number,
        details or "",
    )


def list_events(
    session: Session,
    *,
    action: str | None = None,
    annotator_id: int | None = None,
    before: int | None = None,
    limit: int = PAGE,
) -> Sequence[LoggedEvent]:
    """Events, the newest first.

    Parameters:
        action: only this kind.
        annotator_id: only what this person did, or what was done to the account.
        before: only events with smaller ids; for the next page.
    """
    query = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)
    if action is not None:
        query = query.where(AuditEvent.action == action)
    if annotator_id is not None:
        concerns = (AuditEvent.subject_kind == "account") & (AuditEvent.subject_id == annotator_id)
        query = query.where(or_(AuditEvent.actor_id == annotator_id, concerns))
    if before is not None:
        query = query.where(AuditEvent.id < before)
    events = session.scalars(query).all()
    people = _people(session, events)
    return [
        LoggedEvent(event, people.get(event.actor_id or 0), people.get(_account(event)))
        for event in events
    ]


def write_details(details: dict[str, Any]) -> str:
    """The details of an event as text, such as `role: admin, days: 7`."""
    return ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in details.items())


def erase_old_addresses(session: Session, now: datetime) -> int:
    """Erase the addresses of events older than `ADDRESS_DAYS`; returns how many."""
    old = AuditEvent.at < now - timedelta(days=ADDRESS_DAYS)
    found = session.execute(
        update(AuditEvent)
        .where(old, AuditEvent.address.is_not(None))
        .values(address=None)
        .execution_options(synchronize_session=False)
    )
    return int(found.rowcount)  # type: ignore[attr-defined]


def erase_addresses_of(session: Session, annotator_id: int) -> None:
    """Erase the addresses that a person has used. What others did to the account keeps theirs."""
    concerns = (AuditEvent.subject_kind == "account") & (AuditEvent.subject_id == annotator_id)
    theirs = or_(AuditEvent.actor_id == annotator_id, AuditEvent.actor_id.is_(None) & concerns)
    session.execute(
        update(AuditEvent)
        .where(theirs, AuditEvent.address.is_not(None))
        .values(address=None)
        .execution_options(synchronize_session=False)
    )


def _account(event: AuditEvent) -> int:
    return (event.subject_id or 0) if event.subject_kind == "account" else 0


def _people(session: Session, events: Sequence[AuditEvent]) -> dict[int, Annotator]:
    wanted = {event.actor_id or 0 for event in events} | {_account(event) for event in events}
    found = session.scalars(select(Annotator).where(Annotator.id.in_(wanted - {0})))
    return {one.id: one for one in found}
