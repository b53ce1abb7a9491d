"""Links that show the strip of a result to everybody who has them. Only a hash is stored."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.accounts.passwords import hash_token, new_token
from labeler.audit.log import NOBODY, Actor, record
from labeler.errors import Conflict, NotFound
from labeler.languages.texts import gettext as _
from labeler.models.base import utc_now
from labeler.models.studio import HeadTurn


def share_turn(session: Session, turn: HeadTurn, by: Actor = NOBODY) -> str:
    """Create the link of a result; returns its token. An earlier link of it works no longer.

    Raises:
        Conflict: the turn has no result.
    """
    if turn.finished_at is None:
        raise Conflict(
            _("There is no strip to share yet. Share the result once the head is turned.")
        )
    token = new_token()
    again = turn.share_hash is not None
    turn.share_hash, turn.shared_at = hash_token(token), utc_now()
    session.flush()
    record(session, "turn_shared", by, ("turn", turn.id), again=again)
    return token


def revoke_link(session: Session, turn: HeadTurn, by: Actor = NOBODY) -> None:
    """End the link of a result. Without a link nothing changes."""
    if turn.share_hash is None:
        return
    turn.share_hash = turn.shared_at = None
    session.flush()
    record(session, "turn_link_revoked", by, ("turn", turn.id))


def find_shared(session: Session, token: str) -> HeadTurn:
    """Return the turn whose link has this token.

    Raises:
        NotFound: no link has it, or no longer.
    """
    turn = session.scalars(
        select(HeadTurn).where(HeadTurn.share_hash == hash_token(token))
    ).one_or_none()
    if turn is None:
        raise NotFound(_("This link does not work, or no longer. Ask who sent it for a new one."))
    return turn


def share_address(site: str, token: str) -> str:
    """Return the address of a link.

    Parameters:
        site: the address of the site, without a slash at the end.
    """
    return f"{site}/shared/{token}"
